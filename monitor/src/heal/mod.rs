//! Bounded healing: when a restart may help, when it must not be tried, and what came of it. Pure; `app` gives the orders.
//!
//! * `trouble` finds what is wrong with a service, if a restart can cure that.
//! * `decide` weighs it against every veto of DESIGN section 7.
//! * `circumstances` is what bears on a service from outside of it.
//! * `elsewhere` knows what can be asked by another way first, and what came of it.
//! * `ward` looks at everybody.
//! * `record` is what is kept of a service's heals, across restarts of the monitor.
//! * `settings` is what a service asks for; nothing is healed unless it asks.

mod circumstances;
#[cfg(test)]
mod clinic;
mod decide;
mod elsewhere;
mod hold;
mod record;
mod settings;
mod stateful;
mod trouble;
mod ward;

pub use decide::{Decision, Host, Situation, decide};
pub use elsewhere::{Inquired, Inquiry, Stop};
pub use hold::Hold;
pub use record::{DOCUMENTS, EVERYBODY, Heal, HealAction, HealRecord, HealResult, PAUSES, Pause};
pub use settings::{HealSettings, HostHealSettings, decode_heal, decode_host_heal};
pub use trouble::{Diagnosis, Trouble, diagnose};
pub use ward::{Patient, PatientCard, Rounds, Ward};
