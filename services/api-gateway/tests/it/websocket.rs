//! `/ws` as its clients use it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use kit::config::Environment;
use kit::trace::{TraceSettings, start};
use serde_json::{Value, json};
use testkit::{Collector, Target, eventually};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::sign_in::SignIn;
use crate::{ByHand, Gateway, KEY, LIMIT, send, settings, soon, upstream};

/// A client's side.
struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn open(gateway: &Gateway, path: &str) -> Self {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let opened = client_async(format!("ws://{}{path}", gateway.address), stream);
        Self(soon("a WebSocket", opened).await.unwrap().0)
    }

    /// Opens one and says who it is.
    async fn enter(gateway: &Gateway, session: &str, auth: Value) -> Self {
        let mut client = Self::open(gateway, &format!("/ws?session_id={session}")).await;
        client.say(&auth.to_string()).await;
        client
    }

    async fn say(&mut self, text: &str) {
        self.0.send(Message::from(text)).await.unwrap();
    }

    /// Returns the next frame.
    async fn hear(&mut self) -> Value {
        loop {
            match soon("a frame", self.0.next()).await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => unreachable!("{other:?}"),
            }
        }
    }

    /// Returns the code it is closed with.
    async fn closed(&mut self) -> u16 {
        loop {
            let message = soon("an end", self.0.next()).await.unwrap().unwrap();
            if let Message::Close(frame) = message {
                return frame.unwrap().code.into();
            }
        }
    }
}

fn auth(session: &str) -> Value {
    json!({ "type": "auth", "api_key": KEY, "session_id": session })
}

async fn entered(gateway: &Gateway, session: &str) -> Client {
    let mut client = Client::enter(gateway, session, auth(session)).await;
    assert_eq!(client.hear().await["type"], "auth_success");
    client
}

#[tokio::test]
async fn without_an_upgrade_it_is_426() {
    let answer = Gateway::start(settings()).await.get("/ws").await;
    answer.error(426, "upgrade_required");
    assert_eq!(answer.header("upgrade"), Some("websocket"));
}

#[tokio::test]
async fn who_does_not_say_who_he_is_is_shown_out() {
    let mut settings = settings();
    settings.signed = api_gateway::Signed::Secret("0123456789abcdef0123456789abcdef".into());
    let gateway = Gateway::start(settings).await;
    assert_eq!(Client::open(&gateway, "/ws").await.closed().await, 1008);
    for first in [
        json!({ "type": "ping" }),
        json!({ "type": "auth" }),
        json!({ "type": "auth", "api_key": "wrong", "session_id": "s" }),
        json!({ "type": "auth", "api_key": KEY, "session_id": "other" }),
        json!({ "type": "auth", "token": "garbage" }),
        json!("nonsense"),
    ] {
        assert_eq!(Client::enter(&gateway, "s", first.clone()).await.closed().await, 1008, "{first}");
    }
    let stats = gateway.ask("GET", "/api/websocket/stats").await.json();
    assert_eq!((&stats["authentication_failures"], &stats["total_connections"]), (&json!(6), &json!(0)));
    gateway.get("/api/websocket/stats").await.error(401, "unauthorized");
}

