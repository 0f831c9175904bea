//! What a program brings along that has the engine built in: its name, its own metrics, and an eye on what is observed.

use std::fmt;
use std::sync::Arc;

use kit::metrics::Metrics;

use super::plan::Plan;
use crate::export::Program;
use crate::probe::Observation;

/// Sees what the engine's loop does, as it does it: it must not wait.
pub trait Observer: Send + Sync {
    /// A plan holds from now on, at the start and after each reload.
    fn configured(&self, plan: &Plan);

    /// A check of this kind was observed.
    fn observed(&self, kind: &'static str, observation: &Observation);
}

/// Sees nothing.
impl Observer for () {
    fn configured(&self, _plan: &Plan) {}

    fn observed(&self, _kind: &'static str, _observation: &Observation) {}
}

/// The program that an engine is part of. Cheap to clone.
#[derive(Clone)]
pub struct Embedding {
    /// What it is called.
    pub program: Program,
    /// Its own metrics, to which the engine adds those of what it watches.
    pub metrics: Metrics,
    /// Sees every observation.
    pub observer: Arc<dyn Observer>,
}

impl Embedding {
    /// A program that has no metrics of its own yet and observes nothing.
    pub fn new(program: Program) -> Self {
        Self { program, metrics: Metrics::new(program.name, program.version), observer: Arc::new(()) }
    }
}

impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Embedding").field(&self.program).finish()
    }
}
