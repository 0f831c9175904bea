//! Finds, before anything runs, the mistakes that make services restart for ever or look unhealthy.
//!
//! * `compose` reads a Docker Compose project as Compose itself does; `units` reads systemd unit files.
//! * `engine` looks into the images, where a container engine is there.
//! * `rules` holds what is a mistake: each [`Rule`] is a pure function over what was read, listed in a registry.
//! * `footing` checks the place this monitor itself stands on.
//! * `settings` says what a running monitor examines by itself, `examiner` does it, `examined` is what it knows then;
//!   `first_seen` remembers since when.
//!
//! A rule speaks only where it knows: what could not be looked into is listed beside the findings, never guessed.

pub mod compose;
mod engine;
mod examined;
mod examiner;
mod finding;
mod first_seen;
pub mod footing;

mod rules;
mod settings;
pub mod units;

pub use engine::look_into;
pub use examined::{Examined, Found, Look, Looked, can_be_ignored};
pub use examiner::Examiner;
pub use finding::{Diagnosis, Finding, Hit, Rule, RuleText, Severity, diagnose, identity};
pub use first_seen::FirstSeen;
pub use rules::{compose_rules, texts, unit_rules};
pub use settings::{DoctorSettings, decode_doctor};
