//! The platform's front door: the health of all services in one answer, and the way to the Airtable gateway.
//!
//! Requests flow `app` → `health` or `airtable`; `airtable` admits, checks the path and hands on to `forward`, which
//! streams both ways. What waits for a peer has a deadline, and no peer's failure makes the gateway itself unready.

mod airtable;
mod app;
mod forward;
mod headers;
mod health;
mod idle;
mod index;
mod percent;
mod settings;
mod upstream;

pub use app::{app, run};
pub use settings::Settings;
pub use upstream::Upstream;
