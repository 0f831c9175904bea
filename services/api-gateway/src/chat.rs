//! Conversations: what clients of the gateway send and read, and what llm-orchestrator does.
//!
//! A user's conversations are kept apart from everybody else's: in the orchestrator's sessions each begins with the user's
//! id, so that whoever learns the id of a conversation learns nothing of it.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::LengthLimitError;
use kit::http::{ApiError, not_found, root_cause};
use kit::trace::{self, Context};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::forward::{Forward, broke_off, cause, is_stream_of_events, too_large};
use crate::gate::Caller;
use crate::routes::Ways;
use crate::table::{CHAT, Guard, MEDIUM, Service};
use crate::ws::{Hub, Topic};

/// Longest message, in characters. Ours; clients are promised 10,000.
const MAX_MESSAGE_CHARS: usize = 100_000;
/// Longest id of a session or conversation, in bytes.
const MAX_ID_BYTES: usize = 128;
/// Largest answer that is read to be changed, in bytes.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// Largest body that is sent on, in bytes: one of [`MEDIUM`] grows when it is written anew.
const BODY_LIMIT: usize = 2 * MEDIUM;

/// Returns the routes.
pub(crate) fn routes(ways: &Arc<Ways>) -> Router {
    let of_service = ways.guarded(Guard::Key(CHAT), post(chat).with_state(ways.clone())).fallback(not_found);
    let of_user = ways.guarded(Guard::User, post(converse).with_state(ways.clone())).fallback(not_found);
    let history = ways.guarded(Guard::User, get(history).with_state(ways.clone())).fallback(not_found);
    let tool = ways.guarded(Guard::Key(CHAT), post(execute_tool).with_state(ways.clone())).fallback(not_found);
    Router::new()
        .route("/api/chat", of_service)
        .route("/api/execute-tool", tool)
        .route("/api/v1/chat", of_user)
        .route("/api/v1/chat/history/{id}", history)
}

/// The body of `POST /api/chat`: the messages so far, or the newest alone. What else is in it is handed on.
#[derive(Debug, Deserialize)]
struct Chat {
    message: Option<Value>,
    #[serde(default)]
    messages: Vec<Message>,
    session_id: Option<String>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Value,
}

impl Chat {
    /// Returns the newest message of the user.
    fn newest(&self) -> Result<&str, ApiError> {
        let of_user = self.messages.iter().rev().find(|message| message.role == "user");
        checked(of_user.map(|message| &message.content).or(self.message.as_ref()))
    }
}

/// Returns the text of a message that may be asked.
fn checked(message: Option<&Value>) -> Result<&str, ApiError> {
    let text = message.and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).ok_or_else(|| {
        ApiError::bad_request("message is missing or empty; send message, or messages with one of role \"user\"")
            .code("message_missing")
    })?;
    if text.chars().count() > MAX_MESSAGE_CHARS {
        let text = format!("the message has more than {MAX_MESSAGE_CHARS} characters");
        return Err(ApiError::bad_request(text).code("message_too_long"));
    }
    Ok(text)
}

/// `POST /api/chat`
async fn chat(State(ways): State<Arc<Ways>>, request: Request) -> Result<Response, ApiError> {
    let (head, chat) = read::<Chat>(request).await?;
    let session = chat.session_id.clone().unwrap_or_else(fresh);
    check_service_id("session_id", &session)?;
    let message = Value::from(chat.newest()?);
    let mut body = chat.more;
    let is_told = body.get("stream") == Some(&Value::Bool(true));
    body.insert("message".to_owned(), message);
    body.insert("session_id".to_owned(), session.as_str().into());
    let (llm, request) = (ways.to(Service::Llm), with_body(head, body));
    if !is_told {
        return llm.send("/chat", request, BODY_LIMIT).await;
    }
    rewritten(llm, "/chat", request, |answer| ways.hub.tell(&session, Topic::ChatStream, &streamed(answer))).await
}

/// Returns what a session is told of an answer: all of it in one piece.
fn streamed(answer: &Map<String, Value>) -> Value {
    let details = answer.get("cost_info").and_then(|cost| cost.get("token_details"));
    let count = |name: &str| details.and_then(|details| details.get(name)).and_then(Value::as_u64);
    let tokens =
        details.and_then(Value::as_u64).or_else(|| count("total_tokens")).or_else(|| count("total")).unwrap_or(0);
    json!({ "delta": answer.get("response"), "token_count": tokens, "is_complete": true })
}

