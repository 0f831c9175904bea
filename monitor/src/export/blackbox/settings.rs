//! The section `blackbox`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kit::config::{Environment, Fields};

use crate::probe::blackbox::{Modules, Targets};

/// What stands in for blackbox_exporter.
#[derive(Clone)]
pub struct BlackboxSettings {
    /// Where it listens. Default 127.0.0.1:9115.
    pub listen: SocketAddr,
    /// What can be asked.
    pub modules: Arc<Modules>,
    /// Who may be asked. Must be written.
    pub targets: Arc<Targets>,
    /// What is left of a scrape's timeout for the way back. Default 500 ms, as there.
    pub timeout_offset: Duration,
    /// Results that are kept, and failures beside them. Default 100, as there.
    pub history: usize,
    /// Probes that run at once, at most. Default 500; who comes then is refused and asks again.
    pub at_once: usize,
}

impl BlackboxSettings {
    /// Where blackbox_exporter listens, but on this machine only.
    pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9115);
    /// As much as blackbox_exporter leaves Prometheus to take the answer.
    pub const TIMEOUT_OFFSET: Duration = Duration::from_millis(500);
    /// As much as blackbox_exporter keeps.
    pub const HISTORY: u16 = 100;
    /// Each may hold two sockets and a body.
    pub const AT_ONCE: u16 = 500;
}

impl fmt::Debug for BlackboxSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlackboxSettings").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// Checks the section; none where nothing is written or something is wrong.
pub fn decode_blackbox(top: &Fields<'_>, environment: &Environment) -> Option<BlackboxSettings> {
    let fields = top.get("blackbox")?.fields()?;
    let listen =
        fields.get("listen").map_or(Some(BlackboxSettings::LISTEN), |c| c.parse("an address like 127.0.0.1:9115"));
    let modules = fields.require("modules").and_then(|c| Modules::decode(&c, environment));
    let targets = decode_targets(&fields);
    let offsets = Duration::ZERO..=Duration::from_secs(60);
    let timeout_offset =
        fields.get("timeout_offset").map_or(Some(BlackboxSettings::TIMEOUT_OFFSET), |c| c.duration(offsets));
    let history = fields.get("history").map_or(Some(BlackboxSettings::HISTORY), |c| c.whole(1..=10_000));
    let at_once = fields.get("at_once").map_or(Some(BlackboxSettings::AT_ONCE), |c| c.whole(1..=10_000));
    fields.end();
    Some(BlackboxSettings {
        listen: listen?,
        modules: Arc::new(modules?),
        targets: Arc::new(targets?),
        timeout_offset: timeout_offset?,
        history: usize::from(history?),
        at_once: usize::from(at_once?),
    })
}

fn decode_targets(fields: &Fields<'_>) -> Option<Targets> {
    let Some(cursor) = fields.get("targets") else {
        fields.cursor().mistake(
            "\"targets\" is missing: who may be asked; list hosts, networks or URLs, or write \"*\" for everybody, which lets \
             whoever reaches this address ask anything that this machine reaches",
        );
        return None;
    };
    Targets::decode(&cursor)
}
