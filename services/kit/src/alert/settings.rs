//! Where alerts go, and how patiently.

use std::fmt;
use std::time::Duration;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::AlertError;
use crate::backoff::Backoff;

/// How an alert client works. [`AlertSettings::new`] gives the defaults.
#[derive(Clone)]
pub struct AlertSettings {
    /// The monitor's base address; `/api/v2/alerts` is added.
    pub monitor: Url,
    /// Sent to the monitor as `Authorization: Bearer`.
    pub token: Option<SecretString>,
    /// Whom to tell when the monitor is gone.
    pub fallback: Option<Fallback>,
    /// Who alerts, such as `auth-monitor`: the label `source`, and part of the queue's name.
    pub source: String,
    /// A page of the source where a person can see more (`generatorURL`).
    pub page: Option<Url>,
    /// How often an open alert is posted again. 1 min, as Prometheus does (`--rules.alert.resend-delay`): the monitor
    /// takes a source that goes quiet for lost.
    pub repeat_every: Duration,
    /// How long the monitor must have accepted nothing before the fallback is told. 2 min: longer than a restart of the
    /// monitor, and short enough for a page.
    pub fallback_after: Duration,
    /// Alerts that may be open or not delivered. 1000: a thousandth of that is as much as a person can act on, and the
    /// repeats of them all are 17 requests a second.
    pub max_open: u32,
    /// Longest time of one request. 5 s: the monitor answers once it has written to disk.
    pub timeout: Duration,
    /// How often to look for what came due.
    pub poll: Duration,
    /// The wait after a failed request, unless the answer says how long. 1 s to 30 s: a monitor that is back should hear
    /// at once what it missed.
    pub backoff: Backoff,
}

/// One plain webhook.
#[derive(Clone)]
pub struct Fallback {
    /// Where to post; may hold a secret, so only its host is ever shown.
    pub url: Url,
    /// Sent as `Authorization: Bearer`.
    pub secret: Option<SecretString>,
}

impl Fallback {
    /// Returns what must not be shown: many webhooks have their secret in the path.
    pub(super) fn secrets(&self) -> impl Iterator<Item = SecretString> {
        let path = Some(self.url.path()).filter(|path| path.len() > 1);
        let parts = [path, self.url.query()].into_iter().flatten().map(SecretString::from);
        self.secret.iter().cloned().chain(parts)
    }
}

impl AlertSettings {
    /// The defaults for this source: the monitor on this machine, no token, no fallback.
    ///
    /// # Panics
    /// Never: the address is a constant.
    pub fn new(source: &str) -> Self {
        Self {
            monitor: Url::parse("http://127.0.0.1:8888").expect("a constant address"),
            token: None,
            fallback: None,
            source: source.to_owned(),
            page: None,
            repeat_every: Duration::from_secs(60),
            fallback_after: Duration::from_secs(120),
            max_open: 1000,
            timeout: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            backoff: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30) },
        }
    }
}

impl fmt::Debug for AlertSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertSettings")
            .field("monitor", &shown(&self.monitor))
            .field("fallback", &self.fallback)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback").field("url", &shown(&self.url)).finish_non_exhaustive()
    }
}

/// An address with what is sent along: checked, so that a request can always be made.
pub(super) struct Endpoint {
    pub(super) uri: http::Uri,
    pub(super) authorization: Option<HeaderValue>,
}

impl Endpoint {
    pub(super) fn monitor(settings: &AlertSettings) -> Result<Self, AlertError> {
        let mut url = settings.monitor.clone();
        let path = format!("{}/api/v2/alerts", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Self::new("the monitor", &url, settings.token.as_ref())
    }

    pub(super) fn fallback(fallback: &Fallback) -> Result<Self, AlertError> {
        Self::new("the fallback", &fallback.url, fallback.secret.as_ref())
    }

    fn new(what: &str, url: &Url, secret: Option<&SecretString>) -> Result<Self, AlertError> {
        let wrong = |why: &str| AlertError::Settings(format!("the address of {what} {why}"));
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("must begin with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("must not hold a user or password; give its secret apart"));
        }
        let uri = url.as_str().parse().map_err(|_error| wrong("cannot be used"))?;
        let bearer = secret.map(|secret| HeaderValue::try_from(format!("Bearer {}", secret.expose_secret())));
        let authorization = bearer.transpose().map_err(|_error| {
            AlertError::Settings(format!("the secret of {what} has characters that no header can hold"))
        })?;
        let authorization = authorization.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Ok(Self { uri, authorization })
    }
}

/// Scheme, host and port: a path or a query may hold a secret.
fn shown(url: &Url) -> String {
    url.origin().ascii_serialization()
}
