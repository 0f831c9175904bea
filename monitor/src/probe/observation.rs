//! The plain struct that leaves a probe, and the words it is made of.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use kit::clock::Stamp;
use serde::Serialize;

/// A check's identity: `service/check`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId {
    /// The service's key.
    pub service: Arc<str>,
    /// The check's key within its service.
    pub check: Arc<str>,
}

impl CheckId {
    /// Joins the two keys.
    pub fn new(service: &str, check: &str) -> Self {
        Self { service: service.into(), check: check.into() }
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.check)
    }
}

/// One probe's result.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Whose result it is.
    pub check: CheckId,
    /// When the probe began.
    pub started: Stamp,
    /// From the first step to the last.
    pub took: Duration,
    /// What each step took, in order; steps that were not reached are absent.
    pub phases: Vec<(Phase, Duration)>,
    /// Whether the target did what is expected of it.
    pub outcome: Outcome,
    /// Soft limits that a pass broke (latency, certificate soon to expire): the check is `degraded`.
    pub soft: Vec<Reason>,
    /// Small facts for people; never a body.
    pub seen: Seen,
    /// Why the probe ran now.
    pub why: Why,
    /// W3C trace id that the target was given, 32 hex digits.
    pub trace_id: String,
    /// Whether a collector is told of that trace even if nothing in it fails.
    pub is_recorded: bool,
}

impl Observation {
    /// Returns what took the time, for people: the steps of a journey that were taken, or else the phases.
    pub fn parts(&self) -> Vec<(&str, Duration)> {
        if self.seen.steps.is_empty() {
            return self.phases.iter().map(|(phase, took)| (phase.as_str(), *took)).collect();
        }
        let steps = self.seen.steps.iter();
        steps.filter_map(|step| Some((step.name.as_str(), Duration::from_secs_f64(step.took_ms? / 1000.0)))).collect()
    }
}

/// What a probe found. There is no error beside it: a probe cannot err.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The target did everything that is expected of it.
    Pass,
    /// The target did not.
    Fail(Reason),
    /// We could not ask (no socket, no resolver, our own uplink down); says nothing of the target.
    Unknown(Reason),
}

/// Why an outcome is not a pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Closed set, for metrics and for deciding what can be healed.
    pub code: ReasonCode,
    /// One line for people; names the thing and shows what was there.
    pub text: String,
}

impl Reason {
    /// Builds a reason; secrets that the text quotes are taken out of it.
    pub fn new(code: ReasonCode, text: impl Into<String>) -> Self {
        let text: String = text.into();
        Self { code, text: kit::secrets::redact(&text).into_owned() }
    }
}

impl Outcome {
    /// The target did not do what is expected of it.
    pub fn fail(code: ReasonCode, text: impl Into<String>) -> Self {
        Self::Fail(Reason::new(code, text))
    }

    /// We could not ask, for a cause on this machine.
    pub fn local(text: impl Into<String>) -> Self {
        Self::Unknown(Reason::new(ReasonCode::Local, text))
    }
}

/// Closed set of causes; the names are the metric label values and the JSON words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// The connection was refused.
    Refused,
    /// The deadline passed.
    Timeout,
    /// The peer closed or reset the connection before the answer was complete.
    Reset,
    /// A reachable resolver says that the name does not resolve.
    Dns,
    /// No route to the host, from a network that works.
    Unreachable,
    /// The TLS handshake failed for another cause than the certificate.
    Tls,
    /// The certificate or host key is wrong, expired or not trusted.
    Certificate,
    /// The answer is not of the protocol.
    Protocol,
    /// Name and password were refused, or are needed and not configured.
    Auth,
    /// The server answers, and says in its protocol that it cannot do what it is asked: it starts, is full, knows no such name.
    Rejected,
    /// The HTTP status is not an expected one.
    Status,
    /// A header is missing or not as expected.
    Header,
    /// The body or the reply is not as expected.
    Body,
    /// A JSON path is missing or not as expected.
    Json,
    /// `expr` is false or could not be evaluated on this answer.
    Expression,
    /// The answer is larger than the limit.
    TooLarge,
    /// More redirects than allowed.
    Redirects,
    /// Slower than `max_latency`.
    Latency,
    /// The certificate expires sooner than `cert_valid_for`.
    CertificateExpiry,
    /// One of several address families or replicas fails.
    Partial,
    /// A command exited with another code than expected, or could not be run.
    Exit,
    /// No push arrived in time.
    Missed,
    /// The watched job reported a failure.
    Reported,
    /// A host resource is beyond its limit, or a process is not there.
    Limit,
    /// We could not ask: no socket, no permission, no resolver.
    Local,
    /// The address leads back to the monitor's own container.
    UnreachableFromHere,
    /// At least two anchors of the same scope fail too: our uplink is down.
    Uplink,
    /// The probe itself broke; a fault of ours.
    Panic,
}

