//! What the configuration says of services, as far as readers want to know it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use crate::judge::Severity;
use crate::probe::CheckId;
use crate::supervise::discovery::{Finds, FoundBy};

/// Every service's card, in file order. Replaced as a whole by a reload.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// The cards.
    pub services: Vec<ServiceCard>,
    /// What came of the discoveries.
    pub discoveries: Vec<Finds>,
    /// When it was loaded.
    pub loaded: Timestamp,
}

impl Catalogue {
    /// Finds a service's card.
    pub fn service(&self, name: &str) -> Option<&ServiceCard> {
        self.services.iter().find(|card| &*card.name == name)
    }

    /// Returns the services as people know them: without the replicas that some of them are.
    pub fn wholes(&self) -> impl Iterator<Item = &ServiceCard> {
        self.services.iter().filter(|card| card.replica_of.is_none())
    }

    /// Returns the checks of a service and those of its replicas.
    pub fn checks_of<'a>(&'a self, card: &'a ServiceCard) -> impl Iterator<Item = &'a CheckCard> {
        let replicas = card.replicas.iter().filter_map(|name| self.service(name));
        card.checks.iter().chain(replicas.flat_map(|replica| &replica.checks))
    }
}

/// A service as configured.
#[derive(Debug, Clone)]
pub struct ServiceCard {
    /// Its key.
    pub name: Arc<str>,
    /// What it is.
    pub about: Option<String>,
    /// The heading it is listed under.
    pub group: Option<String>,
    /// Whether its failure makes the whole fail.
    pub critical: bool,
    /// Hard needs.
    pub hard_needs: Vec<Arc<str>>,
    /// Soft needs.
    pub soft_needs: Vec<Arc<str>>,
    /// Availability objective, 0 to 1.
    pub availability: Option<f64>,
    /// Latency objective for 95 % of probes.
    pub latency_p95: Option<Duration>,
    /// Who found it, if nobody wrote it.
    pub found: Option<FoundBy>,
    /// The services that are it together, if it runs more than once.
    pub replicas: Vec<Arc<str>>,
    /// How many of them must work.
    pub quorum: usize,
    /// The service that it is a replica of.
    pub replica_of: Option<Arc<str>>,
    /// Its checks.
    pub checks: Vec<CheckCard>,
}

/// A check as configured.
#[derive(Debug, Clone)]
pub struct CheckCard {
    /// Its id.
    pub id: CheckId,
    /// The kind's name.
    pub kind: &'static str,
    /// What it is.
    pub about: Option<String>,
    /// What it asks, without secrets.
    pub target: String,
    /// Its interval.
    pub every: Duration,
    /// What its failure means.
    pub severity: Severity,
    /// Whether a job pushes to it.
    pub pushed: bool,
    /// The secret that the job shows, if it has one of its own.
    pub push_token: Option<SecretString>,
}
