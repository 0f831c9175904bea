//! Kind `http` against every way an answer can go wrong, and what it sends.

use std::io::Write;
use std::time::Duration;

use monitor::probe::{Outcome, Phase, ReasonCode};
use testkit::{Response, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{PATIENT, SHORT, ask, ask_within, assert_fail, assert_pass, fail, file, soft};

fn get(target: &Target, more: &str) -> String {
    format!("http: {{ url: '{}'{more} }}", target.url("/path?a=b"))
}

const NEEDS_BODY: &str = "\nexpect: { body_contains: pong }";

#[tokio::test]
async fn a_request_says_who_asks_and_every_phase_is_timed() {
    let target = Target::ok("pong");
    let observation = ask(&(get(&target, ", headers: { X-Team: shop }") + NEEDS_BODY)).await;
    assert_pass(&observation);
    let phases: Vec<Phase> = observation.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, [Phase::Connect, Phase::FirstByte, Phase::Transfer]);
    assert_eq!(observation.seen.status, Some(200));
    assert_eq!(observation.seen.protocol.as_deref(), Some("HTTP/1.1"));
    let request = &target.requests()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/path?a=b"));
    assert_eq!(request.header("host"), Some(target.addr().to_string().as_str()));
    assert_eq!(request.header("x-team"), Some("shop"));
    assert_eq!(request.header("x-monitor-probe"), Some("1"));
    assert_eq!(request.header("connection"), Some("close"));
    assert_eq!(request.header("user-agent"), Some(concat!("monitor/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(request.header("accept-encoding"), None);
    assert!(request.header("traceparent").unwrap().contains(&observation.trace_id), "{request:?}");
}

#[tokio::test]
async fn a_status_that_is_not_expected_is_a_fail() {
    let target = Target::answer(503, &[], "busy");
    assert_fail(&ask(&get(&target, "")).await, ReasonCode::Status, "status 503, expected 2xx");
    assert_pass(&ask(&(get(&target, "") + "\nexpect: { status: 503, body_contains: busy }")).await);
}

#[tokio::test]
async fn a_method_and_a_body_are_sent() {
    let target = Target::ok("pong");
    assert_pass(&ask(&get(&target, ", method: post, body: '{\"q\":1}', headers: { Content-Type: a/b }")).await);
    let request = &target.requests()[0];
    assert_eq!((request.method.as_str(), request.text().as_str()), ("POST", "{\"q\":1}"));
    assert_eq!(request.header("content-length"), Some("7"));
    assert_eq!(request.header("content-type"), Some("a/b"));
}

#[tokio::test]
async fn half_a_body_is_a_fail_even_if_nobody_looks_at_it() {
    let ended = "the answer ended after 29 of 1000 bytes";
    assert_fail(&ask(&get(&Target::half_body(), "")).await, ReasonCode::Reset, ended);
    let (code, text) = fail(&ask(&get(&Target::reset_mid_body(), "")).await);
    assert_eq!(code, ReasonCode::Reset);
    assert!(text == "connection reset after 29 of 1000 bytes" || text == ended, "{text}");
}

#[tokio::test]
async fn a_huge_body_is_cut_and_passes_unless_it_is_needed() {
    let target = Target::huge_body(10_000_000_000);
    let observation = ask(&get(&target, "")).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.note.as_deref(), Some("answer cut at 1048576 bytes"));
    let observation = ask(&(get(&target, "") + NEEDS_BODY)).await;
    assert_fail(&observation, ReasonCode::TooLarge, "the answer is larger than 1048576 bytes (body_limit)");
    // Both probes together, with what two sockets' buffers hold.
    assert!(target.bytes_written() < 24 * 1024 * 1024, "{}", target.bytes_written());
}

#[tokio::test]
async fn an_endless_body_ends_at_the_limit() {
    let observation = ask(&get(&Target::endless_body(), ", body_limit: 64KiB")).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.note.as_deref(), Some("answer cut at 65536 bytes"));
}

#[tokio::test]
async fn a_gzip_bomb_is_inflated_only_to_the_limit() {
    let target = Target::gzip_bomb(900_000_000);
    assert_pass(&ask(&get(&target, "")).await);
    let observation = ask(&(get(&target, "") + NEEDS_BODY)).await;
    let text = "the answer, once inflated, is larger than 1048576 bytes (body_limit)";
    assert_fail(&observation, ReasonCode::TooLarge, text);
}

#[tokio::test]
async fn a_gzip_answer_is_inflated_for_judging_and_asked_for_only_if_configured() {
    let pong = gzipped(b"pong");
    let target = Target::answer(200, &[("content-encoding", "gzip")], pong.clone());
    assert_pass(&ask(&(get(&target, ", compression: true") + NEEDS_BODY)).await);
    assert_eq!(target.requests()[0].header("accept-encoding"), Some("gzip"));
    let cut = Target::answer(200, &[("content-encoding", "gzip")], pong[..12].to_vec());
    let (code, text) = fail(&ask(&(get(&cut, "") + NEEDS_BODY)).await);
    assert_eq!(code, ReasonCode::Protocol);
    assert!(text.starts_with("the gzip answer is broken: "), "{text}");
    let brotli = Target::answer(200, &[("content-encoding", "br")], "pong");
    let text = "content-encoding \"br\" was not asked for";
    assert_fail(&ask(&(get(&brotli, "") + NEEDS_BODY)).await, ReasonCode::Protocol, text);
}

#[tokio::test]
async fn heads_without_end_or_measure_are_a_fail() {
    let text = "the answer's head is larger than 65536 bytes or has more than 100 headers";
    assert_fail(&ask(&get(&Target::header_flood(), "")).await, ReasonCode::Protocol, text);
    assert_fail(&ask(&get(&Target::one_huge_header(10_000_000), "")).await, ReasonCode::Protocol, text);
}

#[tokio::test]
async fn headers_that_trickle_in_end_at_the_deadline() {
    let target = Target::slow_headers(Duration::from_millis(20));
    let observation = ask_within(SHORT, &get(&target, "")).await;
    assert_fail(&observation, ReasonCode::Timeout, "no answer within 300ms (while reading the answer)");
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_shown() {
    let (code, text) = fail(&ask(&get(&Target::garbage(), "")).await);
    assert_eq!(code, ReasonCode::Protocol);
    assert!(text.starts_with("not HTTP: \"··��this is not the protocol you are looking for\""), "{text}");
    let target = Target::reply("HTTP/1.1 200 OK\r\ncontent-le");
    let text = "connection closed within the answer's head: \"HTTP/1.1 200 OK\"";
    assert_fail(&ask(&get(&target, "")).await, ReasonCode::Reset, text);
    assert_fail(&ask(&get(&Target::close(), "")).await, ReasonCode::Reset, "connection closed without an answer");
}

#[tokio::test]
async fn redirects_are_followed_counted_and_refused() {
    let end = Target::ok("pong");
    let start = Target::redirect_to(&end.url("/there"));
    let observation = ask(&(get(&start, "") + NEEDS_BODY)).await;
    assert_pass(&observation);
    assert_eq!((observation.seen.redirects, observation.seen.address), (1, Some(end.addr())));
    assert_eq!(end.requests()[0].path, "/there");
    let observation = ask(&get(&start, ", redirects: none")).await;
    assert_fail(&observation, ReasonCode::Status, "status 302, expected 2xx");
    assert_pass(&ask(&(get(&start, ", redirects: none") + "\nexpect: { status: 302 }")).await);
}

#[tokio::test]
async fn a_redirect_loop_ends_after_the_allowed_number() {
    let target = Target::redirect_loop();
    let text = format!("more than 10 redirects; the next leads to {}", target.url("/turn/10"));
    assert_fail(&ask(&get(&target, "")).await, ReasonCode::Redirects, &text);
    assert_eq!(target.requests().len(), 11);
    let text = format!("more than 2 redirects; the next leads to {}", target.url("/turn/13"));
    assert_fail(&ask(&get(&target, ", redirects: 2")).await, ReasonCode::Redirects, &text);
}

#[tokio::test]
async fn a_body_that_holds_a_secret_stays_with_its_host() {
    let end = Target::ok("");
    let start = Target::answer(307, &[("location", &end.url("/there"))], "");
    let text = format!("redirected to {}, another host, which must not have the body", end.url("/there"));
    let secret = get(&start, ", method: POST, body: 'pw=${SECRET}'");
    assert_fail(&ask(&secret).await, ReasonCode::Redirects, &text);
    assert_eq!(end.requests().len(), 0);
}

#[tokio::test]
async fn cookies_go_along_with_redirects_and_end_with_the_run() {
    let target = Target::respond_with(|request| match (request.path.as_str(), request.header("cookie")) {
        (_, Some("mine=1; sid=abc")) => Response::new(200, ""),
        (_, cookies) => Response::new(302, cookies.unwrap_or("none").to_owned())
            .with_header("location", "/app/home")
            .with_header("set-cookie", "sid=abc; Path=/app; HttpOnly")
            .with_header("set-cookie", "elsewhere=1; Domain=example.com"),
    });
    let check = get(&target, ", headers: { cookie: mine=1 }");
    for _ in 0..2 {
        let observation = ask(&check).await;
        assert_pass(&observation);
        assert_eq!(observation.seen.redirects, 1);
    }
}

#[tokio::test]
async fn a_post_that_is_redirected_becomes_a_get_and_loses_its_body() {
    let end = Target::ok("pong");
    let start = Target::answer(303, &[("location", &end.url("/"))], "");
    assert_pass(&ask(&get(&start, ", method: POST, body: x")).await);
    assert_eq!((end.requests()[0].method.as_str(), end.requests()[0].body.len()), ("GET", 0));
    let start = Target::answer(307, &[("location", &end.url("/"))], "");
    assert_pass(&ask(&get(&start, ", method: POST, body: x")).await);
    assert_eq!((end.requests()[1].method.as_str(), end.requests()[1].body.len()), ("POST", 1));
}

#[tokio::test]
async fn credentials_are_sent_and_stay_with_their_host() {
    let password = file("s3cret\n");
    let stranger = Target::ok("pong");
    let elsewhere = stranger.url("/");
    let target = Target::respond_with(move |request| match request.path.as_str() {
        "/away" => Response::new(302, "").with_header("location", &elsewhere),
        "/here" => Response::new(302, "").with_header("location", "/end"),
        _ => Response::new(200, "pong"),
    });
    let check = |path: &str| {
        let basic = format!("basic: {{ username: me, password_file: {} }}", password.path().display());
        format!("http: {{ url: '{}', {basic}, headers: {{ X-Key: '${{SECRET}}', X-Plain: yes }} }}", target.url(path))
    };
    assert_pass(&ask(&check("/here")).await);
    let basic = Some("Basic bWU6czNjcmV0");
    let requests = target.requests();
    assert_eq!((requests[0].header("authorization"), requests[1].header("authorization")), (basic, basic));
    assert_eq!(requests[1].header("x-key"), Some("hunter2"));
    assert_pass(&ask(&check("/away")).await);
    let strange = &stranger.requests()[0];
    assert_eq!((strange.header("authorization"), strange.header("x-key")), (None, None));
    assert_eq!(strange.header("x-plain"), Some("yes"), "a word, not a boolean");
}

#[tokio::test]
async fn a_bearer_token_is_sent() {
    let target = Target::ok("");
    assert_pass(&ask(&get(&target, ", bearer: '${SECRET}'")).await);
    assert_eq!(target.requests()[0].header("authorization"), Some("Bearer hunter2"));
}

#[tokio::test]
async fn http_2_is_spoken_by_prior_knowledge() {
    let target = Target::ok("pong");
    let observation = ask(&(get(&target, ", http: 2") + NEEDS_BODY)).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.protocol.as_deref(), Some("HTTP/2"));
    assert_eq!(target.requests()[0].version, "HTTP/2.0");
    let (code, text) = fail(&ask(&get(&Target::garbage(), ", http: 2")).await);
    assert_eq!(code, ReasonCode::Protocol, "{text}");
    assert!(text.starts_with("not HTTP/2: \"··��this is"), "{text}");
}

#[tokio::test]
async fn an_answer_whose_stream_of_http_2_is_reset_without_an_error_is_not_whole() {
    let settings = b"\0\0\0\x04\0\0\0\0\0".as_slice();
    // Status 200 is index 8 of the static table (RFC 7541 appendix A); the frame has END_HEADERS and no END_STREAM.
    let (head, data) = (b"\0\0\x01\x01\x04\0\0\0\x01\x88", b"\0\0\x04\0\0\0\0\0\x01pong");
    let reset = b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\0";
    let answer = [settings, head, data, reset].concat();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        // The request is a frame of type 1 on stream 1.
        while !heard.windows(6).any(|part| matches!(part, [1, _, 0, 0, 0, 1])) {
            stream.read_buf(&mut heard).await.unwrap();
        }
        stream.write_all(&answer).await.unwrap();
        // Only the frame tells that it is over.
        while stream.read_buf(&mut heard).await.is_ok_and(|count| count > 0) {}
    });
    let observation = ask(&format!("http: {{ url: '{url}', http: 2 }}{NEEDS_BODY}")).await;
    serving.abort();
    assert_fail(&observation, ReasonCode::Reset, "the server reset the stream after 4 bytes");
}

#[tokio::test]
async fn a_proxy_gets_the_whole_url_and_its_absence_is_our_own_trouble() {
    let proxy = Target::ok("pong");
    let proxied = |proxy: &Target| format!("http: {{ url: 'http://shop.example/a', proxy: '{}' }}", proxy.url(""));
    let observation = ask(&proxied(&proxy)).await;
    assert_pass(&observation);
    assert_eq!(proxy.requests()[0].header("host"), Some("shop.example"));
    let gone = Target::refuse();
    let text = format!("proxy {0}: connection refused by {0}", gone.addr());
    match ask(&proxied(&gone)).await.outcome {
        Outcome::Unknown(reason) => assert_eq!((reason.code, reason.text), (ReasonCode::Local, text)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_slow_answer_breaks_a_soft_limit() {
    let target = Target::ok("pong");
    target.set_delay(Duration::from_millis(30));
    let observation = ask_within(PATIENT, &(get(&target, "") + "\nexpect: { max_latency: 10ms }")).await;
    assert_pass(&observation);
    assert!(soft(&observation)[0].ends_with("more than 10ms"), "{:?}", soft(&observation));
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
