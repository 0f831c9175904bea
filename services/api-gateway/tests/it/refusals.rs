//! What is answered when a request may not pass, or nothing sensible comes back.

use testkit::Target;
use tokio::io::AsyncWriteExt;

use crate::{ByHand, Gateway, KEY, nowhere, read_to_end, send};

/// Below the limit by less than a piece.
const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_missing_and_a_wrong_key_get_the_same_401_and_reach_nobody() {
    let target = Target::ok("");
    let gateway = Gateway::before(&target.url("")).await;
    let asked = || gateway.request("GET", "/api/airtable/x");
    let wrong = ["", "the-clients-ke", "the-clients-keyy", "THE-CLIENTS-KEY", crate::OWN_KEY];
    let requests = wrong.map(|key| asked().header("x-api-key", key));
    let twice = asked().header("x-api-key", KEY).header("x-api-key", "other");
    for request in requests.into_iter().chain([asked(), twice]) {
        let answer = send(request, "").await;
        assert_eq!(answer.error(401, "unauthorized"), "a valid X-API-Key header is needed");
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn a_path_that_leaves_its_place_is_400_and_reaches_nobody() {
    let target = Target::ok("");
    let gateway = Gateway::before(&target.url("/base")).await;
    for path in
        ["../admin", "a/../../admin", "%2e%2e/admin", "..%2Fadmin", "%252e%252e/admin", "/other.example/", "a%0d%0ab"]
    {
        let answer = gateway.ask("GET", &format!("/api/airtable/{path}")).await;
        let expected = "the path must not leave its place: no \"..\", no empty start, no control characters";
        assert_eq!(answer.error(400, "invalid_path"), expected, "{path}");
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn trace_and_connect_never_pass() {
    let target = Target::ok("");
    let gateway = Gateway::before(&target.url("")).await;
    let answer = gateway.ask("TRACE", "/api/airtable/x").await;
    assert_eq!(answer.error(405, "method_not_allowed"), "TRACE is not allowed here");
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn a_refused_connection_is_502() {
    let (_gone, url) = nowhere();
    let answer = Gateway::before(&url).await.ask("GET", "/api/airtable/x").await;
    assert_eq!(answer.error(502, "upstream_unreachable"), "airtable-gateway is not reachable");
}

#[tokio::test]
async fn no_valid_answer_is_502() {
    let interim = Target::reply("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
    for target in [Target::reset(), Target::close(), Target::garbage(), interim] {
        let answer = Gateway::before(&target.url("")).await.ask("GET", "/api/airtable/x").await;
        assert_eq!(answer.error(502, "upstream_failed"), "airtable-gateway gave no valid answer");
    }
}

#[tokio::test]
async fn no_answer_in_time_is_504() {
    for target in [Target::stall(), Target::blackhole(), Target::slow_headers(crate::SHORT / 10)] {
        let answer = Gateway::impatient_before(&target.url("")).await.ask("GET", "/api/airtable/x").await;
        assert_eq!(answer.error(504, "upstream_timeout"), "airtable-gateway did not answer within 100ms");
    }
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_413_before_it_is_sent() {
    let target = Target::ok("");
    let gateway = Gateway::before(&target.url("")).await;
    let head = format!("POST /api/airtable/x HTTP/1.1\nHost: x\n{{key}}\nContent-Length: {}\n\n", 25 * MIB + 1);
    let answer = read_to_end(&mut gateway.write(&head).await).await;
    assert!(
        answer.starts_with("HTTP/1.1 413 ") && answer.contains("the request body is larger than 25 MiB"),
        "{answer}"
    );
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_413_and_one_just_below_passes() {
    let target = Target::ok("");
    let gateway = Gateway::before(&target.url("")).await;
    let request = || gateway.request("POST", "/api/airtable/x").header("x-api-key", KEY);
    assert_eq!(send(request(), vec![b'x'; 25 * MIB]).await.status, 200);
    assert_eq!(target.requests()[0].body.len(), 25 * MIB);

    let mut client =
        gateway.write("POST /api/airtable/x HTTP/1.1\nHost: x\n{key}\nTransfer-Encoding: chunked\n\n").await;
    let piece = format!("{MIB:x}\r\n{}\r\n", "x".repeat(MIB));
    for _ in 0..25 {
        client.write_all(piece.as_bytes()).await.unwrap();
    }
    client.write_all(b"1\r\nx\r\n").await.unwrap();
    let answer = read_to_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"code\":\"too_large\""), "{answer}");
    assert_eq!(target.requests().len(), 1);
}

#[tokio::test]
async fn a_broken_request_body_is_the_clients_fault() {
    let (service, url) = ByHand::listen().await;
    let gateway = Gateway::before(&url).await;
    let mut client =
        gateway.write("POST /api/airtable/x HTTP/1.1\nHost: x\n{key}\nTransfer-Encoding: chunked\n\n").await;
    let _upstream = service.accept().await;
    client.write_all(b"not a chunk size\r\n").await.unwrap();
    let answer = read_to_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("the request body broke off"), "{answer}");
}
