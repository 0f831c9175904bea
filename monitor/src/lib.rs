//! Knows whether every service really works, and says why it does not.
//!
//! ```text
//! config ──► schedule ──► probe ──► judge ──► record ──► export
//!                           ▲          │         └─────► alert ──► channels
//!                      supervise ──────┘
//! ```
//!
//! Each arrow is one plain struct on one bounded channel. What must always hold, and where it is tested:
//!
//! 1. **One direction.** The modules stand in the order config · schedule · probe · supervise · judge · record · heal ·
//!    doctor · alert · export · app; each uses only those to its left, `app` alone sees all. Kinds are values in a registry
//!    ([`Kinds`]); nothing outside it matches on a kind (`tests/architecture.rs`).
//! 2. **What decides is pure.** `judge`, `schedule`, and in `supervise` the bucket, ledger and causes have no I/O, no
//!    clock, no async; time arrives as an argument (`tests/architecture.rs`, tables and properties beside the code).
//! 3. **A probe cannot err.** Its outcome is pass, fail or unknown; unknown means that we could not ask, and never moves a
//!    check towards down (`judge/check.rs`). Old news is stale, and shown so.
//! 4. **Everything has a deadline.** Probes, store calls and stops end in time; a panic in a kind is caught, counted, and
//!    becomes unknown (`tests/it`, `tests/engine/faults.rs`).
//! 5. **The right never slows the left.** A slow disk or reader delays no probe; queues are bounded, losses are counted
//!    (`tests/engine/faults.rs`, `record/state_writer.rs`).
//! 6. **Configuration is checked whole** before anything binds; a reload is a difference, and a bad file changes nothing
//!    (`tests/config`, `tests/engine/reload.rs`).
//! 7. **Alerts are on the disk first.** A verdict change, its incident and the deliveries are one transaction before
//!    anything is sent (`alert/worker_tests.rs`, `tests/engine/alerts.rs`, `tests/engine/disk.rs`).
//! 8. **State survives.** Streaks, verdicts, ledgers and pushes outlive kill -9; hours when nobody looked are no data
//!    (`tests/engine/binary.rs`, `tests/soak`).

pub mod alert;
pub mod app;
mod command;
mod config;
pub mod doctor;
pub mod export;
pub mod heal;
pub mod judge;
pub mod probe;
pub mod record;
pub mod schedule;
pub mod supervise;

pub use app::{Engine, Options};
pub use config::{Config, ConfigError, fresh_token, make_secrets};
pub use probe::{Kind, Kinds, Observation};