#[tokio::test]
async fn frames_are_answered_as_clients_know_it() {
    let gateway = Gateway::start(settings()).await;
    let mut client = entered(&gateway, "s").await;
    client.say(r#"{"type": "ping"}"#).await;
    let pong = client.hear().await;
    assert!(pong["type"] == "pong" && pong["timestamp"].is_string(), "{pong}");
    for (frame, code) in [("{", "invalid_json"), (r#"{"type": "shout"}"#, "unknown_message_type")] {
        client.say(frame).await;
        let error = client.hear().await;
        assert_eq!((&error["type"], &error["session_id"]), (&json!("error"), &json!("s")));
        assert_eq!(error["data"]["error_code"], code);
    }
    client.say(r#"{"type": "unsubscribe", "types": ["chat_stream", "cost_update", "error"]}"#).await;
    assert_eq!(client.hear().await["data"]["types"], json!(["tool_progress", "system_status"]));
    for _ping in 0..150 {
        client.say(r#"{"type": "ping"}"#).await;
    }
    let mut kinds = Vec::new();
    for _answer in 0..150 {
        kinds.push(client.hear().await);
    }
    // A frame comes back in 600 ms: all of them only if this takes half a minute.
    let refused = kinds.iter().filter(|frame| frame["data"]["error_code"] == "rate_limit_exceeded").count();
    assert!((1..=54).contains(&refused), "{refused}");
}

#[tokio::test]
async fn a_session_hears_of_its_tools_and_answers_also_what_it_missed() {
    let llm = Target::answer(200, &[("content-type", "application/json")], r#"{"response": "hi"}"#);
    let mut settings = settings();
    settings.llm_orchestrator = upstream(&llm.url(""));
    let gateway = Gateway::start(settings).await;
    let post = async |path: &str, body: Value| assert_eq!(gateway.post_as_service(path, &body).await.status, 200);
    let (mut first, mut other) = (entered(&gateway, "s").await, entered(&gateway, "other").await);
    let tool = json!({ "tool_name": "list_tables", "arguments": {}, "session_id": "s", "stream_progress": true });
    post("/api/execute-tool", tool).await;
    for status in ["running", "completed"] {
        let frame = first.hear().await;
        assert_eq!((&frame["type"], &frame["data"]["status"]), (&json!("tool_progress"), &json!(status)));
        assert_eq!(frame["data"]["tool_name"], "list_tables");
    }
    drop(first);
    eventually("the session to be left", LIMIT, async || {
        (gateway.get("/health").await.json()["websocket_stats"]["active_connections"] == 1).then_some(())
    })
    .await;
    post("/api/chat", json!({ "message": "hello", "session_id": "s", "stream": true })).await;
    let mut again = entered(&gateway, "s").await;
    let frame = again.hear().await;
    assert_eq!((&frame["type"], &frame["data"]["delta"]), (&json!("chat_stream"), &json!("hi")));
    other.say(r#"{"type": "ping"}"#).await;
    assert_eq!(other.hear().await["type"], "pong", "nothing of another session");
}

#[tokio::test]
async fn frames_belong_to_the_trace_that_asked_for_them() {
    let collector = Collector::start().await;
    let environment = Environment::of([("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.http())]);
    let exporting = start(TraceSettings::read(&environment, "api-gateway", "1").unwrap());
    let llm = Target::answer(200, &[("content-type", "application/json")], r#"{"response": "hi"}"#);
    let mut settings = settings();
    settings.llm_orchestrator = upstream(&llm.url(""));
    let gateway = Gateway::start(settings).await;
    let mut auth = auth("s");
    let parent = |last: u8| format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033{last:02}-01");
    auth["traceparent"] = parent(1).into();
    let mut client = Client::enter(&gateway, "s", auth).await;
    assert_eq!(client.hear().await["type"], "auth_success");
    let mut ask = async |frame: Value| {
        client.say(&frame.to_string()).await;
        client.hear().await["traceparent"].clone()
    };
    assert_eq!(ask(json!({ "type": "ping" })).await, Value::Null);
    let chosen = ask(json!({ "type": "subscribe", "types": ["chat_stream"], "traceparent": parent(2) })).await;
    let refused = ask(json!({ "type": "subscribe", "types": 7, "traceparent": parent(3) })).await;
    let chat = json!({ "message": "hello", "session_id": "s", "stream": true });
    let request = gateway.request("POST", "/api/chat").header("x-api-key", KEY).header("traceparent", parent(4));
    assert_eq!(send(request, chat.to_string()).await.status, 200);
    let told = client.hear().await["traceparent"].clone();
    exporting.finish().await;
    let spans = collector.spans().await;
    let below = |last: u8| {
        let parent = format!("b7ad6b71692033{last:02}");
        let mut found = spans.iter().filter(|span| span["parent"] == parent && span["kind"] == 2);
        (found.next().unwrap(), found.next())
    };
    let upgrade = spans.iter().find(|span| span["name"] == "GET /ws").unwrap();
    let link = json!([{ "trace": upgrade["trace"], "span": upgrade["span"], "remote": false }]);
    for (last, name, error) in
        [(1, "/ws auth", None), (2, "/ws subscribe", None), (3, "/ws subscribe", Some("invalid_message"))]
    {
        let (span, more) = below(last);
        assert_eq!((&span["name"], &span["links"], more), (&json!(name), &link, None));
        assert_eq!(span["attributes"]["error.type"], json!(error));
    }
    assert!(!spans.iter().any(|span| span["name"] == "/ws ping"), "it names no span");
    for (last, frame) in [(2, chosen), (3, refused), (4, told)] {
        let span = below(last).0["span"].as_str().unwrap();
        assert_eq!(frame, format!("00-0af7651916cd43dd8448eb211c80319c-{span}-01"));
    }
}

#[tokio::test]
async fn a_tool_that_runs_ends_also_if_its_client_leaves_or_its_answer_is_no_good() {
    let (llm, url) = ByHand::listen().await;
    let mut settings = settings();
    settings.llm_orchestrator = upstream(&url);
    let gateway = Gateway::start(settings).await;
    let mut listener = entered(&gateway, "s").await;
    let body = r#"{"tool_name": "t", "session_id": "s", "stream_progress": true}"#;
    let head = format!("POST /api/execute-tool HTTP/1.1\nHost: x\n{{key}}\nContent-Length: {}\n\n", body.len());
    for answer in [None, Some("HTTP/1.1 500 x\r\n"), Some("HTTP/1.1 200 OK\r\n")] {
        let client = gateway.write(&format!("{head}{body}")).await;
        let (mut service, _) = llm.accept().await;
        assert_eq!(listener.hear().await["data"]["status"], "running");
        match answer {
            None => drop(client),
            Some(start) => {
                let answer = format!("{start}connection: close\r\ncontent-length: 4\r\n\r\noops");
                service.write_all(answer.as_bytes()).await.unwrap();
            }
        }
        let last = listener.hear().await["data"].take();
        assert_eq!((&last["status"], &last["message"]), (&json!("failed"), &json!("the tool gave no answer")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_enters_with_his_token_and_hears_of_no_session_but_his_own() {
    let sign_in = SignIn::start().await;
    let token = sign_in.register("ada@example.com").await;
    let gateway = &sign_in.gateway;
    let mut own = Client::enter(gateway, "s", json!({ "type": "auth", "token": token })).await;
    let welcome = own.hear().await;
    assert_eq!(welcome["session_id"], "s");
    let stream = json!({ "message": "hello", "session_id": "s", "stream": true });
    let request = gateway.request("POST", "/api/chat").header("x-api-key", KEY);
    assert_eq!(send(request, stream.to_string()).await.status, 200);
    own.say(r#"{"type": "ping"}"#).await;
    assert_eq!(own.hear().await["type"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_hears_the_answer_of_his_own_conversation() {
    let sign_in = SignIn::start().await;
    let (ada, eve) = (sign_in.register("ada@example.com").await, sign_in.register("eve@example.com").await);
    let gateway = &sign_in.gateway;
    let enter = async |token: &str| {
        let mut client = Client::enter(gateway, "c1", json!({ "type": "auth", "token": token })).await;
        assert_eq!(client.hear().await["type"], "auth_success");
        client
    };
    let (mut own, mut other) = (enter(&ada).await, enter(&eve).await);
    let turn = json!({ "message": "hello", "conversation_id": "c1" });
    assert_eq!(gateway.post("/api/v1/chat", Some(&ada), &turn).await.status, 200);
    let frame = own.hear().await;
    assert_eq!((&frame["type"], &frame["session_id"]), (&json!("chat_stream"), &json!("c1")));
    assert_eq!(frame["data"]["delta"], "hello");
    other.say(r#"{"type": "ping"}"#).await;
    assert_eq!(other.hear().await["type"], "pong", "the same name, and another's conversation");
}

#[tokio::test]
async fn whoever_came_in_with_what_is_good_no_more_is_shown_out() {
    let sign_in = SignIn::start_here().await;
    let (token, key) = (sign_in.register("ada@example.com").await, sign_in.key_for("chat").await);
    let gateway = &sign_in.gateway;
    let user = Client::enter(gateway, "u", json!({ "type": "auth", "token": token })).await;
    let service = Client::enter(gateway, "s", json!({ "type": "auth", "api_key": key["key"] })).await;
    let shared = Client::enter(gateway, "s", auth("s")).await;
    let mut clients = [user, service, shared];
    for client in &mut clients {
        assert_eq!(client.hear().await["type"], "auth_success");
    }
    gateway.post("/api/auth/logout", Some(&token), &json!({})).await.json();
    sign_in.revoke(&key).await;
    eventually("the revoked key to be refused", LIMIT, async || {
        let request = gateway.request("GET", "/api/tools").header("x-api-key", key["key"].as_str().unwrap());
        (send(request, "").await.status == 401).then_some(())
    })
    .await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(30)).await;
    tokio::time::resume();
    let [user, service, shared] = &mut clients;
    assert_eq!((user.closed().await, service.closed().await), (1008, 1008));
    shared.say(r#"{"type": "ping"}"#).await;
    assert_eq!(shared.hear().await["type"], "pong");
}

#[tokio::test]
async fn a_session_has_room_for_five_and_a_stop_says_so() {
    let gateway = Gateway::start(settings()).await;
    let mut clients = Vec::new();
    for _client in 0..5 {
        clients.push(entered(&gateway, "s").await);
    }
    assert_eq!(Client::enter(&gateway, "s", auth("s")).await.closed().await, 1008);
    gateway.stop.cancel();
    for client in &mut clients {
        assert_eq!(client.closed().await, 1001);
    }
    drop(clients);
    soon("the gateway's end", gateway.task).await.unwrap();
}

#[tokio::test]
async fn whoever_is_not_heard_of_for_five_minutes_is_gone() {
    let gateway = Gateway::start_here(settings()).await;
    // It reads no more, and so answers no ping.
    let _silent = entered(&gateway, "s").await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(300)).await;
    tokio::time::resume();
    eventually("the session to be left", LIMIT, async || {
        (gateway.get("/health").await.json()["websocket_stats"]["active_connections"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_hears_of_what_it_chose() {
    let target = Target::respond_with(|_| testkit::Response::new(200, r#"{"response": "hi", "result": {}}"#));
    let mut settings = settings();
    settings.llm_orchestrator = upstream(&target.url(""));
    let gateway = Gateway::start(settings).await;
    let (mut tools, mut all) = (entered(&gateway, "s").await, entered(&gateway, "s").await);
    tools.say(r#"{"type": "unsubscribe", "types": ["chat_stream"]}"#).await;
    assert_eq!(tools.hear().await["type"], "subscriptions");
    let chat = json!({ "message": "hello", "session_id": "s", "stream": true });
    assert_eq!(gateway.post_as_service("/api/chat", &chat).await.status, 200);
    assert_eq!(all.hear().await["type"], "chat_stream");
    let tool = json!({ "tool_name": "t", "arguments": {}, "session_id": "s", "stream_progress": true });
    assert_eq!(gateway.post_as_service("/api/execute-tool", &tool).await.status, 200);
    assert_eq!(
        (tools.hear().await["type"].clone(), all.hear().await["type"].clone()),
        (json!("tool_progress"), json!("tool_progress"))
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_for_ten_seconds_is_shown_out() {
    let gateway = Gateway::start_here(settings()).await;
    let mut client = Client::open(&gateway, "/ws?session_id=s").await;
    let began = tokio::time::Instant::now();
    assert_eq!(client.closed().await, 1008);
    assert!(began.elapsed() >= Duration::from_secs(10));
}
