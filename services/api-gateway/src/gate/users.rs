//! Who a token belongs to. That it was signed is seen here; whether its session goes on is platform-services' word, which
//! is good for some seconds: however many requests a user makes, few are asked about.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use kit::http::{ApiError, Client, SecretDigest, client, root_cause};
use kit::token::TokenReader;
use moka::future::Cache;
use serde::Deserialize;

use crate::settings::Settings;
use crate::upstream::Upstream;

/// How long an answer is good: a session that ends elsewhere is over here by then. One that is ended through this gateway
/// is over at once.
const GOOD: Duration = Duration::from_secs(5);
/// Answers that are kept, at most.
const KEPT: u64 = 10_000;
/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Somebody who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) role: String,
    pub(crate) tenant_id: Option<String>,
}

/// What platform-services answers.
#[derive(Deserialize)]
struct Verified {
    user: User,
}

/// What is known of a token.
struct Known {
    user: Arc<User>,
    /// When it runs out, in seconds since the epoch; the end of time if that cannot be seen here.
    exp: i64,
}

/// Knows users by their tokens.
pub(crate) struct Users {
    /// Without the secret every token is asked about.
    reader: Option<TokenReader>,
    client: Client<Full<Bytes>>,
    platform: Upstream,
    timeout: Duration,
    known: Cache<Digest, Option<Arc<Known>>>,
}

impl Users {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            reader: settings.jwt_secret.as_ref().map(TokenReader::of_secret),
            client: client(settings.upstream_timeout),
            platform: settings.platform_services.clone(),
            timeout: settings.upstream_timeout.min(GOOD),
            known: Cache::builder().max_capacity(KEPT).time_to_live(GOOD).build(),
        }
    }

    /// Returns whom a token names, if that can be seen without asking: whether the session goes on is another question.
    pub(crate) fn named(&self, token: &str) -> Option<String> {
        self.reader.as_ref()?.read(token).map(|claims| claims.sub)
    }

    /// Returns who is signed in with a token.
    ///
    /// # Errors
    /// 401 if nobody is; 503 if that cannot be found out.
    pub(crate) async fn find(&self, token: &str) -> Result<Arc<User>, ApiError> {
        let digest = digest(token);
        // What was signed is signed: only its end is looked at again.
        if let Some(known) = self.known.get(&digest).await {
            return known.filter(|known| known.exp > now_secs()).map(|known| known.user.clone()).ok_or_else(no_token);
        }
        let exp = match &self.reader {
            Some(reader) => reader.read(token).map(|claims| claims.exp).ok_or_else(no_token)?,
            None => i64::MAX,
        };
        // Several that come at once wait for one question.
        let asked = self.known.try_get_with(digest, self.ask(token, exp)).await;
        match asked {
            Ok(Some(known)) => Ok(known.user.clone()),
            Ok(None) => Err(no_token()),
            Err(why) => {
                tracing::warn!(error = *why, "it cannot be found out whose token it is");
                let text = "who asks cannot be checked now; try again soon";
                Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text).code("sign_in_unavailable"))
            }
        }
    }

    /// Has the next request with this token asked about.
    pub(crate) async fn forget(&self, token: &str) {
        self.known.invalidate(&digest(token)).await;
    }

    async fn ask(&self, token: &str, exp: i64) -> Result<Option<Arc<Known>>, String> {
        let uri = self.platform.uri("/auth/verify").map_err(|error| error.to_string())?;
        let request = Request::get(uri).header(header::AUTHORIZATION, format!("Bearer {token}"));
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
            StatusCode::OK => {
                let verified = serde_json::from_slice::<Verified>(&body);
                let known = |Verified { user }| Some(Arc::new(Known { user: Arc::new(user), exp }));
                verified.map(known).map_err(|error| error.to_string())
            }
            StatusCode::UNAUTHORIZED => Ok(None),
            other => Err(format!("HTTP {}", other.as_u16())),
        }
    }
}

type Digest = [u8; 32];

/// Tokens themselves are not kept.
fn digest(token: &str) -> Digest {
    SecretDigest::of(token.as_bytes()).to_bytes()
}

fn now_secs() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// In the same words whatever is wrong with it.
pub(super) fn no_token() -> ApiError {
    ApiError::unauthorized("a valid access token is needed: Authorization: Bearer …").code("unauthorized")
}
