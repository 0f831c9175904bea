//! What others read: API, gate, metrics, page, badges, live events. Reads the board; never makes anybody wait.

mod access;
mod alert_metrics;
mod alertmanager;
mod alerts;
mod announcement;
mod api;
mod badge;
mod blackbox;
mod catalogue;
mod discovered;
mod events;
mod findings;
mod gate;
mod healing;
mod metrics;
mod overlay;
mod page;
mod probe_metrics;
mod program;
mod shared;
mod status;
mod workload_status;
mod write;

pub use access::{Reception, Visitor};
pub use announcement::ANNOUNCEMENTS;
pub use api::router;
pub use blackbox::{
    Blackbox, BlackboxSettings, DIFFERENCES, Difference, How, decode_blackbox, router as blackbox_router,
};
pub use catalogue::{Catalogue, CheckCard, ServiceCard};
pub use events::Change;
pub use findings::{FindingStatus, found_now};
pub use gate::{Cursor, GateAnswer, GateService};
pub use kit::http::{ACCESS_NAMES, AccessSettings, Public, decode_access, is_access_name};
pub use metrics::read_metrics_from;
pub use overlay::OverlayStatus;
pub use probe_metrics::ProbeMetrics;
pub use program::Program;
pub use shared::{Ask, LoopFigures, ReloadWish, Shared, Wishes};
pub use status::{CheckStatus, LastStatus, NeedsStatus, ServiceStatus, Status, status_of};
pub use workload_status::WorkloadStatus;
