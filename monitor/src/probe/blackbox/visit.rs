//! One probe on its way: what it may, what it has found out, and how it gets to an address.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use super::gauges::{self, Gauge, Gauges};
use super::targets::{Place, Targets};
use super::{Line, Module, Probed, Wish, without_port};
use crate::probe::address::Host;
use crate::probe::dial_error::{explain, has_route};
use crate::probe::observation::{CheckId, Outcome, Phase, Reason, ReasonCode};
use crate::probe::resolve::{Families, Found, either, resolve};
use crate::probe::run::{Left, Run, Vantage};
use crate::probe::runner::while_in;

/// Lines that are kept of one probe, and characters of each.
const MAX_LINES: usize = 100;
const MAX_LINE_CHARS: usize = 300;

/// Why a probe ends before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// The target is not as the module expects it.
    Failed(ReasonCode, String),
    /// It may not be asked, and was not.
    Refused(String),
}

impl Stop {
    pub(super) fn failed(code: ReasonCode, text: impl Into<String>) -> Self {
        Self::Failed(code, text.into())
    }
}

impl From<Outcome> for Stop {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Fail(Reason { code, text }) | Outcome::Unknown(Reason { code, text }) => Self::Failed(code, text),
            Outcome::Pass => Self::failed(ReasonCode::Protocol, "ended too early"),
        }
    }
}

/// Which version of IP is preferred, and whether the other will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Preference {
    pub(super) v6: bool,
    pub(super) fallback: bool,
}

/// One probe on its way.
pub(super) struct Visit {
    pub(super) run: Run,
    pub(super) gauges: Gauges,
    pub(super) wish: Wish,
    targets: Arc<Targets>,
    lines: Vec<Line>,
    /// Secrets of this probe alone, which nobody else knows.
    secrets: Vec<SecretString>,
    began: Instant,
    /// What the steps took, once it is over.
    phases: Vec<(Phase, Duration)>,
    /// True once something was asked of the target.
    has_asked: bool,
    /// True if the name that was wished for is the one that the module asks for anyway.
    is_hostname_known: bool,
}

impl Visit {
    pub(super) fn new(module: &Module, wish: Wish, targets: Arc<Targets>, vantage: Arc<Vantage>) -> Self {
        let mut run = Run::new(CheckId::new("blackbox", &module.name), vantage, wish.timeout, String::new());
        run.keeps_chain = true;
        let is_hostname_known = wish.hostname.is_some() && wish.hostname.as_deref() == module.hostname();
        Self {
            run,
            gauges: Gauges::default(),
            wish,
            targets,
            lines: Vec::new(),
            secrets: Vec::new(),
            began: Instant::now(),
            phases: Vec::new(),
            has_asked: false,
            is_hostname_known,
        }
    }

