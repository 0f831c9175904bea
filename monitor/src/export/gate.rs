//! The gate for pipelines: open only on passes that began after its cursor, never on stale or lucky data.
//!
//! A cursor is our own sequence number, so no clock but ours counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::clock::Stamp;
use kit::config::{parse_duration, suggest};
use kit::http::ApiError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::shared::{Ask, Shared};
use crate::judge::{Board, Health, Phase, STREAK_KEPT, ServiceEntry, Verdict};
use crate::probe::CheckId;
use crate::supervise::Rest;

/// Longest time one request waits; longer waits are made of several requests.
const MAX_WAIT: Duration = Duration::from_secs(300);
/// A waiting gate has its services probed this often (DESIGN section 9).
const PROBE_EVERY: Duration = Duration::from_secs(2);

/// Gates that wait at once, at most: each has its services probed every 2 s.
static WAITING: Semaphore = Semaphore::const_new(64);

/// A new cursor.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Cursor {
    /// Opaque; give it back in `GET /api/v1/gate/{cursor}`.
    pub cursor: String,
}

/// What the gate is asked.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct GateQuery {
    /// Names, with commas between.
    services: Option<String>,
    /// Every critical service instead of names.
    #[serde(default)]
    all: bool,
    /// Passes in a row that every critical check must show; 1 to 32, default 3.
    stable: Option<usize>,
    /// How long to wait, such as `60s`; default not at all.
    wait: Option<String>,
    /// What each service must be beside working: `new-incarnation` (its workload was started after the cursor),
    /// `digest:HEX` (SHA-256 of its program begins so), or `version:TEXT` (its JSON answer names this version).
    expect: Option<String>,
}

/// What the gate saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GateAnswer {
    /// Whether everything is as it must be.
    pub open: bool,
    /// Whether waiting longer could still open it.
    pub decided: bool,
    /// By service.
    pub services: BTreeMap<String, GateService>,
}

/// What the gate saw of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GateService {
    /// Whether it holds for this service.
    pub open: bool,
    /// Its verdict.
    pub verdict: String,
    /// What is missing; empty when open.
    pub reasons: Vec<String>,
    /// Passes that count, by critical check.
    pub passes: BTreeMap<String, usize>,
    /// Age of the newest observation of each critical check, in seconds.
    pub ages_secs: BTreeMap<String, f64>,
}

/// `POST /api/v1/gate`
#[utoipa::path(post, path = "/api/v1/gate", responses((status = 200, body = Cursor)), tag = "gate")]
pub(super) async fn begin(State(shared): State<Arc<Shared>>) -> Json<Cursor> {
    let sequence = shared.board().next_sequence();
    Json(Cursor { cursor: encode(sequence, &shared.cursor_key) })
}

/// `GET /api/v1/gate/{cursor}`
#[utoipa::path(get, path = "/api/v1/gate/{cursor}", params(("cursor" = String, Path), GateQuery), tag = "gate", responses(
    (status = 200, body = GateAnswer, description = "open"),
    (status = 400, description = "no service named, or an unknown one"),
    (status = 503, body = GateAnswer, description = "shut"),
    (status = 504, body = GateAnswer, description = "not decided within the wait"),
))]
pub(super) async fn pass(
    State(shared): State<Arc<Shared>>,
    Path(cursor): Path<String>,
    Query(query): Query<GateQuery>,
) -> Result<Response, ApiError> {
    let question = Question::of(&shared, &cursor, &query)?;
    let _place = if question.wait.is_zero() { None } else { Some(WAITING.try_acquire().map_err(|_full| too_many())?) };
    let deadline = Instant::now() + question.wait;
    let mut progress = shared.progress.subscribe();
    let mut next_probe = Instant::now();
    loop {
        progress.borrow_and_update();
        let answer = question.ask(&shared.board());
        let now = Instant::now();
        if answer.open || answer.decided || now >= deadline {
            return Ok(answer_with(answer, question.wait));
        }
        if now >= next_probe {
            shared.ask(Ask::Probe(question.checks(&shared.board())));
            next_probe = now + PROBE_EVERY;
        }
        let until = deadline.min(next_probe);
        tokio::select! {
            () = shared.ended() => return Ok(answer_with(answer, Duration::ZERO)),
            _either = tokio::time::timeout_at(until, progress.changed()) => {}
        }
    }
}

fn too_many() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many gates are waiting; ask again soon").code("busy")
}

