//! What every test of access needs: people with tokens, requests as browsers send them, and the audit.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use kit::http::SecretDigest;
use serde_json::Value;
use testkit::{Answer, Target, eventually};
use uuid::Uuid;

use crate::harness::{LIMIT, Running, TOKEN};

pub(crate) const SOURCE: &str = "saul-token-0123456789";
pub(crate) const VIEWER: &str = "vera-token-0123456789";
pub(crate) const OPERATOR: &str = "olga-token-0123456789";
pub(crate) const ADMIN: &str = "adam-token-0123456789";
pub(crate) const HTML: (&str, &str) = ("accept", "text/html");
pub(crate) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

pub(crate) async fn send(
    running: &Running,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = Request::builder().method(method).uri(format!("{}{path}", running.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let client = kit::http::client::<Full<Bytes>>(LIMIT);
    let answer = client.request(request.body(Full::from(body.to_owned())).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let text = String::from_utf8_lossy(&body.collect().await.unwrap().to_bytes()).into_owned();
    Answer { status: parts.status.as_u16(), headers: parts.headers, text }
}

pub(crate) async fn get(running: &Running, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(running, Method::GET, path, headers, "").await
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// `access:` with one person a role.
pub(crate) fn access(more: &str) -> String {
    let person = |name: &str, role: &str, token: &str| {
        let digest = SecretDigest::of(token.as_bytes()).to_hex();
        format!("    - {{ name: {name}, role: {role}, sha256: \"{digest}\" }}\n")
    };
    let people = [
        ("saul", "source", SOURCE),
        ("vera", "viewer", VIEWER),
        ("olga", "operator", OPERATOR),
        ("adam", "admin", ADMIN),
    ];
    let people: String = people.iter().map(|(name, role, token)| person(name, role, token)).collect();
    format!("access:\n{more}  tokens:\n{people}")
}

pub(crate) fn service(target: &Target) -> String {
    format!(
        "defaults: {{ every: 1s, every_when_failing: 100ms, fail_after: 2 }}\n\
         services:\n  web: {{ checks: {{ home: {{ http: {{ url: \"{}\" }} }} }} }}\n",
        target.url("/secret-path")
    )
}

/// Starts an engine that watches `target`; `more` goes into `access:`.
pub(crate) async fn start(target: &Target, more: &str) -> Running {
    Running::start(&format!("{}{}", access(more), service(target))).await
}

/// Signs in as a browser does; returns the cookie.
pub(crate) async fn sign_in(running: &Running, token: &str) -> String {
    let answer =
        send(running, Method::POST, "/login", &[FORM, ("origin", &running.url)], &format!("token={token}")).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/"), "{}", answer.text);
    answer.cookie()
}

/// What is broken now.
pub(crate) async fn open_incident(running: &Running) -> Uuid {
    let token = bearer(TOKEN);
    eventually("an open incident", LIMIT, async || {
        let open = get(running, "/api/v1/incidents?open=true", &[("authorization", &token)]).await.json();
        open.as_array()?.first()?["id"].as_str()?.parse().ok()
    })
    .await
}

/// Actions of the audit, oldest first, with who and the detail.
pub(crate) async fn audit(running: &Running) -> Vec<[String; 3]> {
    let rows = get(running, "/api/v1/audit", &[("authorization", &bearer(TOKEN))]).await.json();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let rows = rows.as_array().unwrap().iter().rev();
    rows.map(|row| [text(row, "who"), text(row, "action"), text(row, "detail")]).collect()
}

pub(crate) async fn until_audited(running: &Running, who: &str, action: &str) -> String {
    eventually(&format!("{action} by {who} in the audit"), LIMIT, async || {
        let rows = audit(running).await;
        rows.into_iter().find(|[by, what, _]| by == who && what == action).map(|[_, _, detail]| detail)
    })
    .await
}
