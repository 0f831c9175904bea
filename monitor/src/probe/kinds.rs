//! What a kind is, and the registry that holds them.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use kit::config::Cursor;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::address::Address;
use super::observation::{Facts, Outcome};
use super::run::Run;
use super::scheme::Scheme;

/// One way of asking: `http`, `tcp`, `exec` … A value, so that other programs add their own.
pub trait Kind: Send + Sync + 'static {
    /// The key under a check that selects this kind.
    fn name(&self) -> &'static str;

    /// Expectations that make sense for what this kind learns; others are configuration mistakes.
    fn expectations(&self) -> &'static [Expectation];

    /// Checks the kind's own settings. Reports every mistake through the cursor and then returns `None`.
    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>>;

    /// URL schemes that mean this kind, for `monitor probe` and `monitor add`.
    fn schemes(&self) -> &'static [Scheme] {
        &[]
    }

    /// Returns the settings that a label of a container such as `:8080/health` comes to, or what is wrong with it; none if
    /// labels cannot define checks of this kind.
    ///
    /// Whoever may start a container writes its labels: the settings must ask what `own` returns and nothing else,
    /// whatever the label says and whatever is answered.
    fn by_label(&self, _value: &str, _own: OwnAddress<'_>) -> Option<Result<LabelSettings, String>> {
        None
    }
}

/// Returns where the container that carries a label answers on a port, as `host:port`; without a port on its only one.
pub type OwnAddress<'a> = &'a dyn Fn(Option<u16>) -> Result<String, String>;

/// A kind's settings, by their keys.
pub type LabelSettings = Vec<(&'static str, String)>;

/// A configured question, ready to be asked any number of times, also at the same time.
pub trait Probe: Send + Sync + fmt::Debug + 'static {
    /// What is asked, without secrets.
    fn target(&self) -> Target;

    /// Asks once. `Err` carries [`Outcome::Fail`] or [`Outcome::Unknown`]; steps are timed through `run`, so that they
    /// are known even when the deadline ends this future.
    ///
    /// # Cancel safety
    /// Dropping the future must close every socket and end every child it made.
    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>>;

    /// Returns where it connects to, if that is one address of the target's own: it can be asked there by another way too.
    fn connects_to(&self) -> Option<&Address> {
        None
    }

    /// True if nothing is asked at intervals because the target pushes (heartbeats): the deadline is watched instead.
    fn is_pushed(&self) -> bool {
        false
    }

    /// The secret that a job shows with its pushes, if it has one of its own.
    fn push_token(&self) -> Option<&SecretString> {
        None
    }
}

/// What a probe asks, for people and for judging our own blindness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// URL or address without credentials, or the command's name.
    pub shown: String,
    /// How far away it is.
    pub scope: Scope,
}

/// How far away a target is: our uplink being down excuses only `Public`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This machine.
    Local,
    /// Private or link-local addresses.
    Lan,
    /// Anything else, names included.
    Public,
}

impl Scope {
    /// Classifies a host as written: a name is `Public` unless it is `localhost` (RFC 6761 section 6.3).
    pub fn of_host(host: &str) -> Self {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) => Self::of_address(address),
            Err(_) if bare == "localhost" || bare.ends_with(".localhost") => Self::Local,
            Err(_) => Self::Public,
        }
    }

    /// Classifies an address: loopback, private (RFC 1918, RFC 4193) and link-local, or public.
    pub fn of_address(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let lan = match address {
            IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
        };
        match (address.is_loopback() || address.is_unspecified(), lan) {
            (true, _) => Self::Local,
            (false, true) => Self::Lan,
            (false, false) => Self::Public,
        }
    }
}

/// The typed expectations; `max_latency` and `expr` fit every kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// `status`
    Status,
    /// `header`
    Header,
    /// `body_contains` and `body_matches`
    Body,
    /// `json`
    Json,
    /// `cert_valid_for`
    Certificate,
    /// `exit_code`
    ExitCode,
}

impl Expectation {
    /// What fits kinds that ask a server what it says of itself, over TLS or not.
    pub(super) const OF_SERVERS: &'static [Self] = &[Self::Json, Self::Body, Self::Certificate];
}

/// The registry of kinds, in the order they are listed to people.
#[derive(Clone)]
pub struct Kinds {
    kinds: Vec<Arc<dyn Kind>>,
}

impl Kinds {
    /// Returns a registry without any kind.
    pub fn empty() -> Self {
        Self { kinds: Vec::new() }
    }

    /// Returns the kinds that every monitor has.
    pub fn standard() -> Self {
        Self::empty()
            .with(super::http::Http)
            .with(super::journey::Journey)
            .with(super::tcp::Tcp)
            .with(super::udp::Udp)
            .with(super::tls::TlsKind)
            .with(super::icmp::Icmp)
            .with(super::dns::Dns)
            .with(super::ntp::Ntp)
            .with(super::snmp::Snmp)
            .with(super::domain::Domain)
            .with(super::websocket::WebSocket)
            .with(super::grpc::Grpc)
            .with(super::redis::Redis)
            .with(super::postgres::Postgres)
            .with(super::mysql::MySql)
            .with(super::smtp::Smtp)
            .with(super::ssh::Ssh)
            .with(super::mqtt::Mqtt)
            .with(super::nats::Nats)
            .with(super::amqp::Amqp)
            .with(super::prometheus::Prometheus)
            .with(super::qdrant::Qdrant)
            .with(super::heartbeat::Heartbeat)
            .with(super::exec::Exec)
            .with(super::host::Host)
            .with(super::file::File)
    }

    /// Adds a kind; one of the same name is replaced.
    #[must_use]
    pub fn with(mut self, kind: impl Kind) -> Self {
        self.kinds.retain(|known| known.name() != kind.name());
        self.kinds.push(Arc::new(kind));
        self
    }

    /// Finds a kind by its name.
    pub fn find(&self, name: &str) -> Option<&Arc<dyn Kind>> {
        self.kinds.iter().find(|kind| kind.name() == name)
    }

    /// Returns the kind that a URL means, and its settings.
    ///
    /// # Errors
    /// One sentence that says what to write.
    pub fn by_url(&self, url: &str) -> Result<(&'static str, Map<String, Value>), String> {
        let written = url.split_once("://").map_or_else(String::new, |(scheme, _)| scheme.to_ascii_lowercase());
        let all = || self.kinds.iter().flat_map(|kind| kind.schemes().iter().map(|scheme| (kind.name(), scheme)));
        let found = all().find(|(_, scheme)| scheme.name == written);
        let Some((kind, scheme)) = found else {
            let known: Vec<String> = all().map(|(_, scheme)| format!("{}://", scheme.name)).collect();
            return Err(format!("{url} cannot be asked; write {}", known.join(", ")));
        };
        Ok((kind, scheme.settings(url)?))
    }

    /// Returns every name.
    pub fn names(&self) -> Vec<&'static str> {
        self.kinds.iter().map(|kind| kind.name()).collect()
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_targets_can_be_excused_by_an_uplink() {
        for (host, scope) in [
            ("localhost", Scope::Local),
            ("127.0.0.1", Scope::Local),
            ("[::1]", Scope::Local),
            ("::ffff:127.0.0.1", Scope::Local),
            ("10.1.2.3", Scope::Lan),
            ("fd00::1", Scope::Lan),
            ("192.0.2.1", Scope::Public),
            ("example.com", Scope::Public),
        ] {
            assert_eq!(Scope::of_host(host), scope, "{host}");
        }
    }
}
