//! `/api/v1`: letters for people and programs, and what may be done with them. Who reads payloads or does something shows a
//! token; what is done has a reason, a key of its own, and a line in the audit.

mod edits;
mod export;
mod import;
mod letters;
mod plans;
mod policy;
mod queues;
mod reconcile;
mod simulate;
mod wanted;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use kit::http::{Access, ApiError, Caller, Identity, Place, Public, Role, peer};
use serde::Deserialize;
use tokio::sync::Semaphore;

use self::policy::Room;
use crate::engine::Working;
use crate::ledger::{Actor, Ledger, LedgerError};
use crate::letter_line::LONGEST_BYTES;
use crate::policy::Policy;
use crate::reload::Reloader;
use crate::settings::Settings;
use crate::texts::check;

/// Longest reason and longest key, in bytes.
const LONGEST: (usize, usize) = (1000, 128);
/// When it is worth another try, where others were first.
const SOON: Duration = Duration::from_secs(1);

/// What routes need.
#[derive(Clone)]
pub(crate) struct Api {
    /// What the daemon is told.
    pub(crate) settings: Arc<Settings>,
    access: Arc<Access>,
    ledger: Arc<OnceLock<Ledger>>,
    /// What is at work.
    pub(crate) working: Working,
    reloader: Arc<Reloader>,
    /// Policies take time and memory: of those that are checked and of those that are simulated there is one at once.
    checks: Room,
    simulations: Room,
    /// Bodies may be large: of those that are imported there is one at once.
    imports: Arc<Semaphore>,
}

impl Api {
    /// The ledger comes when it is open.
    pub(crate) fn new(
        settings: Arc<Settings>,
        ledger: Arc<OnceLock<Ledger>>,
        working: Working,
        reloader: Arc<Reloader>,
    ) -> Self {
        let place = Place::new(
            Place::own_names(settings.listen),
            &settings.access.hosts,
            None,
            settings.access.trusted_proxies.clone(),
        );
        let access = Arc::new(Access { credentials: settings.access.credentials.clone(), place });
        let (checks, simulations) = (Room::of_one(), Room::of_one());
        let imports = Arc::new(Semaphore::new(1));
        Self { settings, access, ledger, working, reloader, checks, simulations, imports }
    }

    /// Returns the policy that decides.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.reloader.policy()
    }

    pub(crate) fn routes(self) -> Router {
        let acts = Router::new()
            .route("/api/v1/letters/{id}/{act}", post(letters::act))
            .route("/api/v1/letters/{id}/edit", post(edits::edit))
            .route("/api/v1/letters/{id}/unedit", post(edits::unedit))
            .route("/api/v1/audit", get(letters::audit))
            .route("/api/v1/export", get(export::export))
            .route("/api/v1/breakers", post(queues::breakers))
            .route("/api/v1/reconcile", post(reconcile::reconcile))
            .route("/api/v1/plans", post(plans::make))
            .route("/api/v1/plans/{id}/{step}", post(plans::step))
            .layer(from_fn_with_state(self.clone(), operators));
        let reads = Router::new()
            .route("/api/v1/letters", get(letters::letters))
            .route("/api/v1/letters/{id}", get(letters::letter))
            .route("/api/v1/numbers", get(letters::numbers))
            .route("/api/v1/fingerprints", get(letters::fingerprints))
            .route("/api/v1/queues", get(queues::queues))
            .route("/api/v1/plans", get(plans::plans))
            .route("/api/v1/plans/{id}", get(plans::plan))
            .route("/api/v1/policy/validate", post(policy::validate))
            .route("/api/v1/policy/simulate", post(simulate::simulate))
            .layer(from_fn_with_state(self.clone(), readers));
        let import = post(import::import).layer(DefaultBodyLimit::max(LONGEST_BYTES));
        let rules = Router::new()
            .route("/api/v1/adopt", post(queues::adopt))
            .route("/api/v1/import", import)
            .route("/api/v1/policy/reload", post(policy::reload))
            .layer(from_fn_with_state(self.clone(), admins));
        acts.merge(reads).merge(rules).with_state(self)
    }

    fn ledger(&self) -> Result<&Ledger, ApiError> {
        self.opened().ok_or_else(|| unavailable("the ledger is not open yet"))
    }

    /// Returns the ledger, once it is open.
    pub(crate) fn opened(&self) -> Option<&Ledger> {
        self.ledger.get()
    }

    fn caller(&self, request: &Request) -> Caller {
        self.who(request.headers(), request.extensions())
    }

    /// Returns who makes a request of these parts.
    pub(crate) fn who(&self, headers: &HeaderMap, extensions: &Extensions) -> Caller {
        self.access.caller(headers, peer(extensions))
    }
}

