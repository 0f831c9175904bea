//! Watches Docker containers: somebody else runs them, we keep the ledger.
//!
//! * `settings` reads `workload: { container: … }`.
//! * `facts` is what the engine says, `tracker` (with `known`) translates it into our events and is pure.
//! * `connection` asks the engine, and only ever reads; `watch` is the one task for each engine.

mod address;
mod connection;
mod facts;
mod known;
mod settings;
mod tracker;
mod watch;

pub(super) use settings::Container;