/// The body of `POST /api/execute-tool`. What else is in it is handed on.
#[derive(Debug, Deserialize)]
struct Tool {
    tool_name: String,
    session_id: Option<String>,
    #[serde(default)]
    stream_progress: bool,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// `POST /api/execute-tool`: the session is told how it goes, if that is wanted.
async fn execute_tool(State(ways): State<Arc<Ways>>, request: Request) -> Result<Response, ApiError> {
    let (head, tool) = read::<Tool>(request).await?;
    if let Some(session) = &tool.session_id {
        check_service_id("session_id", session)?;
    }
    let mut body = tool.more;
    body.insert("tool_name".to_owned(), tool.tool_name.as_str().into());
    body.extend(tool.session_id.as_ref().map(|session| ("session_id".to_owned(), session.as_str().into())));
    let (llm, request) = (ways.to(Service::Llm), with_body(head, body));
    let Some(session) = tool.session_id.filter(|_| tool.stream_progress) else {
        return llm.send("/execute-tool", request, BODY_LIMIT).await;
    };
    let running = Running::begin(ways.hub.clone(), session, tool.tool_name);
    let end = |answer: &mut Map<String, Value>| running.end(answer.get("result").cloned().unwrap_or_default());
    rewritten(llm, "/execute-tool", request, end).await
}

/// A tool that runs, as its session is told of it. If it is dropped before its end (the client has left, or there is no
/// valid answer), it has failed.
struct Running {
    hub: Arc<Hub>,
    session: String,
    tool_name: String,
    /// The span of the request that runs it; at its drop nobody knows it any more.
    asked_by: Option<Context>,
    has_ended: bool,
}

impl Running {
    fn begin(hub: Arc<Hub>, session: String, tool_name: String) -> Self {
        let running = Self { hub, session, tool_name, asked_by: trace::current(), has_ended: false };
        running.tell("running", 0, Value::Null, Value::Null);
        running
    }

    fn end(mut self, result: Value) {
        self.has_ended = true;
        // A tool that fails is answered with 200, too.
        match result.get("error").cloned() {
            Some(error) => self.tell("failed", 100, error, result),
            None => self.tell("completed", 100, Value::Null, result),
        }
    }

    fn tell(&self, status: &str, progress: u8, message: Value, result: Value) {
        let data = json!({
            "tool_name": self.tool_name, "status": status, "progress": progress, "message": message, "result": result,
        });
        self.hub.tell_of(self.asked_by.as_ref(), &self.session, Topic::ToolProgress, &data);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            self.tell("failed", 100, "the tool gave no answer".into(), Value::Null);
        }
    }
}

/// The body of `POST /api/v1/chat`.
#[derive(Debug, Deserialize)]
struct Turn {
    message: Option<Value>,
    conversation_id: Option<String>,
    base_id: Option<String>,
}

/// `POST /api/v1/chat`: a turn in one of the user's conversations, or in a new one.
async fn converse(
    State(ways): State<Arc<Ways>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, turn) = read::<Turn>(request).await?;
    let conversation = turn.conversation_id.unwrap_or_else(fresh);
    check_id("conversation_id", &conversation)?;
    let session = session_of(&caller, &conversation);
    let mut body = Map::from_iter([
        ("message".to_owned(), checked(turn.message.as_ref())?.into()),
        ("session_id".to_owned(), session.as_str().into()),
    ]);
    body.extend(turn.base_id.map(|base| ("base_id".to_owned(), base.into())));
    rewritten(ways.to(Service::Llm), "/chat", with_body(head, body), |answer| {
        ways.hub.tell(&session, Topic::ChatStream, &streamed(answer));
        answer.remove("session_id");
        answer.insert("conversation_id".to_owned(), conversation.into());
    })
    .await
}

/// `GET /api/v1/chat/history/{id}`
async fn history(
    State(ways): State<Arc<Ways>>,
    Extension(caller): Extension<Caller>,
    Path(conversation): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    check_id("the conversation's id", &conversation)?;
    let path = format!("/sessions/{}/history", session_of(&caller, &conversation));
    rewritten(ways.to(Service::Llm), &path, request, |answer| {
        answer.remove("session_id");
        if let Some(history) = answer.remove("history") {
            answer.insert("messages".to_owned(), history);
        }
        answer.insert("conversation_id".to_owned(), conversation.into());
    })
    .await
}

fn fresh() -> String {
    Uuid::new_v4().to_string()
}