fn answer_with(answer: GateAnswer, waited: Duration) -> Response {
    let status = match (answer.open, answer.decided || waited.is_zero()) {
        (true, _) => StatusCode::OK,
        (false, true) => StatusCode::SERVICE_UNAVAILABLE,
        (false, false) => StatusCode::GATEWAY_TIMEOUT,
    };
    (status, Json(answer)).into_response()
}

/// A number that anybody could make up would open the gate on old passes: a cursor carries our seal.
fn encode(sequence: u64, key: &[u8; 32]) -> String {
    let mut bytes = sequence.to_be_bytes().to_vec();
    bytes.extend(seal(sequence, key));
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(cursor: &str, key: &[u8; 32]) -> Option<u64> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (number, given) = bytes.split_first_chunk::<8>()?;
    let sequence = u64::from_be_bytes(*number);
    (given == seal(sequence, key)).then_some(sequence)
}

/// Half of an SHA-256 over key and number; both have fixed lengths, so no longer message has the same digest.
fn seal(sequence: u64, key: &[u8; 32]) -> [u8; 16] {
    let digest = Sha256::new().chain_update(key).chain_update(sequence.to_be_bytes()).finalize();
    let mut seal = [0; 16];
    seal.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    seal
}

/// A checked question to the gate.
struct Question {
    cursor: u64,
    services: Vec<String>,
    stable: usize,
    wait: Duration,
    expect: Option<Expected>,
}

/// What a service must be beside working.
enum Expected {
    NewIncarnation,
    Digest(String),
    Version(String),
}

/// Fewest hexadecimal digits of a digest that say anything.
const MIN_DIGEST_CHARS: usize = 8;

impl Expected {
    fn parse(text: &str) -> Result<Self, String> {
        let hex =
            |digits: &str| digits.len() >= MIN_DIGEST_CHARS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text.split_once(':') {
            None if text == "new-incarnation" => Ok(Self::NewIncarnation),
            Some(("digest", digits)) if hex(digits) => Ok(Self::Digest(digits.to_ascii_lowercase())),
            Some(("version", version)) if !version.is_empty() => Ok(Self::Version(version.to_owned())),
            _ => Err(format!(
                "expect is {text:?}; write new-incarnation, digest:HEX (8 digits at least) or version:TEXT"
            )),
        }
    }

    /// Returns what is missing, if anything, and whether waiting cannot help.
    fn judge(&self, service: &ServiceEntry, cursor: u64) -> Option<(String, bool)> {
        let found = match self {
            Self::NewIncarnation => match &service.workload {
                Some(workload) if workload.started_at > cursor => return None,
                Some(_) => return Some(("it was not started anew since the cursor".to_owned(), false)),
                None => {
                    return Some((
                        "new-incarnation is expected, but the monitor does not run this service".to_owned(),
                        true,
                    ));
                }
            },
            Self::Digest(wanted) => {
                let digest = service.workload.as_ref().and_then(|workload| workload.digest.as_deref());
                if digest.is_some_and(|digest| digest.starts_with(wanted)) {
                    return None;
                }
                format!("its program's digest is {}, expected {wanted}", digest.unwrap_or("not known"))
            }
            Self::Version(wanted) => {
                let versions = || service.critical().filter_map(|check| check.last.as_ref()?.seen.version.as_deref());
                if versions().any(|version| version == wanted) {
                    return None;
                }
                format!("its version is {}, expected {wanted}", versions().next().unwrap_or("not known"))
            }
        };
        Some((found, false))
    }
}

