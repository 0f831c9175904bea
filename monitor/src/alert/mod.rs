//! Alerts that cannot be lost: incidents from verdicts, an outbox on disk, channels that retry.
//!
//! ```text
//! board ──► conditions ──► desk (incidents) ──► tell (deliveries) ──► record ──► outbox ──► channel
//! ```

mod alerts;
mod calendar;
mod channel;
mod compose;
mod condition;
mod delivery;
mod desk;
#[cfg(test)]
mod desk_tests;
mod discovered;
mod doctor;
mod drill;
mod elsewhere;
mod evidence;
mod external;
mod external_conditions;
mod figures;
mod findings;
mod fingerprint;
#[cfg(test)]
mod history_tests;
mod incident;
mod matcher;
mod message;
mod objectives;
mod outbox;
mod own;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod replay_tests;
mod route;
mod settings;
mod silence;
mod slo;
mod tell;
mod verdicts;
mod web;
mod worker;
#[cfg(test)]
mod worker_tests;
#[cfg(test)]
mod world;
#[cfg(test)]
mod world_alerts;
#[cfg(test)]
mod world_disk;
#[cfg(test)]
mod world_receiver;

pub(crate) use alerts::read_rows;
pub use alerts::{ALERT_DOCUMENTS, Alerts, Became, ORIGIN_LABEL, TakenPost};
pub use channel::{
    Accepted, Channel, ChannelKind, ChannelKinds, ChannelSettings, Channels, EvidenceLevel, SendError, decode_channels,
};
pub use compose::{Context, compose};
pub use condition::{Condition, Holds};
pub use delivery::{Delivery, DeliveryId, DeliveryState};
pub use desk::{Desk, HOLD, Look};
pub use doctor::doctor_condition;
pub use drill::{DRILL_PATIENCE, DrillRecord};
pub use elsewhere::Elsewhere;
pub use external::{External, Externals, Posted, Taken};
pub use figures::AlertFigures;
pub use incident::{Acknowledgement, Ending, Event, EventKind, Incident, Resolution, Told, ToldState};
pub use matcher::Matcher;
pub use message::{AlertPart, Evidence, Happening, Links, Message, Severity, Status};
pub use objectives::{Objective, Objectives, Slos};
pub use outbox::{Outbox, Pick, Waiting};
pub(crate) use own::CHANNEL_KEY;
pub use route::{Hours, Reminders, Route, Routes, Step, Target};
pub use settings::{AlertSettings, DeadMan, decode_alerts, decode_service};
pub use silence::{OnceWindow, Silence, Suppression, When, Window};
pub use slo::{Budget, Count, PACES, PERIOD, Pace, show_percent};
pub use tell::{Changes, Telling};
pub use verdicts::{ServiceAlerts, ServicesAlerts, conditions};
pub(crate) use web::is_web_url;