/// Returns the orchestrator's session for a user's conversation.
pub(crate) fn session_of(caller: &Caller, conversation: &str) -> String {
    match caller {
        Caller::User(user) => format!("{OF_USERS}{}-{conversation}", user.id),
        Caller::Service | Caller::Showing(_) | Caller::Anyone => conversation.to_owned(),
    }
}

/// Ids stand in paths and keys of others.
pub(crate) fn is_plain_id(id: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    !id.is_empty() && id.len() <= MAX_ID_BYTES && id.chars().all(is_plain) && !id.starts_with('.')
}

/// Begins the orchestrator's sessions of users, which no service may name.
pub(crate) const OF_USERS: &str = "user-";

/// Returns whether a service may name this session.
pub(crate) fn is_of_services(id: &str) -> bool {
    !id.starts_with(OF_USERS)
}

fn check_service_id(name: &str, id: &str) -> Result<(), ApiError> {
    check_id(name, id)?;
    if is_of_services(id) {
        return Ok(());
    }
    Err(ApiError::forbidden(format!("{name} begins as those of users do")))
}

fn check_id(name: &str, id: &str) -> Result<(), ApiError> {
    if is_plain_id(id) {
        return Ok(());
    }
    let text = format!("{name} is 1 to {MAX_ID_BYTES} letters, digits, dashes, underscores, dots and colons");
    Err(ApiError::bad_request(text).code("invalid_id"))
}

/// Reads a JSON body, and returns the rest of the request without it.
async fn read<T: for<'de> Deserialize<'de>>(request: Request) -> Result<(Request, T), ApiError> {
    let (mut head, body) = request.into_parts();
    let bytes = to_bytes(body, MEDIUM).await.map_err(|error| match cause::<LengthLimitError>(&error) {
        Some(_) => too_large(MEDIUM),
        None => broke_off(),
    })?;
    let read = serde_json::from_slice(&bytes).map_err(|error| {
        ApiError::bad_request(format!("the body is not the JSON that is expected here: {error}")).code("invalid_json")
    })?;
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok((Request::from_parts(head, Body::empty()), read))
}

/// Puts a JSON body into a request.
fn with_body(head: Request, body: Map<String, Value>) -> Request {
    head.map(|_nothing| Body::from(Value::Object(body).to_string()))
}

/// Sends a request, and changes the JSON of an answer that says yes; any other stays as it is.
async fn rewritten(
    llm: &Forward,
    path: &str,
    mut request: Request,
    change: impl FnOnce(&mut Map<String, Value>),
) -> Result<Response, ApiError> {
    // What is changed must come with a body, all of it, and not compressed.
    if *request.method() == Method::HEAD {
        *request.method_mut() = Method::GET;
    }
    for name in [header::ACCEPT_ENCODING, header::RANGE] {
        request.headers_mut().remove(name);
    }
    let answer = llm.send(path, request, BODY_LIMIT).await?;
    // Events are for the client as they come, and are nobody's to change.
    if !answer.status().is_success() || is_stream_of_events(answer.headers()) {
        return Ok(answer);
    }
    let broken = |why: &str| llm.broken(why).error;
    let bytes = to_bytes(answer.into_body(), MAX_ANSWER_BYTES).await.map_err(|error| broken(&root_cause(&error)))?;
    let mut json = match serde_json::from_slice(&bytes) {
        Ok(Value::Object(json)) => json,
        Ok(list @ Value::Array(_)) => Map::from_iter([("history".to_owned(), list)]),
        Ok(_) => return Err(broken("it is neither an object nor a list")),
        Err(error) => return Err(broken(&error.to_string())),
    };
    change(&mut json);
    Ok(Json(json).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_message_of_the_user_is_asked() {
        let newest = |body: &str| serde_json::from_str::<Chat>(body).unwrap().newest().map(str::to_owned).ok();
        for (body, expected) in [
            (r#"{"message": " hello "}"#, Some("hello")),
            (r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#, Some("a")),
            (r#"{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "c"}]}"#, Some("c")),
            (r#"{"messages": [{"role": "assistant", "content": "b"}]}"#, None),
            (r#"{"messages": []}"#, None),
            (r#"{"message": "  "}"#, None),
            (r#"{"message": 7}"#, None),
            ("{}", None),
        ] {
            assert_eq!(newest(body).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn ids_are_plain() {
        for id in ["a", "6f1c-2", "user:7.b_c"] {
            assert!(check_id("id", id).is_ok(), "{id}");
        }
        for id in ["", "..", ".a", "a/b", "a%2fb", "a b", "ä", &"a".repeat(129)] {
            assert!(check_id("id", id).is_err(), "{id}");
        }
    }
}
