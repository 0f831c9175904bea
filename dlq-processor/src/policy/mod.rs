//! What a dead letter is, and what is to be done with it: facts about jobs, then ordered rules, then class and facts give an
//! action. Pure, so that every decision can be tried out before it counts.

mod action;
mod builtin;
mod canary;
mod class;
mod decide;
#[cfg(test)]
mod decide_tests;
mod error_facts;
mod facts;
mod fingerprint;
mod pattern;
mod retry;
mod rule;
mod settings;

pub use action::{Action, Alarm, Decision, Reason};
pub use canary::Canary;
pub use class::Class;
pub use decide::{Letter, Past, Policy};
pub use error_facts::ErrorFacts;
pub use facts::{Facts, JobFacts};
pub use fingerprint::Fingerprint;
pub use pattern::Pattern;
pub use retry::{Jitter, Retry};
pub use rule::{Rule, When};
pub use settings::decode_policy;
