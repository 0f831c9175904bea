//! platform-services as whom the gateway asks about others: whose token it is, whose key, and which keys sign.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use kit::http::{ApiError, Client, client, root_cause};

use crate::limit::{Limiter, Subject};
use crate::settings::Settings;
use crate::upstream::Upstream;

/// How long an answer is good: a session or key that has ended is over here by then. The token that a session was ended
/// with through this gateway is over at once.
pub(super) const GOOD: Duration = Duration::from_secs(5);
/// Answers of one kind that are kept, at most.
pub(super) const KEPT: u64 = 10_000;
/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The way to platform-services.
pub(super) struct Authority {
    client: Client<Full<Bytes>>,
    platform: Upstream,
    timeout: Duration,
    limiter: Arc<Limiter>,
}

impl Authority {
    pub(super) fn new(settings: &Settings, limiter: Arc<Limiter>) -> Self {
        let timeout = settings.timeout_of(&settings.platform_services).min(GOOD);
        Self { client: client(timeout), platform: settings.platform_services.clone(), timeout, limiter }
    }

    /// Counts a question about what `address` has shown and nobody here can judge: whoever makes up keys must not have
    /// platform-services asked about each.
    ///
    /// # Errors
    /// 429 with how long to wait.
    pub(super) async fn admit(&self, address: Option<IpAddr>) -> Result<(), ApiError> {
        self.limiter.take(&Subject::asking(address)).await.map(|_standing| ()).map_err(|refusal| refusal.error)
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
            let response = self.client.request(request).await.map_err(|error| root_cause(&error))?;
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
