//! What was found by itself, as readers see it.

use kit::metrics::{Sample, family};
use prometheus::proto::MetricFamily;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::catalogue::Catalogue;
use crate::supervise::discovery::{Finds, FoundBy};

/// Who found a service that nobody wrote.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FoundStatus {
    /// The discovery's name.
    pub by: String,
    /// What it is there, such as `container "web-1"`.
    pub what: String,
    /// What is wrong with its labels; what that concerns is not watched.
    pub mistakes: Vec<String>,
}

impl FoundStatus {
    pub(super) fn of(found: &FoundBy) -> Self {
        Self { by: found.discovery.to_string(), what: found.shown.clone(), mistakes: found.mistakes.clone() }
    }
}

/// What came of one discovery.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DiscoveryStatus {
    /// Its name.
    pub name: String,
    /// Where it looks.
    pub address: String,
    /// What it looks for, in words.
    pub looks_for: String,
    /// Services that are watched because of it.
    pub services: usize,
    /// What is there beyond its limit, and is not watched.
    pub left_out: usize,
    /// Why it cannot look now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub blind: Option<String>,
    /// What is wrong that belongs to no service.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub problems: Vec<String>,
}

impl DiscoveryStatus {
    pub(super) fn of(finds: &Finds) -> Self {
        Self {
            name: finds.discovery.to_string(),
            address: finds.address.clone(),
            looks_for: finds.looks_for.clone(),
            services: finds.services,
            left_out: finds.left_out,
            blind: finds.blind.clone(),
            problems: finds.problems.clone(),
        }
    }
}

/// Returns what is counted of discoveries.
pub(super) fn families(catalogue: &Catalogue) -> Vec<MetricFamily> {
    let each = |value: &dyn Fn(&Finds) -> usize| {
        #[expect(clippy::cast_precision_loss, reason = "counts of services")]
        let sample = |finds: &Finds| Sample::of([("discovery", &finds.discovery)], value(finds) as f64);
        catalogue.discoveries.iter().map(sample).collect::<Vec<_>>()
    };
    vec![
        family(
            "monitor_discovery_up",
            "1 while it can be looked for services.",
            each(&|finds| usize::from(finds.blind.is_none())),
        ),
        family("monitor_discovery_services", "Services that were found by themselves.", each(&|finds| finds.services)),
        family(
            "monitor_discovery_left_out",
            "What is there beyond the limit, and is not watched.",
            each(&|finds| finds.left_out),
        ),
        family(
            "monitor_discovery_mistakes",
            "What is wrong with what was found, and not watched as wanted.",
            each(&|finds| finds.wrong().count()),
        ),
    ]
}
