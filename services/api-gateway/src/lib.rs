//! The platform's front door: every path that clients know, the health of all services in one answer, and who may ask.
//!
//! A request flows `app` → `gate` (who asks, how often) → `routes` (a row of `table`) or `chat` → `forward`, which streams
//! both ways. What waits for a peer has a deadline, and no peer's failure makes the gateway itself unready.

mod app;
mod breaker;
mod chat;
mod cors;
mod figures;
mod forward;
mod gate;
mod health;
mod index;
mod limit;
mod openapi;
mod path;
mod routes;
mod settings;
mod table;
mod tunnels;
mod upstream;
mod ws;

pub use app::{App, run};
pub use limit::Failure;
pub use settings::{Settings, Signed};
pub use upstream::Upstream;
