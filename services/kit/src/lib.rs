//! What every binary of the suite shares, so that no daemon has its own way of being configured, logged, asked or stopped.

#[cfg(feature = "alert")]
pub mod alert;
pub mod backoff;
pub mod chain;
pub mod cli;
pub mod clock;
pub mod config;
pub mod container;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod db;
pub mod env;
pub mod exit;
mod export;
pub mod health;
pub mod healthcheck;
pub mod hmac;
pub mod http;
pub mod log;
pub mod metrics;
pub mod notify;
pub mod openapi;
#[cfg(feature = "page")]
pub mod page;
pub mod private_file;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod queue;
pub mod seal;
mod secret_file;
pub mod secrets;
pub mod service;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
#[cfg(feature = "token")]
pub mod token;
pub mod trace;
