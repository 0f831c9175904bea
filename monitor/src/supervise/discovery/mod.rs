//! Finds services by themselves: what a runtime runs and wants to be watched.
//!
//! * `settings` reads `discover:`.
//! * `sighting` is what a runtime says of one workload, `roster` what is known of all of them over time; both are pure.
//! * `labels` translates a workload's labels into what a configuration says of a service; it is pure too.

mod finds;
mod labels;
mod roster;
mod settings;
mod sighting;

use std::fmt;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::workload::{Sought, Workload};

pub use finds::{Finds, FoundBy};
pub use labels::{Labelled, told};
pub use roster::{Known, Roster};
pub use settings::Discovery;
pub(super) use sighting::service_name;
pub use sighting::{LABEL_PREFIX, Labels, OneOf, Reach, Sighting};

/// One look at everything that a runtime runs, or why that could not be had.
pub type Look = Result<Vec<Sighting>, String>;

/// Looks for workloads that want to be watched. It only reads.
pub trait Scout: fmt::Debug + Send + Sync {
    /// Returns where it looks.
    fn address(&self) -> &str;

    /// Returns what it looks for, in words.
    fn looks_for(&self) -> String;

    /// Returns how what was found is watched.
    fn workload(&self, sought: &Sought) -> Workload;

    /// Looks once. It ends in time.
    fn look(&self) -> BoxFuture<'static, Look>;

    /// Looks again and again, above all when something has changed, and tells what it sees until nobody listens.
    fn keep_looking(&self, looks: mpsc::Sender<Look>) -> BoxFuture<'static, ()>;
}
