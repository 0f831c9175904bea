//! The durable client by which daemons hand their alerts to the monitor.
//!
//! [`AlertClient::fire`] and [`AlertClient::resolve`] write to a queue and return; [`AlertClient::run`] posts what is
//! there to the monitor in the Alertmanager v2 format, again and again until it is accepted, firing before resolved for
//! each alert. Whom an alert reaches, grouping and silences are the monitor's business.

mod client;
mod courier;
mod error;
mod fallback;
mod figures;
mod kinds;
mod lane;
mod outage;
mod post;
mod settings;

pub use client::AlertClient;
pub use error::AlertError;
pub use kinds::{Alert, Open, Severity};
pub use settings::{AlertSettings, Fallback};

/// Longest alert, in bytes of JSON: names, labels and annotations. Ours: with [`MAX_NEWS`] of them a lane stays below
/// half of what a job may carry.
pub const MAX_ALERT_BYTES: usize = 8 * 1024;
/// How many things that the monitor has not accepted are kept for one alert. When an alert flaps more often than that
/// while the monitor is away, what lies between its first and last news is left out.
pub const MAX_NEWS: usize = 16;
