//! Asks what a module of blackbox_exporter asks of a target that somebody names at that moment, and tells what that
//! exporter would tell. Every kind of prober uses the same lookups, sockets, handshakes and HTTP as the checks do.
//!
//! Where that exporter is at fault this is not; what differs is listed in `export/blackbox/differences.rs`.

mod dialog;
mod dns;
mod file;
mod gauges;
mod grpc;
mod guarded;
mod http;
mod icmp;
mod modules;
mod re2;
mod shown;
mod targets;
mod tcp;
mod tls;
mod unix;
mod visit;
mod websocket;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

pub use gauges::{Family, GAUGES, Gauge, Gauges};
pub use modules::{Module, Modules};
pub use shown::without_userinfo;
pub use targets::Targets;

use self::visit::{Stop, Visit};
use super::address::Host;
use super::observation::ReasonCode;
use super::run::Vantage;

/// Servers that let blackbox_exporter pass by its name let us pass too.
const AGENT: &str = concat!("Blackbox-Exporter/0.28.0 (monitor/", env!("CARGO_PKG_VERSION"), ")");

/// What is asked by a module.
trait Prober: Send + Sync + 'static {
    /// Asks once. What is known so far is in the visit, however this ends.
    fn ask<'a>(&'a self, visit: &'a mut Visit) -> BoxFuture<'a, Result<(), Stop>>;

    /// Adds the gauges that are only known at the end, such as what each step took.
    fn conclude(&self, visit: &mut Visit);

    /// Returns the name that the module itself asks for, if it does.
    fn hostname(&self) -> Option<&str> {
        None
    }
}

/// One wish to probe.
#[derive(Debug, Clone)]
pub struct Wish {
    /// As it was written in the query.
    pub target: String,
    /// The name to ask for instead of the target's.
    pub hostname: Option<String>,
    /// How long it may take.
    pub timeout: Duration,
}

impl Wish {
    /// Returns whether this can be a name to ask for: a host, with a port or without, and nothing else.
    pub fn is_hostname(text: &str) -> bool {
        let (host, port) = text.split_at(without_port(text).len());
        !port.ends_with(":0") && (host.starts_with('[') || !host.contains(':')) && Host::parse(host).is_some()
    }
}

/// A header `Host` may have a port; a certificate has none.
fn without_port(host: &str) -> &str {
    host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(host, _)| host)
}

/// One line of what happened, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Since the beginning.
    pub after: Duration,
    /// What happened.
    pub text: String,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Probed {
    /// Whether the target did what the module expects.
    pub success: bool,
    /// Why not.
    pub reason: Option<(ReasonCode, String)>,
    /// Set if it may not be asked: then nothing was sent to it.
    pub refused: Option<String>,
    /// What Prometheus is told.
    pub gauges: Gauges,
    /// What happened.
    pub lines: Vec<Line>,
    /// From the beginning to the end.
    pub took: Duration,
    /// What was talked to.
    pub address: Option<SocketAddr>,
}

/// Asks once; never errs, never panics, never takes longer than it may.
///
/// # Cancel safety
/// Dropping the future closes every socket.
pub async fn probe(module: &Module, wish: Wish, targets: Arc<Targets>, vantage: Arc<Vantage>) -> Probed {
    let began = Instant::now();
    let timeout = wish.timeout;
    let mut visit = Visit::new(module, wish, targets, vantage);
    let deadline = visit.run.deadline;
    let asked = AssertUnwindSafe(tokio::time::timeout_at(deadline, module.prober.ask(&mut visit)));
    let stop = match asked.catch_unwind().await {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(stop))) => Some(stop),
        Ok(Err(_elapsed)) => Some(visit.timed_out()),
        Err(_panic) => Some(Stop::Failed(ReasonCode::Panic, "the probe itself broke".to_owned())),
    };
    module.prober.conclude(&mut visit);
    visit.close(stop, began.elapsed(), timeout)
}