async fn operators(State(api): State<Api>, request: Request, next: Next) -> Result<Response, ApiError> {
    as_role(&api, Role::Operator, request, next).await
}

async fn admins(State(api): State<Api>, request: Request, next: Next) -> Result<Response, ApiError> {
    as_role(&api, Role::Admin, request, next).await
}

async fn as_role(api: &Api, role: Role, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let identity = api.caller(&request).require(role)?.clone();
    request.extensions_mut().insert(identity);
    Ok(next.run(request).await)
}

/// Everybody, where a configuration says nothing else and this daemon is asked by its own machine.
async fn readers(State(api): State<Api>, request: Request, next: Next) -> Result<Response, ApiError> {
    let caller = api.caller(&request);
    // Also what everybody may read is not for a page of another site.
    if api.settings.access.public < Public::Details || matches!(caller, Caller::Refused(_)) {
        caller.require(Role::Viewer)?;
    }
    Ok(next.run(request).await)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Because {
    pub(super) reason: String,
}

/// Who does something, why, and under which key.
fn actor<'a>(identity: &'a Identity, headers: &'a HeaderMap, reason: &'a str) -> Result<Actor<'a>, ApiError> {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
    if key.is_empty() || key.len() > LONGEST.1 {
        let message =
            format!("the header Idempotency-Key is needed: 1 to {} characters, other ones for each act", LONGEST.1);
        return Err(ApiError::bad_request(message));
    }
    check("Idempotency-Key", key, LONGEST.1).map_err(ApiError::bad_request)?;
    Ok(Actor { who: &identity.name, why: reason_of(reason)?, key })
}

/// Why something is done.
fn reason_of(reason: &str) -> Result<&str, ApiError> {
    let why = reason.trim();
    if why.is_empty() || why.len() > LONGEST.0 {
        return Err(ApiError::bad_request(format!("reason is needed: 1 to {} characters", LONGEST.0)));
    }
    check("reason", why, LONGEST.0).map_err(ApiError::bad_request)?;
    Ok(why)
}

/// Checks the queue that something goes to, if it is another than its own.
fn check_to(to: Option<&str>) -> Result<(), ApiError> {
    to.map_or(Ok(()), |to| check("to", to, LONGEST.0)).map_err(ApiError::bad_request)
}

fn conflict(message: String) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, message)
}

fn unavailable(message: &str) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)
}

fn problem(error: LedgerError) -> ApiError {
    match error {
        LedgerError::TooSlow => return ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        LedgerError::Crowded => return unavailable(&error.to_string()).retry_after(SOON),
        LedgerError::Database(_) | LedgerError::Late | LedgerError::Fenced => {}
    }
    tracing::warn!(error = %kit::chain::Chain(&error), "the ledger");
    unavailable("the ledger does not answer")
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn whoever_looks_for_too_much_is_told_when_to_ask_again_and_that_is_no_trouble_of_the_ledger() {
        for (error, status, retry_after) in
            [(LedgerError::TooSlow, 422, None), (LedgerError::Crowded, 503, Some("1")), (LedgerError::Late, 503, None)]
        {
            let response = problem(error).into_response();
            let said = response.headers().get("retry-after").map(|wait| wait.to_str().unwrap());
            assert_eq!((response.status().as_u16(), said), (status, retry_after));
        }
    }
}
