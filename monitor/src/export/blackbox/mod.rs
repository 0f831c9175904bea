//! In place of blackbox_exporter: its routes on a listener of their own, so that no scrape configuration changes.
//!
//! What is asked and told is `probe::blackbox`'s; here is who may ask, how much at once, and what is kept to look at.

mod desk;
mod differences;
mod history;
mod page;
mod query;
mod render;
mod routes;
mod settings;

pub use desk::Blackbox;
pub use differences::{DIFFERENCES, Difference, How};
pub use routes::router;
pub use settings::{BlackboxSettings, decode_blackbox};
