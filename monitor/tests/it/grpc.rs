//! Kind `grpc`: what a server may answer, and what a person is told.

use monitor::probe::ReasonCode;
use testkit::{Authority, Target};

use crate::kinds::grpc::SERVING;
use crate::{SHORT, ask, assert_fail, assert_pass, decode, fail, trusting};

async fn told(settings: &str, status: u16, headers: &[(&str, &str)], body: &'static [u8]) -> (ReasonCode, String) {
    let target = Target::answer(status, headers, body);
    fail(&ask(&format!("grpc: {{ address: '{}'{settings} }}", target.addr())).await)
}

#[tokio::test]
async fn every_status_is_told_in_words() {
    let shop = ", service: shop";
    for (settings, status, said, code, text) in [
        (
            "",
            "5",
            "",
            ReasonCode::Rejected,
            "it keeps no health of the whole server (NOT_FOUND); write service: the name of one",
        ),
        (
            shop,
            "5",
            "unknown%20one",
            ReasonCode::Rejected,
            "it keeps no health of a service \"shop\" (NOT_FOUND): unknown one",
        ),
        (shop, "7", "", ReasonCode::Auth, "we may not ask (PERMISSION_DENIED)"),
        (shop, "8", "", ReasonCode::Rejected, "it has no room for us (RESOURCE_EXHAUSTED)"),
        (
            "",
            "12",
            "",
            ReasonCode::Rejected,
            "it has no health service (UNIMPLEMENTED); add grpc.health.v1.Health to it, or check it with tcp",
        ),
        (shop, "14", "no backend", ReasonCode::Status, "the call failed with UNAVAILABLE: no backend"),
        ("", "16", "", ReasonCode::Auth, "it wants to know who we are (UNAUTHENTICATED); write bearer_file or headers"),
        ("", "99", "", ReasonCode::Status, "the call failed with code 99"),
        ("", "fine", "", ReasonCode::Protocol, "grpc-status \"fine\" is no number"),
    ] {
        let headers = [("content-type", "application/grpc"), ("grpc-status", status), ("grpc-message", said)];
        assert_eq!(told(settings, 200, &headers, b"").await, (code, text.to_owned()));
    }
}

#[tokio::test]
async fn only_serving_is_a_pass() {
    let fine = [("content-type", "application/grpc"), ("grpc-status", "0")];
    for (settings, body, code, text) in [
        (
            "",
            b"\0\0\0\0\x02\x08\x02".as_slice(),
            ReasonCode::Body,
            "the server says that it does not serve (NOT_SERVING)",
        ),
        (
            ", service: shop",
            b"\0\0\0\0\x02\x08\x02",
            ReasonCode::Body,
            "\"shop\" says that it does not serve (NOT_SERVING)",
        ),
        ("", b"\0\0\0\0\0", ReasonCode::Body, "the server does not know how it is (UNKNOWN)"),
        (
            ", service: shop",
            b"\0\0\0\0\x02\x08\x03",
            ReasonCode::Rejected,
            "it keeps no health of a service \"shop\" (SERVICE_UNKNOWN)",
        ),
        ("", b"\0\0\0\0\x02\x08\x09", ReasonCode::Protocol, "the server answers with status 9, which is none"),
        ("", b"\0\0\0\0\x06hello", ReasonCode::Protocol, "the answer is cut: \"·····hello\""),
        ("", b"", ReasonCode::Protocol, "the answer has no message: \"\""),
    ] {
        assert_eq!(told(settings, 200, &fine, body).await, (code, text.to_owned()));
    }
    let html = told("", 200, &[("content-type", "text/html")], b"<html>").await;
    let text = "the answer has no status of gRPC; its content-type is text/html";
    assert_eq!(html, (ReasonCode::Protocol, text.to_owned()));
    let gone = told("", 404, &[], b"").await;
    assert_eq!(gone, (ReasonCode::Status, "HTTP status 404 without a status of gRPC".to_owned()));
}

#[tokio::test]
async fn tls_is_spoken_where_it_is_written_and_who_we_are_is_sent() {
    let authority = Authority::new();
    let target = Target::https_with(&authority.valid(), |_| {
        testkit::Response::new(200, SERVING)
            .with_header("content-type", "application/grpc")
            .with_header("grpc-status", "0")
    });
    let (_file, trust) = trusting(&authority);
    let settings = "service: shop, bearer: '${SECRET}', headers: { x-tenant: one }";
    let check = format!("grpc: {{ address: '{}', tls: {{ {trust} }}, {settings} }}", target.addr());
    let observation = ask(&format!("{check}\nexpect: {{ cert_valid_for: 1h }}")).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.protocol.as_deref(), Some("gRPC"));
    let request = target.requests().remove(0);
    for (name, value) in [
        ("authorization", "Bearer hunter2"),
        ("x-tenant", "one"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        assert_eq!(request.header(name), Some(value));
    }
    assert!(request.header("grpc-timeout").is_some_and(|timeout| timeout.ends_with('m')));
    assert!(request.header("traceparent").is_some());
    let question = decode(&check, SHORT).unwrap();
    assert_eq!(question.probe.target().shown, format!("{} shop", target.addr()));
    assert!(!format!("{question:?}").contains("hunter2"), "{question:?}");
    // No ALPN: no HTTP/2.
    let target = Target::tls(&authority.valid());
    let check = format!("grpc: {{ address: '{}', tls: {{ {trust} }} }}", target.addr());
    assert_fail(&ask(&check).await, ReasonCode::Protocol, "the server does not speak HTTP/2 (ALPN chose nothing)");
}
