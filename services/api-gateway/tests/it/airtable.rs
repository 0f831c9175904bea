//! What reaches the Airtable gateway, and what comes back.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use testkit::{Request, Response, Target};
use tokio::net::TcpStream;

use crate::{Gateway, KEY, OWN_KEY, send};

/// Sends a request with these headers beside the key and returns what arrived.
async fn arrived(headers: &[(&str, &str)]) -> Request {
    let target = Target::ok("");
    let gateway = Gateway::before(&target.url("")).await;
    let mut request = gateway.request("GET", "/api/airtable/x").header("x-api-key", KEY);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    assert_eq!(send(request, "").await.status, 200);
    target.requests().remove(0)
}

#[tokio::test]
async fn method_path_query_and_body_arrive_byte_for_byte() {
    let target = Target::answer(201, &[("x-a", "b"), ("x-a", "c")], "made");
    let gateway = Gateway::before(&target.url("/base")).await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let path = "/v0/app1/Sales%20%2F%20x?filter=%7BA%7D%3D'1'&b=&&c=%2e%2e/../d?e";
        let request = gateway.request(method, &format!("/api/airtable{path}")).header("x-api-key", KEY);
        let answer = send(request, "{\"a\": 1}").await;
        assert_eq!((answer.status, answer.text().as_str()), (201, "made"));
        assert_eq!(answer.headers.get_all("x-a").iter().count(), 2);
        let seen = target.requests().pop().unwrap();
        assert_eq!((seen.method.as_str(), seen.path.clone()), (method, format!("/base{path}")));
        assert_eq!(seen.text(), "{\"a\": 1}");
    }
}

#[tokio::test]
async fn every_status_is_kept_and_redirects_are_not_followed() {
    let elsewhere = Target::ok("");
    let location = elsewhere.url("/");
    let target = Target::respond_with(move |request| {
        let status = request.path.trim_start_matches('/').parse().unwrap();
        Response::new(status, Bytes::new()).with_header("location", &location)
    });
    let gateway = Gateway::before(&target.url("")).await;
    for status in [200, 204, 301, 302, 304, 307, 400, 401, 404, 422, 429, 500, 503] {
        let answer = gateway.ask("GET", &format!("/api/airtable/{status}")).await;
        assert_eq!((answer.status, answer.header("location")), (status, Some(elsewhere.url("/").as_str())));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let target = Target::ok("twelve bytes");
    let gateway = Gateway::before(&target.url("")).await;
    let answer = gateway.ask("HEAD", "/api/airtable/x").await;
    assert_eq!((answer.status, answer.header("content-length"), answer.body.len()), (200, Some("12"), 0));
}

#[tokio::test]
async fn our_own_key_is_sent_and_the_clients_is_not() {
    let request = arrived(&[("x-internal-api-key", "forged"), ("authorization", "Bearer user")]).await;
    let keys: Vec<&str> =
        request.headers.iter().filter(|(name, _)| name == "x-api-key").map(|(_, value)| value.as_str()).collect();
    assert_eq!(keys, [OWN_KEY]);
    assert_eq!(request.header("x-internal-api-key"), None);
    assert_eq!(request.header("authorization"), Some("Bearer user"));
    assert!(!format!("{request:?}").contains(KEY), "{request:?}");
}

#[tokio::test]
async fn headers_of_one_connection_stay_on_it() {
    let request = arrived(&[
        ("connection", "keep-alive, X-Mine"),
        ("x-mine", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("trailer", "x-end"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eA=="),
        ("upgrade", "websocket"),
        ("expect", "100-continue"),
        ("x-stays", "yes"),
    ])
    .await;
    let kept: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["connection", "x-mine", "keep-alive", "te", "trailer", "proxy-connection", "proxy-authorization"] {
        assert!(!kept.contains(&name), "{name} in {kept:?}");
    }
    assert!(!kept.contains(&"upgrade") && !kept.contains(&"expect"), "{kept:?}");
    assert_eq!(request.header("x-stays"), Some("yes"));
}

#[tokio::test]
async fn headers_of_the_upstream_connection_stay_there() {
    let target = Target::reply(
        "HTTP/1.1 200 OK\r\nconnection: close, X-Mine\r\nx-mine: 1\r\nkeep-alive: timeout=5\r\n\
         proxy-authenticate: Basic\r\nx-stays: yes\r\ncontent-length: 2\r\n\r\nok",
    );
    let answer = Gateway::before(&target.url("")).await.ask("GET", "/api/airtable/x").await;
    assert_eq!((answer.text().as_str(), answer.header("x-stays")), ("ok", Some("yes")));
    for name in ["connection", "x-mine", "keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn the_origin_is_what_we_see_and_not_what_the_client_claims() {
    let target = Target::ok("");
    let gateway = Gateway::before(&target.url("")).await;
    let request = gateway.request("GET", "/api/airtable/x").header("x-api-key", KEY).header("host", "public.example");
    let forged = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix", "x-real-ip"];
    let request = forged.iter().fold(request, |request, name| request.header(*name, "6.6.6.6"));
    send(request.header("forwarded", "for=6.6.6.6"), "").await;
    let seen = target.requests().remove(0);
    assert_eq!(seen.header("host"), Some(target.addr().to_string().as_str()));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(
        (seen.header("x-forwarded-proto"), seen.header("x-forwarded-host")),
        (Some("http"), Some("public.example"))
    );
    assert_eq!(seen.header("via"), Some("1.1 api-gateway"));
    assert!(!format!("{seen:?}").contains("6.6.6.6"), "{seen:?}");
}

#[tokio::test]
async fn ids_are_passed_on_and_made_if_missing() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let given =
        arrived(&[("x-request-id", "r-1"), ("x-trace-id", "t-1"), ("traceparent", parent), ("tracestate", "a=b")])
            .await;
    assert_eq!((given.header("x-request-id"), given.header("x-trace-id")), (Some("r-1"), Some("t-1")));
    assert_eq!((given.header("traceparent"), given.header("tracestate")), (Some(parent), Some("a=b")));
    let made = arrived(&[("traceparent", parent)]).await;
    assert_eq!(made.header("x-trace-id"), Some("0af7651916cd43dd8448eb211c80319c"));
    assert_eq!(made.header("x-request-id").map(str::len), Some(36));
}

#[tokio::test]
async fn a_client_that_speaks_http2_is_served() {
    let target = Target::ok("fine");
    let gateway = Gateway::before(&target.url("")).await;
    let io = TokioIo::new(TcpStream::connect(gateway.address).await.unwrap());
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = gateway.request("POST", "/api/airtable/x").header("x-api-key", KEY);
    let response = client.send_request(request.body(Full::<Bytes>::from("body")).unwrap()).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "fine");
    let seen = target.requests().remove(0);
    assert_eq!((seen.version.as_str(), seen.text().as_str()), ("HTTP/1.1", "body"));
    assert_eq!(seen.header("x-forwarded-host"), Some(gateway.address.to_string().as_str()));
    assert_eq!(seen.header("host"), Some(target.addr().to_string().as_str()));
    driver.abort();
}

#[tokio::test]
async fn connections_to_the_upstream_are_used_again() {
    let target = Target::ok("fine");
    let gateway = Gateway::before(&target.url("")).await;
    // Each processor has one of its own.
    let cores = std::thread::available_parallelism().unwrap().get();
    for _ in 0..3 * cores {
        assert_eq!(gateway.ask("GET", "/api/airtable/x").await.text(), "fine");
    }
    assert!((1..=cores).contains(&target.connections()), "{}", target.connections());
}
