//! The platform's front door: the health of all services in one answer, and the way to the Airtable gateway.
//!
//! What waits for a peer has a deadline, and no peer's failure makes the gateway itself unready.

mod app;
mod health;
mod index;
mod percent;
mod settings;
mod upstream;

pub use app::{app, run, start};
pub use settings::{Settings, VARIABLES, own_url};
pub use upstream::Upstream;
