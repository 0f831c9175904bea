//! One run of a probe as its kind sees it: the clock of its phases, its deadline, and where we ask from.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Uri};
use kit::http::Path;
use tokio::time::Instant;

use super::detour::Detour;
use super::handshake::Handshake;
use super::observation::{CheckId, Phase, Reason, Seen};
use super::pushes::Pushes;

/// Where servers listen that `/etc/resolv.conf` names (resolv.conf(5)).
const DNS_PORT: u16 = 53;

/// A kind stops waiting this long before the deadline, so that it can say what came instead, or whose fault silence is.
const LAST_WORD: Duration = Duration::from_millis(10);

/// What all probes of this monitor share: where we look from.
pub struct Vantage {
    /// Resolves names with the system's servers and hosts file, without a cache.
    pub resolver: hickory_resolver::TokioResolver,
    /// The system's servers, in the order in which they are asked.
    pub name_servers: Vec<SocketAddr>,
    /// Trust roots of this machine, or the bundled ones if it has none.
    pub roots: Arc<rustls::RootCertStore>,
    /// What watched jobs pushed.
    pub pushes: Pushes,
}

impl Vantage {
    /// Reads the system's resolver configuration and trust roots.
    ///
    /// # Errors
    /// When `/etc/resolv.conf` cannot be read.
    pub fn of_system() -> Result<Self, hickory_resolver::net::NetError> {
        let (config, _) = hickory_resolver::system_conf::read_system_conf()?;
        let servers = config.name_servers.iter();
        let name_servers = servers.map(|server| SocketAddr::new(server.ip, DNS_PORT)).collect();
        let mut builder = hickory_resolver::TokioResolver::builder_tokio()?;
        let options = builder.options_mut();
        // Every probe asks anew: a cached answer would hide that the resolver is gone.
        options.cache_size = 0;
        options.attempts = 1;
        Ok(Self { resolver: builder.build()?, name_servers, roots: kit::tls::roots(), pushes: Pushes::default() })
    }
}

/// What a run leaves behind, however it ended.
pub struct Left {
    /// What each step took, in order.
    pub phases: Vec<(Phase, Duration)>,
    /// What was learned.
    pub seen: Seen,
    /// Soft limits found broken.
    pub soft: Vec<Reason>,
    /// The last HTTP request, for the span.
    pub request: Option<Asked>,
}

/// An HTTP request as the span tells it.
#[derive(Debug)]
pub struct Asked {
    /// How it is asked.
    pub method: Method,
    /// Whom; its query and its credentials are told to nobody.
    pub uri: Uri,
    /// Whether its path may be told.
    pub path: Path,
}

/// One run: given to a kind, kept by the runner, so that phases survive a deadline.
pub struct Run {
    /// Whose run it is.
    pub check: CheckId,
    /// Shared means.
    pub vantage: Arc<Vantage>,
    /// How long it may take.
    pub timeout: Duration,
    /// When the run must be over. The runner enforces it; kinds may use it to say more.
    pub deadline: Instant,
    /// W3C `traceparent` to send to the target, if its protocol has a place for it.
    pub traceparent: String,
    /// False if no expectation looks at the body: then a kind may count it instead of keeping it.
    pub needs_body: bool,
    /// The other way by which it is asked, if it is.
    pub detour: Option<Detour>,
    /// What was learned so far. Kept when the probe fails or is ended, so that a certificate's expiry outlives it.
    pub seen: Seen,
    /// Soft limits found broken so far; they count only if the probe passes.
    pub soft: Vec<Reason>,
    /// The HTTP request that is being made, or was the last.
    pub(super) request: Option<Asked>,
    /// True if answers may stand in paths: then only those of the configuration are told.
    pub(super) hides_paths: bool,
    /// True if somebody wants to look at certificates themselves.
    pub(super) keeps_chain: bool,
    /// What the last handshake showed, if so.
    pub(super) handshake: Option<Handshake>,
    phases: Vec<(Phase, Duration)>,
    current: Option<(Phase, Instant)>,
}

impl Run {
    /// Begins a run.
    pub fn new(check: CheckId, vantage: Arc<Vantage>, timeout: Duration, traceparent: String) -> Self {
        Self {
            check,
            vantage,
            timeout,
            deadline: Instant::now() + timeout,
            traceparent,
            needs_body: true,
            detour: None,
            seen: Seen::default(),
            soft: Vec::new(),
            request: None,
            hides_paths: false,
            keeps_chain: false,
            handshake: None,
            phases: Vec::with_capacity(5),
            current: None,
        }
    }

    /// Returns when to stop waiting, so that a kind still says more than that the time is over.
    pub fn last_word(&self) -> Instant {
        self.deadline.checked_sub(LAST_WORD).unwrap_or(self.deadline)
    }

    /// Times one step. A phase that happens again (redirects) adds up.
    ///
    /// # Cancel safety
    /// If the future is dropped half-way the phase stays current and is closed by [`Run::finish`].
    pub async fn phase<T>(&mut self, phase: Phase, step: impl Future<Output = T>) -> T {
        self.enter(phase);
        let result = step.await;
        self.leave();
        result
    }

    /// Begins a step whose end is not one future; ends the one before.
    pub fn enter(&mut self, phase: Phase) {
        self.leave();
        self.current = Some((phase, Instant::now()));
    }

    /// Ends the current step.
    pub fn leave(&mut self) {
        if let Some((phase, began)) = self.current.take() {
            let took = began.elapsed();
            match self.phases.iter_mut().find(|(known, _)| *known == phase) {
                Some((_, total)) => *total += took,
                None => self.phases.push((phase, took)),
            }
        }
    }

    /// Returns what the steps that have ended took, in order.
    pub(super) fn took(&self) -> Vec<(Phase, Duration)> {
        self.phases.clone()
    }

    /// Returns the step that is going on, if any.
    pub fn current(&self) -> Option<Phase> {
        self.current.map(|(phase, _)| phase)
    }

    /// Closes the current step and returns what the run leaves behind.
    pub fn finish(mut self) -> Left {
        self.leave();
        Left { phases: self.phases, seen: self.seen, soft: self.soft, request: self.request }
    }
}
