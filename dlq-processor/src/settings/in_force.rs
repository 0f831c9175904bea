//! The policy that decides now: another one may take its place while everything runs.

use std::sync::{Arc, PoisonError, RwLock};

use crate::policy::Policy;

/// The policy that decides. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct InForce(Arc<RwLock<Arc<Policy>>>);

impl InForce {
    /// One that decides from now on.
    pub(crate) fn new(policy: Policy) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(policy))))
    }

    /// Returns it; whoever decides of several things at once asks once.
    pub(crate) fn now(&self) -> Arc<Policy> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has another one decide from now on.
    pub(crate) fn set(&self, policy: Policy) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }
}