impl Question {
    fn of(shared: &Shared, cursor: &str, query: &GateQuery) -> Result<Self, ApiError> {
        let wrong = |message: String| ApiError::bad_request(message).code("bad_gate");
        let cursor = decode(cursor, &shared.cursor_key)
            .ok_or_else(|| wrong("this is not a cursor; get one by POST /api/v1/gate".to_owned()))?;
        let board = shared.board();
        if cursor > board.sequence() {
            return Err(wrong("this cursor is not of this monitor; get one by POST /api/v1/gate".to_owned()));
        }
        let catalogue = shared.catalogue.load();
        let known: Vec<&str> = catalogue.services.iter().map(|card| &*card.name).collect();
        let services: Vec<String> = match (&query.services, query.all) {
            (Some(names), false) => {
                names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
            }
            (None, true) => {
                catalogue.services.iter().filter(|card| card.critical).map(|card| card.name.to_string()).collect()
            }
            _ => return Err(wrong("name the services (services=a,b) or ask for all of them (all=true)".to_owned())),
        };
        if services.is_empty() {
            return Err(wrong("no service is named; an empty list would say nothing".to_owned()));
        }
        if let Some(unknown) = services.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(wrong(format!("there is no service {unknown:?}{}", suggest(unknown, known.iter().copied()))));
        }
        let stable = query.stable.unwrap_or(3);
        if !(1..=STREAK_KEPT).contains(&stable) {
            return Err(wrong(format!("stable is {stable}; write a number from 1 to {STREAK_KEPT}")));
        }
        let wait = query.wait.as_deref().map_or(Ok(Duration::ZERO), parse_duration).map_err(wrong)?;
        let expect = query.expect.as_deref().map(Expected::parse).transpose().map_err(wrong)?;
        Ok(Self { cursor, services, stable, wait: wait.min(MAX_WAIT), expect })
    }

    fn checks(&self, board: &Board) -> Vec<CheckId> {
        let services = self.services.iter().filter_map(|name| board.service(name));
        services.flat_map(ServiceEntry::critical).map(|check| check.id.clone()).collect()
    }

    fn ask(&self, board: &Board) -> GateAnswer {
        let mut services = BTreeMap::new();
        let mut is_hopeless = false;
        for name in &self.services {
            let (answer, hopeless) = match board.service(name) {
                Some(service) => self.ask_service(service),
                None => (gone(), true),
            };
            is_hopeless |= hopeless;
            services.insert(name.clone(), answer);
        }
        let open = services.values().all(|service| service.open);
        GateAnswer { open, decided: open || is_hopeless, services }
    }

    /// Returns what is seen of one service, and whether waiting cannot help.
    fn ask_service(&self, service: &ServiceEntry) -> (GateService, bool) {
        let now = Stamp::now().at;
        let (mut reasons, mut hopeless) = (Vec::new(), false);
        let (mut passes, mut ages_secs) = (BTreeMap::new(), BTreeMap::new());
        for check in service.critical() {
            let count = check.pass_starts.iter().filter(|start| **start > self.cursor).count();
            let name = check.id.check.to_string();
            if !matches!(check.health, Health::Up | Health::Degraded) {
                reasons.push(format!("{name} is {}", check.health.as_str()));
            }
            if count < self.stable {
                let why = check.reason().map(|reason| format!(" ({reason})")).unwrap_or_default();
                reasons.push(format!("{name}: {count} of {} passes in a row since the cursor{why}", self.stable));
            }
            if let Some(last) = &check.last {
                ages_secs.insert(name.clone(), now.since(last.started.at).as_secs_f64());
            }
            passes.insert(name, count);
        }
        if service.is_unchecked() {
            reasons.push("running_unchecked: no critical check looks at it".to_owned());
            hopeless = true;
        }
        if let Some(workload) = &service.workload {
            if workload.unplanned_end_at > self.cursor {
                let how = workload.last_end.as_deref().unwrap_or("unknown");
                reasons.push(format!("it ended unplanned since the cursor: {how}"));
                hopeless = true;
            }
            if !matches!(workload.phase, Phase::Running { .. }) {
                reasons.push("it does not run".to_owned());
                // It has ended for good; one that was stopped may be about to be started.
                hopeless |= matches!(workload.phase, Phase::Resting(Rest::Completed | Rest::Failed));
            }
        }
        if let Some((reason, is_final)) = self.expect.as_ref().and_then(|expect| expect.judge(service, self.cursor)) {
            reasons.push(reason);
            hopeless |= is_final;
        }
        if !matches!(service.verdict, Verdict::Up | Verdict::Degraded) {
            reasons.push(format!("it is {}: {}", service.verdict.as_str().replace('_', " "), service.why));
            hopeless |= service.verdict == Verdict::GaveUp;
        }
        let answer = GateService {
            open: reasons.is_empty(),
            verdict: service.verdict.as_str().to_owned(),
            reasons,
            passes,
            ages_secs,
        };
        (answer, hopeless)
    }
}

fn gone() -> GateService {
    GateService {
        open: false,
        verdict: Verdict::Gone.as_str().to_owned(),
        reasons: vec!["it was removed from the configuration".to_owned()],
        passes: BTreeMap::new(),
        ages_secs: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_anything_else_is_not_one() {
        let key = [7; 32];
        assert_eq!(decode(&encode(1_234_567, &key), &key), Some(1_234_567));
        assert_eq!(decode(&encode(1_234_567, &[8; 32]), &key), None, "of another monitor");
        for text in ["", "x", "AAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(decode(text, &key), None, "{text}");
        }
    }
}
