//! Who is let in where, and what the services are told of it.

use serde_json::json;
use testkit::Target;

use crate::sign_in::SignIn;
use crate::{Gateway, KEY, send, settings, upstream};

#[tokio::test]
async fn what_needs_a_key_needs_the_right_one() {
    let llm = Target::ok(r#"{"tools": []}"#);
    let mut settings = settings();
    settings.llm_orchestrator = upstream(&llm.url(""));
    let gateway = Gateway::start(settings).await;
    for (method, path, there) in [
        ("GET", "/api/tools?a=b", "/tools?a=b"),
        ("GET", "/api/sessions/s%201/history", "/sessions/s%201/history"),
        ("DELETE", "/api/sessions/s1", "/sessions/s1"),
    ] {
        let request = || gateway.request(method, path);
        send(request(), "").await.error(401, "unauthorized");
        send(request().header("x-api-key", "wrong"), "").await.error(401, "unauthorized");
        send(request().header("authorization", format!("Bearer {KEY}")), "").await.error(401, "unauthorized");
        let before = llm.requests().len();
        assert_eq!(send(request().header("x-api-key", KEY), "").await.status, 200, "{path}");
        let seen = llm.requests();
        assert_eq!((seen.len(), seen[before].method.as_str(), seen[before].path.as_str()), (before + 1, method, there));
        assert_eq!(seen[before].header("x-api-key"), Some(KEY), "our own: the services share it by default");
    }
    let answer = gateway.ask("GET", "/api/sessions/..%2f..%2fadmin/history").await;
    answer.error(400, "invalid_path");
}

#[tokio::test]
async fn sessions_of_users_are_not_for_services_however_they_write_the_name() {
    let llm = Target::ok("{}");
    let mut settings = settings();
    settings.llm_orchestrator = upstream(&llm.url(""));
    let gateway = Gateway::start(settings).await;
    for (method, rest) in [("GET", "/history"), ("DELETE", "")] {
        for name in ["user-ada-1", "%75ser-ada-1", "user%2dada-1", "x%2fuser-ada-1"] {
            gateway.ask(method, &format!("/api/sessions/{name}{rest}")).await.error(403, "forbidden");
        }
    }
    for session in ["user-ada-1", "s"] {
        let body = json!({ "message": "a", "session_id": session }).to_string();
        let answer = send(gateway.request("POST", "/api/chat").header("x-api-key", KEY), body).await;
        assert_eq!(answer.status, if session == "s" { 200 } else { 403 }, "{session}");
    }
    assert_eq!(llm.requests().len(), 1);
}

#[tokio::test]
async fn what_is_open_gets_no_key_of_ours() {
    let service = Target::ok(r#"{"status": "healthy"}"#);
    let gateway = Gateway::before(&service.url("")).await;
    assert_eq!(gateway.get("/api/v1/airtable/info").await.status, 200);
    assert_eq!(service.requests()[0].header("x-api-key"), None);
    gateway.ask("GET", "/api/v1/airtable/info").await;
    assert_eq!(service.requests()[1].header("x-api-key"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_told_who_asks_and_nobody_can_pretend() {
    let sign_in = SignIn::start().await;
    let token = sign_in.register("ada@example.com").await;
    let gateway = &sign_in.gateway;
    let id = gateway.get_as(&token, "/api/v1/users/profile").await.json()["id"].clone();
    let request = gateway.request("POST", "/api/v1/chat").header("authorization", format!("Bearer {token}"));
    let forged = request.header("x-user-id", "root").header("x-user-role", "admin").header("x-tenant-id", "t9");
    assert_eq!(send(forged, json!({ "message": "hello" }).to_string()).await.status, 200);
    let seen = sign_in.llm.requests().remove(0);
    assert_eq!(json!(seen.header("x-user-id")), id);
    assert_eq!((seen.header("x-user-role"), seen.header("x-tenant-id")), (Some("user"), Some("t1")));
    assert!(!format!("{seen:?}").contains("root"), "{seen:?}");
    let trace = seen.header("x-trace-id").unwrap().replace('-', "");
    assert!(seen.header("traceparent").unwrap().contains(&trace), "{seen:?}");
    for token in ["", "garbage", "eyJhbGciOiJub25lIn0.e30."] {
        let answer = gateway.post("/api/v1/chat", Some(token), &json!({ "message": "hello" })).await;
        answer.error(401, "unauthorized");
    }
    let upload = gateway.request("POST", "/api/v1/files/upload");
    send(upload, "").await.error(401, "unauthorized");
}
