//! Whose pages may ask.

use crate::{Gateway, send, settings};

#[tokio::test]
async fn pages_of_listed_origins_may_ask_and_no_others() {
    let gateway = Gateway::start(settings()).await;
    let preflight = async |origin: &str, path: &str| {
        let request = gateway.request("OPTIONS", path).header("origin", origin);
        send(request.header("access-control-request-method", "POST"), "").await
    };
    for path in ["/api/v1/auth/login", "/api/airtable/x", "/nowhere"] {
        let answer = preflight("http://localhost:5173", path).await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-origin"), Some("http://localhost:5173"));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        for name in ["content-type", "authorization", "x-api-key", "x-trace-id"] {
            assert!(answer.header("access-control-allow-headers").unwrap().contains(name), "{name}");
        }
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            assert!(answer.header("access-control-allow-methods").unwrap().contains(method), "{method}");
        }
    }
    for origin in ["http://localhost:5174", "http://localhost:5173.evil.example", "null", "https://localhost:5173"] {
        let answer = preflight(origin, "/api/v1/auth/login").await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, None), "{origin}");
    }
    // Errors can be read, too.
    let request = gateway.request("GET", "/api/airtable/x").header("origin", "http://localhost:3000");
    let answer = send(request, "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, Some("http://localhost:3000")));
    assert!(answer.header("vary").is_some_and(|vary| vary.contains("origin")));
}

#[tokio::test]
async fn what_a_service_thinks_of_origins_does_not_count() {
    let target = testkit::Target::answer(200, &[("access-control-allow-origin", "*")], "ok");
    let gateway = Gateway::before(&target.url("")).await;
    let request = gateway.request("GET", "/api/airtable/x").header("x-api-key", crate::KEY);
    let answer = send(request.header("origin", "http://evil.example"), "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
}
