//! Conversations: what clients send, what the orchestrator gets, and what comes back.

use serde_json::{Value, json};
use testkit::{Response, Target};

use crate::sign_in::SignIn;
use crate::{Gateway, KEY, send, settings, upstream};

async fn before(llm: &Target) -> Gateway {
    let mut settings = settings();
    settings.llm_orchestrator = upstream(&llm.url(""));
    Gateway::start(settings).await
}

#[tokio::test]
async fn the_newest_message_of_the_user_reaches_the_orchestrator() {
    let json = [("content-type", "application/json")];
    let llm = Target::answer(200, &json, r#"{"response": "hi"}"#);
    let gateway = before(&llm).await;
    let ask = async |body: Value| {
        let request = gateway.request("POST", "/api/chat").header("x-api-key", KEY);
        send(request.header("content-type", "application/json"), body.to_string()).await
    };
    let body = json!({
        "messages": [{ "role": "user", "content": "first" }, { "role": "assistant", "content": "a" }, { "role": "user", "content": "last" }],
        "session_id": "s-1", "base_id": "app1", "thinking_budget": 3,
    });
    assert_eq!(ask(body).await.json()["response"], "hi");
    let sent: Value = serde_json::from_slice(&llm.requests()[0].body).unwrap();
    assert_eq!(sent, json!({ "message": "last", "session_id": "s-1", "base_id": "app1", "thinking_budget": 3 }));
    assert_eq!(llm.requests()[0].path, "/chat");
    for (body, code) in [
        (json!({ "messages": [], "session_id": "s" }), "message_missing"),
        (json!({ "messages": [{ "role": "assistant", "content": "a" }], "session_id": "s" }), "message_missing"),
        (json!({ "message": "", "session_id": "s" }), "message_missing"),
        (json!({ "message": "a", "session_id": "../admin" }), "invalid_id"),
        (json!([]), "invalid_json"),
    ] {
        ask(body).await.error(400, code);
    }
    assert_eq!(llm.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_conversation_is_his_alone() {
    let sign_in = SignIn::start().await;
    let (ada, eve) = (sign_in.register("ada@example.com").await, sign_in.register("eve@example.com").await);
    let (gateway, llm) = (&sign_in.gateway, &sign_in.llm);
    let first = gateway.post("/api/v1/chat", Some(&ada), &json!({ "message": "hello" })).await.json();
    let conversation = first["conversation_id"].as_str().unwrap().to_owned();
    assert_eq!((&first["response"], first.get("session_id")), (&json!("hello"), None));
    let body = json!({ "message": "x".repeat(10_000), "conversation_id": conversation });
    let second = gateway.post("/api/v1/chat", Some(&ada), &body).await.json();
    assert_eq!(second["conversation_id"], conversation.as_str());
    gateway.post("/api/v1/chat", Some(&eve), &body).await.json();
    let sessions: Vec<String> = llm
        .requests()
        .iter()
        .map(|request| {
            serde_json::from_slice::<Value>(&request.body).unwrap()["session_id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(sessions[0], sessions[1]);
    assert_ne!(sessions[1], sessions[2], "whoever learns its id learns nothing of it");
    gateway.get_as(&ada, &format!("/api/v1/chat/history/{conversation}")).await.json();
    assert_eq!(llm.requests()[3].path, format!("/sessions/{}/history", sessions[0]));
    for message in [json!({}), json!({ "message": "" }), json!({ "message": null })] {
        gateway.post("/api/v1/chat", Some(&ada), &message).await.error(400, "message_missing");
    }
}

#[tokio::test]
async fn a_refusal_of_the_orchestrator_is_kept_and_nonsense_is_502() {
    let llm = Target::respond_with(|_| Response::new(429, r#"{"error": "budget"}"#));
    let request = before(&llm).await.request("POST", "/api/chat").header("x-api-key", KEY);
    assert_eq!(send(request, json!({ "message": "a" }).to_string()).await.status, 429);
    for nonsense in ["nonsense", "7", "{"] {
        let llm = Target::ok(nonsense);
        let gateway = before(&llm).await;
        let request = gateway.request("POST", "/api/chat").header("x-api-key", KEY);
        let answer = send(request, json!({ "message": "a", "stream": true }).to_string()).await;
        answer.error(502, "upstream_failed");
    }
}

#[tokio::test]
async fn an_answer_that_is_changed_is_asked_for_uncompressed() {
    let llm = Target::respond_with(|request| match request.header("accept-encoding") {
        Some(_) => Response::new(200, "compressed").with_header("content-encoding", "gzip"),
        None => Response::new(200, r#"{"response": "hi"}"#),
    });
    let gateway = before(&llm).await;
    let ask = async |stream: bool| {
        let request = gateway.request("POST", "/api/chat").header("x-api-key", KEY).header("accept-encoding", "gzip");
        send(request, json!({ "message": "a", "stream": stream }).to_string()).await
    };
    let changed = ask(true).await;
    assert_eq!((changed.status, changed.header("content-encoding")), (200, None), "{changed:?}");
    assert_eq!(changed.json()["response"], "hi");
    assert_eq!(ask(false).await.text(), "compressed", "what is handed on is as client and service agree");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_the_head_or_a_part_of_a_history_has_it_made_of_the_whole() {
    let sign_in = SignIn::start().await;
    let ada = sign_in.register("ada@example.com").await;
    for method in ["HEAD", "GET"] {
        let request = sign_in.gateway.request(method, "/api/v1/chat/history/c1").header("range", "bytes=0-3");
        let answer = send(request.header("authorization", format!("Bearer {ada}")), "").await;
        assert_eq!((answer.status, answer.body.is_empty()), (200, method == "HEAD"), "{answer:?}");
        let seen = sign_in.llm.requests().pop().unwrap();
        assert_eq!((seen.method.as_str(), seen.header("range")), ("GET", None));
    }
}
