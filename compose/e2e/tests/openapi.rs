//! What platform-services, api-gateway and dlq-processor say of themselves, held against the real binaries by
//! schemathesis: it sends what the descriptions allow and what they do not, and no answer may be one that is not described.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

mod described;
mod letters;

use std::path::Path;

use described::Described;
use serde_json::{Value, json};
use testkit::{Postgres, Target};

/// Paths that end one's own session, some of them with an id that other answers told: they come last.
const ENDS: &str = r"/logout$|/logout-all$|/sessions/\{id\}$|/users/\{id\}$";

/// Mails are put into the queue; that nobody takes them is the queue's to bear.
const MAIL: [(&str, &str); 2] = [("SMTP_URL", "smtp://127.0.0.1:1"), ("MAIL_FROM", "no-reply@example.com")];

/// Makes somebody who administers, has a tenant, and of whom there is something to tell; returns his token.
async fn administrator(platform: &Described) -> String {
    let ask = async |method: &str, path: &str, body: Value| {
        let (status, answer) = platform.ask(method, path, None, &body).await;
        assert!((200..300).contains(&status), "{path}: {answer}");
        answer
    };
    let person = json!({ "name": "Ada", "email": "ada@example.com", "password": "correct horse", "tenant_id": "t1" });
    let made = ask("POST", "/auth/register", person.clone()).await;
    let id = made.get("id").and_then(Value::as_str).unwrap();
    ask("PATCH", &format!("/auth/users/{id}"), json!({ "role": "admin" })).await;
    let call = json!({ "event_type": "api_call", "user_id": id, "event_data": { "endpoint": "/x", "cost_usd": 0.5 } });
    ask("POST", "/analytics/events", call).await;
    ask("POST", "/analytics/metrics", json!({ "metric_name": "m", "metric_value": 1, "user_id": id })).await;
    let login = ask("POST", "/auth/login", person).await;
    login.get("access_token").and_then(Value::as_str).unwrap().to_owned()
}

/// Starts platform-services over a database, with a queue of mails in the folder.
async fn start_platform(database: &str, folder: &Path) -> Described {
    kit::tls::install();
    let jobs = format!("sqlite:{}", folder.join("jobs.db").display());
    let places = [("DATABASE_URL", database), ("JOBS_DATABASE_URL", &*jobs)];
    Described::start("platform-services", folder, &[places, MAIL].concat()).await
}

async fn try_platform(database: &str, folder: &Path) {
    let platform = start_platform(database, folder).await;
    let token = administrator(&platform).await;
    // What is below /api/auth is described by a link to what is below /auth.
    platform.is_as_described(&token, ["--exclude-path-regex", &format!("^/api/auth/|{ENDS}")]).await;
    // With a session that had ended most of it would have been refused.
    assert_eq!(platform.ask("GET", "/auth/me", Some(&token), &Value::Null).await.0, 200);
    platform.is_as_described(&token, ["--include-path-regex", &format!("^/auth({ENDS})")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn platform_services_answers_as_it_says_over_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    try_platform(&format!("sqlite:{}", folder.path().join("platform.db").display()), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn platform_services_answers_as_it_says_over_postgresql() {
    let (postgres, folder) = (Postgres::start().await, tempfile::tempdir().unwrap());
    try_platform(&postgres.url(), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_answers_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("platform.db").display());
    let platform = start_platform(&database, folder.path()).await;
    let token = administrator(&platform).await;
    let other = Target::answer(200, &[("content-type", "application/json")], r#"{"response": "hello"}"#);
    let (other, at) = (other.url(""), platform.0.url());
    let upstreams =
        ["AIRTABLE_GATEWAY", "MCP_SERVER", "LLM_ORCHESTRATOR", "AUTOMATION_SERVICES"].map(|it| format!("{it}_URL"));
    let mut variables: Vec<(&str, &str)> = upstreams.iter().map(|name| (name.as_str(), other.as_str())).collect();
    variables.extend([("PLATFORM_SERVICES_URL", at.as_str()), ("RATE_LIMIT_RPM", "off")]);
    let gateway = Described::start("api-gateway", folder.path(), &variables).await;
    gateway.is_as_described(&token, ["--exclude-path-regex", ENDS]).await;
    assert_eq!(gateway.ask("GET", "/api/v1/users/profile", Some(&token), &Value::Null).await.0, 200);
    gateway.is_as_described(&token, ["--include-path-regex", ENDS]).await;
}
