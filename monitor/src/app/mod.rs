//! Joins everything: the engine that others embed, its loop, its start and its end.

mod alarm;
mod cards;
mod channels;
mod daemon;
mod dead_man;
mod discoveries;
mod embedding;
mod engine;
mod examining;
mod found;
mod healer;
mod inquirer;
mod lookout;
mod loopback;
mod needs;
mod news;
mod pilot;
mod plan;
mod program_digest;
mod recall;
mod reload;
mod replicas;
mod restore;
mod service;
mod takeover;
mod turn;
mod uplink;
mod watch_runtime;

pub use daemon::{tell_systemd, watch_config};
pub use embedding::{Embedding, Observer};
pub use engine::{Engine, OnReady, Options, StartError};
pub use found::Found;
pub use needs::{Needs, start_order};
pub use plan::{CheckPlan, Plan, Retention, ServicePlan, Slo};
pub use service::CheckDefaults;
