//! What axum refuses by itself comes as our error body; what a proxied service says comes as it was said.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, Request};
use axum::http::{HeaderMap, Version, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use kit::http::{client, with_conventions};
use kit::metrics::{HttpMetrics, Metrics};
use serde::Deserialize;
use testkit::Target;
use tower::ServiceExt;

use crate::LIMIT;

#[derive(Deserialize)]
#[expect(dead_code, reason = "only its reading is tested")]
struct Wanted {
    count: u32,
}

fn router() -> Router {
    let router = Router::new()
        .route("/query", get(async |_: Query<Wanted>| ()))
        .route("/path/{name}", get(async |_: Path<String>| ()))
        .route("/number/{count}", get(async |_: Path<u32>| ()))
        .route("/text", post(async |_: String| ()))
        .route("/json", post(async |_: Json<Wanted>| ()))
        .route("/form", get(async |_: Form<Wanted>| ()).post(async |_: Form<Wanted>| ()))
        .route("/own", get(async || (axum::http::StatusCode::CONFLICT, "in our own words")))
        .route("/host", get(async |headers: HeaderMap| headers[header::HOST].to_str().unwrap().to_owned()));
    with_conventions(router, HttpMetrics::new(&Metrics::new("test", "1"), "test"), LIMIT, 10_000)
}

async fn ask(request: Request) -> (u16, String, String) {
    let response = router().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers().get(header::CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap()).to_owned();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, kind, String::from_utf8_lossy(&body).into_owned())
}

async fn refused(request: Request, expected: u16, code: &str, beginning: &str) {
    let path = request.uri().path().to_owned();
    let (status, kind, body) = ask(request).await;
    assert_eq!((status, kind.as_str()), (expected, "application/json"), "{body}");
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert!(json["error"].as_str().unwrap().starts_with(beginning), "{json}");
    assert!(json["error"].as_str().unwrap().chars().count() <= 500, "{json}");
    assert_eq!((json["code"].as_str(), json["path"].as_str()), (Some(code), Some(path.as_str())));
}

fn post_of(path: &str, kind: &str, body: impl Into<Body>) -> Request {
    Request::post(path).header(header::CONTENT_TYPE, kind).body(body.into()).unwrap()
}

#[tokio::test]
async fn every_refusal_of_axum_is_our_json() {
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let json = "application/json";
    refused(get("/query?count=x"), 400, "bad_request", "Failed to deserialize query string").await;
    refused(get(&format!("/query?count={}", "x".repeat(5000))), 400, "bad_request", "Failed to des").await;
    refused(get("/path/%FF"), 400, "bad_request", "Invalid U").await;
    refused(get("/number/x"), 400, "bad_request", "Invalid URL").await;
    let unknown = "Request body didn't contain valid UTF-8";
    refused(post_of("/text", "text/plain", vec![0xff]), 400, "bad_request", unknown).await;
    refused(post_of("/text", "text/plain", vec![b'x'; 10_001]), 413, "too_large", "Failed to buffer").await;
    refused(post_of("/json", json, "{"), 400, "bad_request", "Failed to parse the request body").await;
    refused(post_of("/json", json, "{}"), 422, "bad_request", "Failed to deserialize the JSON body").await;
    refused(post_of("/json", "text/plain", "{}"), 415, "unsupported_media_type", "Expected request with").await;
    let form = "application/x-www-form-urlencoded";
    refused(get("/form?count=x"), 400, "bad_request", "Failed to deserialize form").await;
    refused(post_of("/form", form, "count=x"), 422, "bad_request", "Failed to deserialize form body").await;
    refused(post_of("/form", "text/plain", "count=1"), 415, "unsupported_media_type", "Form requests must have").await;
}

#[tokio::test]
async fn what_a_handler_says_in_plain_text_stays() {
    let (status, kind, body) = ask(Request::get("/own").body(Body::empty()).unwrap()).await;
    assert_eq!((status, kind.as_str(), body.as_str()), (409, "text/plain; charset=utf-8", "in our own words"));
}

/// Hands `/` on to `target`, keeping of its answer what the gateway keeps: status, headers and the streamed body.
async fn proxied(target: &Target) -> (u16, String) {
    let (client, url) = (client::<Body>(LIMIT), target.url("/"));
    let forward = async move || -> Response {
        let response = client.request(Request::get(&url).body(Body::empty()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        (head.status, head.headers, Body::new(body)).into_response()
    };
    let router = Router::new().route("/", get(forward));
    let metrics = HttpMetrics::new(&Metrics::new("test", "1"), "test");
    let router = with_conventions(router, metrics, Duration::from_secs(10), 10);
    let response = router.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn what_a_proxied_service_says_in_plain_text_stays() {
    let plain = ("content-type", "text/plain; charset=utf-8");
    let long = "x".repeat(200_000);
    for text in ["", "Internal Server Error", "no such table", long.as_str()] {
        let target = Target::answer(422, &[plain], text.to_owned());
        assert_eq!(proxied(&target).await, (422, text.to_owned()));
    }
    // Even axum's own words, from a server that dates its answers as all real ones do.
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let target = Target::answer(400, &[plain, date], "Failed to deserialize query string: x");
    assert_eq!(proxied(&target).await, (400, "Failed to deserialize query string: x".to_owned()));
}

#[tokio::test]
async fn the_host_that_a_request_names_first_is_its_host() {
    for (uri, given, expected) in [
        ("http://user@127.0.0.1:8888/host", None, "127.0.0.1:8888"),
        ("http://evil.example/host", Some("127.0.0.1:8888"), "evil.example"),
        ("/host", Some("localhost"), "localhost"),
    ] {
        let mut request = Request::get(uri).version(Version::HTTP_2).body(Body::empty()).unwrap();
        if let Some(given) = given {
            request.headers_mut().insert(header::HOST, given.parse().unwrap());
        }
        assert_eq!(ask(request).await.2, expected);
    }
}
