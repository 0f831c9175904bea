//! How many requests each may make: a user by his account, a service by its key, everybody else by his address.

mod local;
mod rate;
mod shared;

use std::net::IpAddr;
use std::num::NonZeroU32;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use kit::http::{ApiError, SecretDigest, host_of, whole_secs};
use tokio::time::Instant;

use crate::figures::Figures;
use crate::settings::Settings;
use local::Local;
use rate::Decision;
pub(crate) use rate::Rate;
use shared::Shared;

/// Names of the headers that clients read, as existing ones know them.
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// When all of it is there again, in seconds since the epoch.
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const TYPE: HeaderName = HeaderName::from_static("x-ratelimit-type");

/// Who is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// By id.
    User(String),
    /// By name.
    Key(String),
    /// By host.
    Address(String),
    /// By host: whoever shows keys or tokens that platform-services has to be asked about.
    Asking(String),
}

impl Subject {
    /// Every name that [`Self::kind`] returns.
    pub(crate) const KINDS: [&str; 4] = ["user", "key", "address", "asking"];

    /// Counts by address.
    pub(crate) fn of_address(address: Option<IpAddr>) -> Self {
        Self::Address(host(address))
    }

    /// Counts what platform-services is asked for an address.
    pub(crate) fn asking(address: Option<IpAddr>) -> Self {
        Self::Asking(host(address))
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Key(_) => "key",
            Self::Address(_) => "address",
            Self::Asking(_) => "asking",
        }
    }

    /// Names it in a database that others read, too.
    fn digest(&self) -> String {
        let (Self::User(name) | Self::Key(name) | Self::Address(name) | Self::Asking(name)) = self;
        SecretDigest::of(format!("{} {name}", self.kind()).as_bytes()).to_hex()
    }
}

fn host(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "unknown".to_owned(), host_of)
}

/// What to do while Redis does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Go on; this gateway counts alone.
    Open,
    /// Refuse, until it answers.
    Closed,
}

/// Counts requests.
pub(crate) struct Limiter {
    /// None if there is no limit.
    rate: Option<Rate>,
    failure: Failure,
    local: Local,
    shared: Option<Shared>,
    figures: Figures,
}

/// What clients are told of their limit.
pub(crate) struct Standing {
    limit: NonZeroU32,
    kind: &'static str,
    decision: Decision,
}

impl Limiter {
    pub(crate) fn new(settings: &Settings, figures: Figures) -> Self {
        let rate = settings.rate_limit.map(|per_minute| Rate { per_minute });
        // Settings have checked the URL.
        let shared = settings.redis.as_ref().and_then(|url| Shared::new(url).ok());
        Self { rate, failure: settings.rate_limit_failure, local: Local::default(), shared, figures }
    }

    /// Counts a request; none if there is no limit.
    ///
    /// # Errors
    /// 429 with how long to wait; 503 if nobody can count and that is to be refused.
    pub(crate) async fn take(&self, subject: &Subject) -> Result<Option<Standing>, Refusal> {
        let Some(rate) = self.rate else { return Ok(None) };
        let counted = match &self.shared {
            Some(shared) => shared.take(subject, rate).await,
            None => Some(self.local.take(subject, rate, Instant::now())),
        };
        let decision = match (counted, self.failure) {
            (Some(decision), _) => decision,
            (None, Failure::Open) => self.local.take(subject, rate, Instant::now()),
            (None, Failure::Closed) => {
                let text = "requests cannot be counted now; try again soon";
                let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text).code("rate_limit_unavailable");
                return Err(Refusal { error, standing: None });
            }
        };
        let standing = Standing { limit: rate.per_minute, kind: subject.kind(), decision };
        match decision.wait {
            None => Ok(Some(standing)),
            Some(wait) => {
                self.figures.limited(subject.kind());
                let text = format!("too many requests; try again in {} s", whole_secs(wait));
                let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, text).code("rate_limited").retry_after(wait);
                Err(Refusal { error, standing: Some(standing) })
            }
        }
    }

    /// Says why requests are not counted together with other gateways, if they should be.
    pub(crate) fn state(&self) -> Option<Result<(), String>> {
        let shared = self.shared.as_ref()?;
        let instead = match self.failure {
            Failure::Open => "this gateway counts requests alone",
            Failure::Closed => "requests are refused",
        };
        Some(if shared.is_there() { Ok(()) } else { Err(format!("Redis does not answer; {instead}")) })
    }
}

/// Why a request is not let through, and what the client is told of its limit.
pub(crate) struct Refusal {
    pub(crate) error: ApiError,
    pub(crate) standing: Option<Standing>,
}

impl Standing {
    /// Tells the client.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let now = Timestamp::now().as_second();
        let full_in = i64::try_from(self.decision.full_in.as_secs()).unwrap_or(i64::MAX);
        headers.insert(LIMIT, self.limit.get().into());
        headers.insert(REMAINING, self.decision.remaining.into());
        headers.insert(RESET, now.saturating_add(full_in).saturating_add(1).into());
        headers.insert(TYPE, HeaderValue::from_static(self.kind));
    }
}