    /// Writes down what happens; what is quoted loses its secrets.
    pub(super) fn say(&mut self, text: impl AsRef<str>) {
        if self.lines.len() < MAX_LINES {
            let text = self.without_secrets(text.as_ref());
            let text = text.chars().take(MAX_LINE_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
            self.lines.push(Line { after: self.began.elapsed(), text });
        }
    }

    /// Takes a secret that comes and goes, unlike those that [`kit::secrets`] knows, out of all that is said from now on.
    pub(super) fn hide(&mut self, secret: SecretString) {
        // As short ones stay there: they would blank ordinary words.
        if secret.expose_secret().len() >= kit::secrets::MIN_BYTES {
            self.secrets.push(secret);
        }
    }

    fn without_secrets(&self, text: &str) -> String {
        let text = kit::secrets::redact(text).into_owned();
        self.secrets.iter().fold(text, |text, secret| text.replace(secret.expose_secret(), kit::secrets::SHOWN))
    }

    /// Looks up a host, says so in the gauges that all probers have, and returns the one address to connect to.
    pub(super) async fn choose_first(&mut self, place: Place<'_>, preference: Preference) -> Result<IpAddr, Stop> {
        self.check_hostname(place)?;
        for gauge in [gauges::LOOKUP_TIME, gauges::IP_PROTOCOL, gauges::IP_HASH] {
            self.gauges.set(gauge, 0.0);
        }
        let began = Instant::now();
        let chosen = self.choose(place, preference).await;
        self.gauges.set(gauges::LOOKUP_TIME, began.elapsed().as_secs_f64());
        let address = chosen?;
        self.gauges.set(gauges::IP_PROTOCOL, if address.is_ipv4() { 4.0 } else { 6.0 });
        self.gauges.set(gauges::IP_HASH, f64::from(hash(address)));
        Ok(address)
    }

    /// Looks up a host and returns the one address to connect to, if it may be asked.
    pub(super) async fn choose(&mut self, place: Place<'_>, preference: Preference) -> Result<IpAddr, Stop> {
        if !self.targets.may(place) {
            return Err(self.refuse(place, ""));
        }
        let families = match preference {
            Preference { fallback: true, .. } => Families::Each,
            Preference { v6: true, .. } => Families::V6,
            Preference { v6: false, .. } => Families::V4,
        };
        let (v6, v4) = resolve(&mut self.run, place.host, families).await;
        let found = in_order(v6, v4, preference)?;
        let permitted: Vec<IpAddr> =
            found.iter().copied().filter(|address| self.targets.permits(place, *address)).collect();
        let routed = permitted.iter().find(|address| has_route(SocketAddr::new(**address, place.port.unwrap_or(9))));
        match routed.or(permitted.first()) {
            Some(address) => {
                self.say(format!("resolved {} to {address}", place.host));
                Ok(*address)
            }
            None => {
                let at: Vec<String> = found.iter().map(|address| format!(" at {address}")).collect();
                Err(self.refuse(place, at.first().map_or("", String::as_str)))
            }
        }
    }

    /// Refuses a name that was wished for if it is neither the target's own, nor the module's, nor listed: whoever stands
    /// before the target may go by it.
    pub(super) fn check_hostname(&mut self, place: Place<'_>) -> Result<(), Stop> {
        let Some(hostname) = self.wish.hostname.as_deref().filter(|_| !self.is_hostname_known) else { return Ok(()) };
        let host = Host::parse(without_port(hostname));
        let is_fine =
            host.as_ref().is_some_and(|host| host == place.host || self.targets.permits_name(Place { host, ..place }));
        if is_fine {
            return Ok(());
        }
        let text = format!("hostname {hostname:?}");
        Err(self.refuse(text, ""))
    }

    /// Refuses what nothing was asked of yet; who is led elsewhere on the way has failed.
    pub(super) fn refuse(&mut self, what: impl std::fmt::Display, at: &str) -> Stop {
        let text = format!("{what}{at} is not among the targets that may be asked (blackbox.targets)");
        self.say(&text);
        if self.has_asked { Stop::failed(ReasonCode::Redirects, text) } else { Stop::Refused(text) }
    }

    /// Returns whether the name alone is enough: where somebody else looks it up, no address can be judged.
    pub(super) fn permits_name(&self, place: Place<'_>) -> bool {
        self.targets.permits_name(place)
    }

    /// Returns whether a socket in the file system may be asked.
    pub(super) fn permits_socket(&self, path: &str) -> bool {
        self.targets.permits_socket(path)
    }

    /// Connects, if need be from an address of ours.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket.
    pub(super) async fn connect(&mut self, to: SocketAddr, from: Option<IpAddr>) -> Result<TcpStream, Stop> {
        self.has_asked = true;
        self.run.seen.address = Some(to);
        let connecting = async {
            let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            if let Some(from) = from {
                socket.bind(SocketAddr::new(from, 0))?;
            }
            socket.connect(to).await
        };
        let connected = self.run.phase(Phase::Connect, connecting).await;
        let stream = connected.map_err(|error| explain(&[(to, error)]))?;
        // Small requests must leave at once. Failing to set it changes only timing.
        let _best_effort = stream.set_nodelay(true);
        self.say(format!("connected to {to}"));
        Ok(stream)
    }

    /// Notes that the target is asked by another way than [`Visit::connect`].
    pub(super) fn asks(&mut self, address: Option<SocketAddr>) {
        self.has_asked = true;
        self.run.seen.address = address.or(self.run.seen.address);
    }

    /// The stop of a probe that took too long, in words.
    pub(super) fn timed_out(&self) -> Stop {
        let step = while_in(self.run.current());
        let timeout = kit::config::show_duration(self.wish.timeout);
        Stop::failed(ReasonCode::Timeout, format!("no answer within {timeout} ({step})"))
    }

    /// Adds what each step took, as `phases` calls them. One that was not reached is left out of a failed probe: zero would
    /// be a time.
    pub(super) fn tell_phases(&mut self, gauge: Gauge, phases: &[(Phase, &str)]) {
        // One that is not over has no time either.
        if self.phases.is_empty() {
            self.phases = self.run.took();
        }
        let took = |phase: Phase| {
            let found = self.phases.iter().find(|(known, _)| *known == phase);
            found.map(|(_, took)| took.as_secs_f64())
        };
        // What was looked up without asking anybody took no time, and was reached.
        let is_resolved = self.run.seen.address.is_some();
        let told: Vec<(&str, Option<f64>)> = phases.iter().map(|(phase, name)| (*name, took(*phase))).collect();
        for (name, took) in told {
            let took = took.or((is_resolved && name == "resolve").then_some(0.0));
            if let Some(took) = took {
                self.gauges.set_with(gauge, &[("phase", name)], took);
            }
        }
    }

    /// Ends the visit.
    pub(super) fn close(mut self, stop: Option<Stop>, took: Duration, timeout: Duration) -> Probed {
        let success = stop.is_none();
        let (reason, refused) = match stop {
            None => (None, None),
            Some(Stop::Failed(code, text)) => {
                self.gauges.set_with(gauges::FAILURE, &[("reason", code.as_str())], 1.0);
                let text = self.without_secrets(&text);
                self.say(format!("failed: {text}"));
                (Some((code, text)), None)
            }
            Some(Stop::Refused(text)) => (None, Some(text)),
        };
        if success {
            self.say("succeeded");
        }
        self.gauges.flag(gauges::SUCCESS, success);
        self.gauges.set(gauges::DURATION, took.as_secs_f64());
        self.gauges.set(gauges::TIMEOUT, timeout.as_secs_f64());
        let Left { seen, .. } = self.run.finish();
        Probed { success, reason, refused, gauges: self.gauges, lines: self.lines, took, address: seen.address }
    }
}

/// The preferred family first; the other only if it will do.
fn in_order(v6: Option<Found>, v4: Option<Found>, preference: Preference) -> Result<Vec<IpAddr>, Outcome> {
    let (v6, v4) = either(v6, v4)?;
    let (mut first, second) = if preference.v6 { (v6, v4) } else { (v4, v6) };
    first.extend(second);
    Ok(first)
}

/// FNV-1a over the bytes of the address, with 32 bits.
fn hash(address: IpAddr) -> u32 {
    let fold = |bytes: &[u8]| {
        bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
    };
    match address.to_canonical() {
        IpAddr::V4(v4) => fold(&v4.octets()),
        IpAddr::V6(v6) => fold(&v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_number_that_blackbox_exporter_gives_it() {
        // Seen on blackbox_exporter 0.23.
        assert_eq!(hash([127, 0, 0, 1].into()), 3_668_918_509);
    }
}
