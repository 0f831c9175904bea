//! Knows whether every service really works, and says why it does not.
//!
//! Data flows one way: config → schedule → probe → judge → record → export, with supervise beside probe. Each module uses
//! only modules to its left; `app` alone sees all and joins them.

pub mod app;
mod config;
pub mod export;
pub mod judge;
pub mod probe;
pub mod record;
pub mod schedule;
pub mod supervise;

pub use app::{Engine, Options};
pub use config::{Config, ConfigError};
pub use probe::{Kind, Kinds, Observation};
