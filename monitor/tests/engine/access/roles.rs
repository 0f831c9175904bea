//! What each role may do, and what is public.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use testkit::Target;
use uuid::Uuid;

use super::visitor::{ADMIN, FORM, HTML, OPERATOR, SOURCE, VIEWER, bearer, get, send, sign_in, start};
use crate::harness::LIMIT;

#[tokio::test]
async fn each_role_may_do_what_the_api_document_says_and_no_more() {
    let target = Target::ok("");
    let running = start(&target, "  public: false\n").await;
    let document = get(&running, "/api/v1/openapi.json", &[]).await.json();
    let mut seen = [0; 4];
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
            let filled = path
                .replace("{id}", &Uuid::nil().to_string())
                .replace("{incident}", &Uuid::nil().to_string())
                .replace("{event}", "1")
                .replace("{file}", "overall.svg")
                .replace("{", "")
                .replace("}", "");
            let alternatives = operation["security"].as_array().into_iter().flatten();
            let schemes: Vec<&String> = alternatives.flat_map(|one| one.as_object().unwrap().keys()).collect();
            let (class, expected) = match schemes.as_slice() {
                [] => (0, [true, true, true, true, true]),
                some if some.iter().any(|scheme| *scheme == "operator") => (2, [false, false, false, true, true]),
                some if some.iter().any(|scheme| *scheme == "source") => (3, [false, true, false, true, true]),
                _ => (1, [false, false, true, true, true]),
            };
            seen[class] += 1;
            // An event stream does not end.
            if path == "/api/v1/events" {
                assert_eq!(get(&running, path, &[]).await.status, 401);
                continue;
            }
            for (token, allowed) in ["", SOURCE, VIEWER, OPERATOR, ADMIN].into_iter().zip(expected) {
                let answer = send(&running, method.clone(), &filled, &[("authorization", &bearer(token))], "").await;
                let refused = if token.is_empty() { answer.status == 401 } else { answer.status == 403 };
                assert_eq!(!refused, allowed, "{method} {path} as {token:?}: {} {}", answer.status, answer.text);
            }
        }
    }
    assert!(seen.iter().take(3).all(|count| *count >= 2), "{seen:?}");
    assert_eq!(seen.last(), Some(&1), "a source may do one thing");
    running.stop().await;
}

#[tokio::test]
async fn what_is_public_is_what_the_configuration_says() {
    let target = Target::ok("");
    let open = ["/livez", "/readyz", "/health", "/login", "/api/v1/badges/overall.svg"];
    let names = ["/", "/api/v1/status", "/api/v1/services/web"];
    let details =
        ["/metrics", "/services/web", "/api/v1/transitions", "/api/v1/incidents", "/findings", "/api/v1/findings"];
    let operators = ["/audit", "/api/v1/audit"];
    for (public, reads_names, reads_details) in
        [("true", true, true), ("details", true, true), ("names", true, false), ("false", false, false)]
    {
        let running = start(&target, &format!("  public: {public}\n")).await;
        let (vera, olga) = (bearer(VIEWER), bearer(OPERATOR));
        for (paths, is_public, for_viewers) in [
            (&open[..], true, true),
            (&names, reads_names, true),
            (&details, reads_details, true),
            (&operators, false, false),
        ] {
            for path in paths {
                let found = get(&running, path, &[]).await.status;
                assert_eq!(found, if is_public { 200 } else { 401 }, "{public}: {path}");
                let found = get(&running, path, &[("authorization", &vera)]).await.status;
                assert_eq!(found, if for_viewers { 200 } else { 403 }, "{public}: {path} for a viewer");
                assert_eq!(get(&running, path, &[("authorization", &olga)]).await.status, 200, "{public}: {path}");
            }
        }
        let page = get(&running, "/services/web?back=24h", &[HTML]).await;
        if !reads_details {
            assert_eq!((page.status, page.header("location")), (303, "/login?next=%2Fservices%2Fweb%3Fback%3D24h"));
        }
        let health = get(&running, "/health", &[]).await.json();
        assert_eq!(health["services"].is_object(), reads_names, "{health}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_source_posts_alerts_and_neither_reads_them_nor_signs_in() {
    let target = Target::ok("");
    let running = start(&target, "  public: false\n").await;
    let token = bearer(SOURCE);
    let (token, kind) = (("authorization", token.as_str()), ("content-type", "application/json"));
    let alert = r#"[{"labels":{"alertname":"LateBatch"}}]"#;
    let posted = send(&running, Method::POST, "/api/v2/alerts", &[token, kind], alert).await;
    assert_eq!(posted.status, 200, "{}", posted.text);
    let list = get(&running, "/api/v2/alerts", &[token]).await;
    assert_eq!((list.status, list.json()["error"].as_str()), (403, Some("this needs the role viewer; saul is source")));
    assert!(!get(&running, "/health", &[token]).await.json()["services"].is_object());
    let list = get(&running, "/api/v2/alerts", &[("authorization", &bearer(VIEWER))]).await.json();
    assert_eq!(list[0]["labels"]["alertname"], "LateBatch");
    let origin = ("origin", running.url.as_str());
    let refused = send(&running, Method::POST, "/login", &[FORM, origin], &format!("token={SOURCE}")).await;
    assert_eq!((refused.status, refused.header("set-cookie")), (403, ""));
    assert!(refused.text.contains("This token lets a program post alerts"), "{}", refused.text);
    running.stop().await;
}

#[tokio::test]
async fn a_viewer_who_has_signed_in_changes_nothing() {
    let target = Target::ok("");
    let running = start(&target, "  public: false\n").await;
    let cookie = sign_in(&running, VIEWER).await;
    let page = get(&running, "/", &[("cookie", &cookie)]).await;
    assert!(
        page.text.contains("signed in as vera (viewer)") && !page.text.contains("href=\"/audit\""),
        "{}",
        page.text
    );
    let headers = [("cookie", &*cookie), ("origin", &*running.url), FORM];
    let answer = send(&running, Method::POST, "/api/v1/reload", &headers, &format!("csrf={}", page.form_token())).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.json()["error"], "this needs the role operator; vera is viewer");
    running.stop().await;
}

#[tokio::test]
async fn live_events_end_when_their_reader_may_have_lost_her_permission() {
    let target = Target::ok("");
    let running = start(&target, "  public: false\n").await;
    let client = kit::http::client::<Full<Bytes>>(LIMIT);
    let request = Request::get(format!("{}/api/v1/events", running.url)).header("authorization", bearer(VIEWER));
    let mut stream = client.request(request.body(Full::default()).unwrap()).await.unwrap().into_body();
    let hello = tokio::time::timeout(LIMIT, stream.frame()).await.unwrap();
    assert!(hello.unwrap().is_ok(), "hello");
    running.reload.send(()).await.unwrap();
    let ended = async { while let Some(Ok(_frame)) = stream.frame().await {} };
    tokio::time::timeout(LIMIT, ended).await.unwrap();
    running.stop().await;
}