impl ReasonCode {
    /// Every code, so that metrics can start at zero.
    pub const ALL: [Self; 28] = [
        Self::Refused,
        Self::Timeout,
        Self::Reset,
        Self::Dns,
        Self::Unreachable,
        Self::Tls,
        Self::Certificate,
        Self::Protocol,
        Self::Auth,
        Self::Rejected,
        Self::Status,
        Self::Header,
        Self::Body,
        Self::Json,
        Self::Expression,
        Self::TooLarge,
        Self::Redirects,
        Self::Latency,
        Self::CertificateExpiry,
        Self::Partial,
        Self::Exit,
        Self::Missed,
        Self::Reported,
        Self::Limit,
        Self::Local,
        Self::UnreachableFromHere,
        Self::Uplink,
        Self::Panic,
    ];

    /// Returns the word used in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Dns => "dns",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Certificate => "certificate",
            Self::Protocol => "protocol",
            Self::Auth => "auth",
            Self::Rejected => "rejected",
            Self::Status => "status",
            Self::Header => "header",
            Self::Body => "body",
            Self::Json => "json",
            Self::Expression => "expression",
            Self::TooLarge => "too_large",
            Self::Redirects => "redirects",
            Self::Latency => "latency",
            Self::CertificateExpiry => "certificate_expiry",
            Self::Partial => "partial",
            Self::Exit => "exit",
            Self::Missed => "missed",
            Self::Reported => "reported",
            Self::Limit => "limit",
            Self::Local => "local",
            Self::UnreachableFromHere => "unreachable_from_here",
            Self::Uplink => "uplink",
            Self::Panic => "panic",
        }
    }
}

/// A timed step of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Name to addresses.
    Dns,
    /// TCP handshake.
    Connect,
    /// TLS handshake.
    Tls,
    /// From the request's first byte out to the answer's first byte in.
    FirstByte,
    /// The rest of the answer.
    Transfer,
    /// A command's run.
    Exec,
}

impl Phase {
    /// Every phase in the order they happen.
    pub const ALL: [Self; 6] = [Self::Dns, Self::Connect, Self::Tls, Self::FirstByte, Self::Transfer, Self::Exec];

    /// Returns the word used in metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::FirstByte => "first_byte",
            Self::Transfer => "transfer",
            Self::Exec => "exec",
        }
    }
}

/// Why a probe ran now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its interval came round.
    Schedule,
    /// Something happened that its answer decides: an exit, a dependant's failure, a waiting gate.
    Forced,
    /// A person or a program asked for one run.
    Asked,
}

/// What a kind learned from the target; expectations judge it, then it is dropped.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// HTTP status.
    pub status: Option<u16>,
    /// Header names in lower case and their values, in order of arrival.
    pub headers: Vec<(String, String)>,
    /// Body or reply, as far as the kind's limit.
    pub body: Option<Bytes>,
    /// Exit code of a command.
    pub exit_code: Option<i32>,
    /// What goes on into the observation.
    pub seen: Seen,
    /// Soft limits that the kind itself found broken.
    pub soft: Vec<Reason>,
}

/// Small facts that stay with an observation.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Seen {
    /// HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The address that was talked to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// Protocol and version, such as `HTTP/2` or `TLSv1.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Earliest expiry in the certificate chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_expires: Option<Timestamp>,
    /// The `version` that a JSON answer names at its top, if the check's expectations read JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Redirects that were followed.
    #[serde(skip_serializing_if = "is_zero")]
    pub redirects: u8,
    /// The steps of a journey, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepSeen>,
    /// One line the kind wants people to see, such as `disk / 71 % used`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One step of a journey, as it went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepSeen {
    /// Its name in the configuration.
    pub name: String,
    /// How it ended.
    pub state: StepState,
    /// What it took, in milliseconds; none if it was not reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
}

/// How a step of a journey ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Its answer was as expected.
    Passed,
    /// It was not; the check fails for it.
    Failed,
    /// One before it failed.
    NotReached,
}

impl StepSeen {
    /// Builds one from what was measured.
    pub(super) fn new(name: &str, state: StepState, took: Option<Duration>) -> Self {
        // To the microsecond, like phases.
        let took_ms = took.map(|took| (took.as_secs_f64() * 1_000_000.0).round() / 1000.0);
        Self { name: name.to_owned(), state, took_ms }
    }
}

impl Seen {
    /// Takes from `other` what is not known here.
    pub(super) fn fill_from(&mut self, other: Self) {
        self.status = self.status.or(other.status);
        self.address = self.address.or(other.address);
        self.protocol = self.protocol.take().or(other.protocol);
        self.cert_expires = self.cert_expires.or(other.cert_expires);
        self.redirects = self.redirects.max(other.redirects);
        self.note = self.note.take().or(other.note);
        if self.steps.is_empty() {
            self.steps = other.steps;
        }
    }

    /// Keeps the earlier of the expiry known so far and this one.
    pub(super) fn note_expiry(&mut self, expires: Option<Timestamp>) {
        self.cert_expires = self.cert_expires.into_iter().chain(expires).min();
    }

    /// Adds a remark for people after what is there.
    pub(super) fn remark(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.note = Some(match self.note.take() {
            Some(note) => format!("{note}; {text}"),
            None => text,
        });
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u8) -> bool {
    *number == 0
}
