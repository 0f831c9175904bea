//! Watches systemd's services: systemd runs them, we keep the ledger.
//!
//! * `settings` reads `workload: { unit: … }`, `bus` is where a systemd is reached.
//! * `facts` is what systemd says, `history` what its journal remembers; `ending` and `tracker` make our events of both, and
//!   are pure.
//! * `version` is what a run was made from, `programs` reads the digest of its program.
//! * `connection` asks systemd, and only reads except for what is ordered; `journal` asks the journal.
//! * `watch` is the one task for each bus; `allowance` keeps who dies a hundred times a second from holding it up.

mod allowance;
mod bus;
mod connection;
mod ending;
mod facts;
mod history;
mod journal;
mod programs;
mod settings;
mod tracker;
mod version;
mod watch;

pub(super) use settings::Unit;
