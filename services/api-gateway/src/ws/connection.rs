//! One connection of `/ws`, from its first frame to its end.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use axum::http::StatusCode;
use jiff::Timestamp;
use kit::http::ApiError;
use kit::trace::{Context, Kind, Span};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, interval_at, timeout};

use super::counts::Loss;
use super::frame::{Heard, Said, error, frame, read, write};
use super::hub::{Hub, Place};
use crate::chat::{is_of_services, session_of};
use crate::gate::{Caller, Gatehouse, User};
use crate::limit::Rate;
use crate::table::CHAT;
use crate::tunnels::Tunnels;

/// Longest wait for the first frame.
const FIRST_WITHIN: Duration = Duration::from_secs(10);
/// Between two pings of ours.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Whoever is not heard of for so long, not even by a pong, is gone.
const IDLE: Duration = Duration::from_secs(300);
/// Longest time that one frame may take to be sent.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// Frames of a client in a minute.
const RATE: Rate = Rate { per_minute: NonZeroU32::new(100).expect("above 0") };
/// RFC 6455 section 7.4.1: going away, and policy violation; by the registry of IANA: try again later.
const GOING_AWAY: u16 = 1001;
const POLICY: u16 = 1008;
const TRY_AGAIN: u16 = 1013;

/// What a connection needs.
pub(super) struct Endpoint {
    pub(super) hub: Arc<Hub>,
    pub(super) house: Arc<Gatehouse>,
    pub(super) tunnels: Tunnels,
}

