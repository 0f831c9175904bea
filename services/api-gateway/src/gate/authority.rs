//! platform-services as whom the gateway asks about others: whose token it is, whose key, and which keys sign.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use kit::http::{ApiError, Client, Path, SecretDigest, client, root_cause, traced};
use moka::future::Cache;

use crate::limit::{Limiter, Subject};
use crate::settings::Settings;
use crate::upstream::Upstream;

/// How long an answer is good: a session or key that has ended is over here by then. The token that a session was ended
/// with through this gateway is over at once.
pub(super) const GOOD: Duration = Duration::from_secs(5);
/// Answers of one kind that are kept, at most.
pub(super) const KEPT: u64 = 10_000;
/// How long what was good counts as honest: it is asked about again at nobody's charge.
const HONEST: Duration = Duration::from_secs(600);
/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The way to platform-services.
pub(super) struct Authority {
    client: Client<Full<Bytes>>,
    platform: Upstream,
    timeout: Duration,
    limiter: Arc<Limiter>,
    honest: Cache<Digest, ()>,
}

/// What a key or token is known by here; itself it is not kept.
pub(super) type Digest = [u8; 32];

pub(super) fn digest(shown: &str) -> Digest {
    SecretDigest::of(shown.as_bytes()).to_bytes()
}

impl Authority {
    pub(super) fn new(settings: &Settings, limiter: Arc<Limiter>) -> Self {
        let timeout = settings.timeout_of(&settings.platform_services).min(GOOD);
        let honest = Cache::builder().max_capacity(KEPT).time_to_live(HONEST).build();
        Self { client: client(timeout), platform: settings.platform_services.clone(), timeout, limiter, honest }
    }

    /// Counts a question about what `address` has shown and nobody here can judge: whoever makes up keys must not have
    /// platform-services asked about each. What was good lately is asked about all the same.
    ///
    /// # Errors
    /// 429 with how long to wait.
    pub(super) async fn admit(&self, shown: &Digest, address: Option<IpAddr>) -> Result<(), ApiError> {
        if self.honest.contains_key(shown) {
            return Ok(());
        }
        self.limiter.take(&Subject::asking(address)).await.map(|_standing| ()).map_err(|refusal| refusal.error)
    }

    /// Remembers what platform-services said of what was shown.
    pub(super) async fn note(&self, shown: Digest, is_good: bool) {
        if is_good { self.honest.insert(shown, ()).await } else { self.honest.invalidate(&shown).await }
    }

    /// Asks, showing what a client has shown; none if that is refused.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn ask(&self, path: &str, shown: Option<(HeaderName, &str)>) -> Result<Option<Bytes>, String> {
        let uri = self.platform.uri(path).map_err(|error| error.to_string())?;
        let mut request = Request::get(uri);
        if let Some((name, value)) = shown {
            let mut value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let request = request.body(Full::default()).map_err(|error| error.to_string())?;
        let exchange = async {
            let answered = traced(request, Path::Shown, |request| self.client.request(request)).await;
            let response = answered.map_err(|error| root_cause(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
            Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
        };
        let late = || Err(format!("no answer within {}", kit::config::show_duration(self.timeout)));
        let (status, body) = tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_elapsed| late())?;
        match status {
            StatusCode::OK => Ok(Some(body)),
            StatusCode::UNAUTHORIZED => Ok(None),
            other => Err(format!("HTTP {}", other.as_u16())),
        }
    }
}

/// Answers while nobody can say who asks: that is not the client's fault.
pub(super) fn unavailable(why: &str) -> ApiError {
    tracing::warn!(error = why, "it cannot be found out who asks");
    let text = "who asks cannot be checked now; try again soon";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text).code("sign_in_unavailable")
}

#[cfg(test)]
mod tests {
    use kit::config::Environment;
    use kit::metrics::Metrics;
    use kit::service::Settings as _;

    use super::*;
    use crate::figures::Figures;

    #[tokio::test]
    async fn who_shows_what_was_good_is_asked_about_whatever_his_neighbours_made_up() {
        let environment = Environment::of([("API_KEY", "k"), ("RATE_LIMIT_RPM", "1")]);
        let settings = Settings::read(&environment).unwrap();
        let limiter = Arc::new(Limiter::new(&settings, Figures::new(&Metrics::new("x", "1"))));
        let authority = Authority::new(&settings, limiter);
        let address = Some(IpAddr::from([192, 0, 2, 1]));
        let (good, made_up) = ([1; 32], [2; 32]);
        authority.note(good, true).await;
        assert!(authority.admit(&made_up, address).await.is_ok());
        let refused = authority.admit(&made_up, address).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(authority.admit(&good, address).await.is_ok());
        // Once it is refused it is as any other.
        authority.note(good, false).await;
        assert!(authority.admit(&good, address).await.is_err());
    }
}