/// Why a connection ends: a code and a reason for the client.
type End = Option<(u16, &'static str)>;

/// Who wants to come in.
pub(super) struct Guest {
    /// What he calls the session.
    pub(super) session: Option<String>,
    pub(super) address: Option<IpAddr>,
    /// The span of the request that opened the connection.
    pub(super) opened_by: Option<Context>,
    /// His place among those that have not said yet who they are.
    pub(super) entering: OwnedSemaphorePermit,
    /// His place among all.
    pub(super) _place: OwnedSemaphorePermit,
}

/// Who has come in.
struct Visitor {
    /// The session as it is known here.
    session: String,
    pass: Pass,
    address: Option<IpAddr>,
    opened_by: Option<Context>,
}

/// What somebody has come in with.
enum Pass {
    /// A service's.
    Key(SecretString),
    /// A user's, and his id.
    Token { token: SecretString, user: String },
}

/// Serves a connection to its end.
pub(super) async fn serve(endpoint: Arc<Endpoint>, mut socket: WebSocket, guest: Guest) {
    let end = match guest.session.clone().filter(|id| crate::chat::is_plain_id(id)) {
        Some(shown) => match admit(&endpoint, &mut socket, &shown, &guest).await {
            Ok(visitor) => {
                drop(guest.entering);
                attend(&endpoint, &mut socket, &shown, &visitor).await
            }
            Err(end) => end,
        },
        None => Some((POLICY, "session_id is missing")),
    };
    let close = end.map(|(code, reason)| CloseFrame { code, reason: reason.into() });
    let _gone = timeout(SEND_WITHIN, socket.send(Message::Close(close))).await;
}

/// Reads the first frame.
async fn admit(endpoint: &Endpoint, socket: &mut WebSocket, shown: &str, guest: &Guest) -> Result<Visitor, End> {
    let first = tokio::select! {
        () = endpoint.tunnels.stop.cancelled() => return Err(Some((GOING_AWAY, "the gateway stops"))),
        first = timeout(FIRST_WITHIN, text(socket)) => first,
    };
    let Some(first) = first.ok().flatten().map(|first| read(&first, shown)) else {
        endpoint.hub.counts.refused.inc();
        return Err(Some((POLICY, NEEDED)));
    };
    let mut span = span_of(&first, guest.opened_by.as_ref());
    let found = span.within(identify(endpoint, first.said.ok(), shown, guest)).await;
    if let Err(Some((code, reason))) = found {
        span.refuse(code.to_string(), reason);
        if code == POLICY {
            endpoint.hub.counts.refused.inc();
        }
    }
    found
}

/// Finds out who says so.
async fn identify(endpoint: &Endpoint, said: Option<Said>, shown: &str, guest: &Guest) -> Result<Visitor, End> {
    let (house, address) = (&endpoint.house, guest.address);
    let visitor = |session, pass| Visitor { session, pass, address, opened_by: guest.opened_by.clone() };
    match said {
        Some(Said::Auth { session_id: Some(named), .. }) if named != shown => {
            Err(Some((POLICY, "session_id is another one than that of the address")))
        }
        Some(Said::Auth { api_key: Some(key), token: None, .. }) if is_of_services(shown) => {
            let found = house.admits(&key, CHAT, address).await;
            found.map(|()| visitor(shown.to_owned(), Pass::Key(key))).map_err(|error| refused(&error))
        }
        Some(Said::Auth { api_key: None, token: Some(token), .. }) => {
            let found = house.users.find(token.expose_secret(), address).await;
            let known = |user: Arc<User>| {
                let (session, id) = (session_of(&Caller::User(user.clone()), shown), user.id.clone());
                visitor(session, Pass::Token { token, user: id })
            };
            found.map(known).map_err(|error| refused(&error))
        }
        _ => Err(Some((POLICY, NEEDED))),
    }
}

/// Begins the span of a frame that names one which it belongs to; the request that opened the connection is over.
fn span_of(heard: &Heard, opened_by: Option<&Context>) -> Span {
    let Some(asked_by) = &heard.asked_by else { return Span::none() };
    let mut span = Span::enter(Kind::Server, format!("/ws {}", heard.kind), Some(asked_by), None, false);
    span.set("network.protocol.name", "websocket");
    if let Some(opened_by) = opened_by {
        span.link(opened_by);
    }
    span
}

const NEEDED: &str = "the first frame is {\"type\": \"auth\", …} with a valid key or token, within 10 s";

/// What nobody can say now is no reason to stay away.
fn refused(error: &ApiError) -> End {
    if error.status().is_server_error() || error.status() == StatusCode::TOO_MANY_REQUESTS {
        return Some((TRY_AGAIN, "who asks cannot be checked now; try again soon"));
    }
    Some((POLICY, NEEDED))
}

/// Waits for a text.
async fn text(socket: &mut WebSocket) -> Option<String> {
    loop {
        match socket.recv().await? {
            Ok(Message::Text(text)) => return Some(text.to_string()),
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            Ok(Message::Binary(_) | Message::Close(_)) | Err(_) => return None,
        }
    }
}

/// Tells and listens, until one of both sides has enough.
async fn attend(endpoint: &Endpoint, socket: &mut WebSocket, session: &str, visitor: &Visitor) -> End {
    let user = match &visitor.pass {
        Pass::Key(_) => None,
        Pass::Token { user, .. } => Some(user.as_str()),
    };
    let mut place = match endpoint.hub.join(&visitor.session, session, user) {
        Ok(place) => place,
        Err(why) => return Some((POLICY, why)),
    };
    let welcome = write(frame("auth_success", session, &json!({})), None);
    if let Err(end) = send(endpoint, socket, Message::from(welcome)).await {
        return end;
    }
    while let Some(waited) = place.waited.pop_front() {
        if let Err(end) = tell(endpoint, socket, waited).await {
            return end;
        }
    }
    let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    let (mut heard, mut owed_until) = (Instant::now(), Instant::now());
    loop {
        let sent = tokio::select! {
            () = endpoint.tunnels.stop.cancelled() => return Some((GOING_AWAY, "the gateway stops")),
            () = tokio::time::sleep_until(heard + IDLE) => return Some((GOING_AWAY, "nothing was heard for 300 s")),
            told = place.frames.recv() => match told {
                Some(told) => tell(endpoint, socket, told).await,
                None => return Some((POLICY, "what was told was read too slowly")),
            },
            _ = ping.tick() => {
                if has_ended(endpoint, visitor).await {
                    return Some((POLICY, "the key or token is good no more"));
                }
                send(endpoint, socket, Message::Ping(Vec::new().into())).await
            }
            said = socket.recv() => {
                heard = Instant::now();
                match said {
                    Some(Ok(Message::Text(text))) => {
                        let opened_by = visitor.opened_by.as_ref();
                        let answer = answer(endpoint, &place, session, &text, &mut owed_until, opened_by);
                        send(endpoint, socket, Message::from(answer)).await
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
                    Some(Ok(Message::Binary(_))) => {
                        let error = write(error(session, "invalid_json", "frames are text"), None);
                        send(endpoint, socket, Message::from(error)).await
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                }
            }
        };
        if let Err(end) = sent {
            return end;
        }
    }
}

/// Returns whether what somebody came in with is good no more. While nobody can say, he stays.
async fn has_ended(endpoint: &Endpoint, visitor: &Visitor) -> bool {
    let (house, address) = (&endpoint.house, visitor.address);
    let found = match &visitor.pass {
        Pass::Key(key) => house.admits(key, CHAT, address).await,
        Pass::Token { token, .. } => house.users.find(token.expose_secret(), address).await.map(|_user| ()),
    };
    found.is_err_and(|error| matches!(error.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
}

/// Answers a frame.
fn answer(
    endpoint: &Endpoint,
    place: &Place,
    session: &str,
    text: &str,
    owed_until: &mut Instant,
    opened_by: Option<&Context>,
) -> String {
    if RATE.take(owed_until, Instant::now()).wait.is_some() {
        endpoint.hub.counts.too_fast.inc();
        return write(error(session, "rate_limit_exceeded", "no more than 100 frames a minute"), None);
    }
    let heard = read(text, session);
    let mut span = span_of(&heard, opened_by);
    let answer = heard.said.and_then(|said| obey(place, session, said));
    if let Err(error) = &answer {
        let code = error.pointer("/data/error_code").and_then(Value::as_str).unwrap_or_default();
        span.refuse(code.to_owned(), "");
    }
    write(answer.unwrap_or_else(|error| error), span.context())
}

/// Does what a client says.
///
/// # Errors
/// The error frame to answer with.
fn obey(place: &Place, session: &str, said: Said) -> Result<Value, Value> {
    let chosen = match said {
        Said::Ping => return Ok(json!({ "type": "pong", "timestamp": Timestamp::now().to_string() })),
        Said::Auth { .. } => {
            return Err(error(session, "already_authenticated", "this connection is known already"));
        }
        Said::Subscribe { types } => place.choose(|topics| topics.extend(types)),
        Said::Unsubscribe { types } => place.choose(|topics| topics.retain(|topic| !types.contains(topic))),
    };
    Ok(frame("subscriptions", session, &json!({ "types": chosen })))
}

/// Sends what the session is told.
async fn tell(endpoint: &Endpoint, socket: &mut WebSocket, frame: String) -> Result<(), End> {
    let sent = send(endpoint, socket, Message::from(frame)).await;
    sent.inspect_err(|_| endpoint.hub.counts.lost(Loss::Unsent, 1))
}

async fn send(endpoint: &Endpoint, socket: &mut WebSocket, message: Message) -> Result<(), End> {
    match timeout(SEND_WITHIN, socket.send(message)).await {
        Ok(Ok(())) => {
            endpoint.hub.counts.sent.inc();
            Ok(())
        }
        Ok(Err(_)) | Err(_) => Err(None),
    }
}
