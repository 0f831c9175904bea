//! Tokens: fetched once, kept, forgotten, shown nowhere; and endpoints that misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use testkit::{Response, Server, Target};

use crate::answer::Answer;
use crate::own::{Surroundings, mistakes, ours, ours_in};

fn module(endpoint: &Target) -> String {
    let url = endpoint.url("/token?tenant=one");
    format!(
        "{{ prober: http, timeout: 1s, http: {{ preferred_ip_protocol: ip4, oauth2: {{ client_id: me, \
         client_secret: s3cret-client, token_url: '{url}', endpoint_params: {{ p: s3cret-parameter }} }} }} }}"
    )
}

/// Grants `s3cret-token-1`, `s3cret-token-2` and so on.
fn granting(expires_in: &'static str) -> Target {
    let turn = AtomicUsize::new(0);
    Target::respond_with(move |_| {
        let turn = turn.fetch_add(1, Ordering::Relaxed) + 1;
        Response::new(200, format!("{{\"access_token\":\"s3cret-token-{turn}\"{expires_in}}}"))
    })
}

async fn ask(server: &Server, target: &str) -> String {
    let url = format!("http://{}/probe?module=a&debug=true&target={target}", server.addr());
    Answer::of("GET", &url, &[]).await.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_grants_nothing_is_told_of_and_the_target_is_not_asked() {
    let target = Target::ok("in");
    let refusal = r#"{"error":"invalid_client","error_description":"not with s3cret-client"}"#;
    for (endpoint, reason, said) in [
        (Target::refuse(), "refused", "connection refused"),
        (Target::stall(), "timeout", "no answer within 1s"),
        (Target::reset(), "reset", "connection "),
        (Target::close(), "reset", "connection closed before the answer was complete"),
        (Target::garbage(), "protocol", "the answer is not HTTP, or its head is too large"),
        (Target::reply(r#"{"access_token":"s3cret-token"}"#), "protocol", "the answer is not HTTP"),
        (Target::half_body(), "reset", "the answer ended after 29 bytes"),
        (Target::huge_body(1 << 30), "too_large", "the answer is larger than 1048576 bytes"),
        (Target::endless_body(), "too_large", "the answer is larger than 1048576 bytes"),
        (Target::answer(401, &[], refusal), "auth", "status 401, invalid_client (not with [redacted])"),
        (Target::answer(503, &[], "s3cret-token"), "status", "status 503"),
        (Target::redirect_to("http://169.254.169.254/"), "status", "status 302"),
        (Target::ok("<html>s3cret-token"), "protocol", "the answer is neither JSON nor a form"),
        (Target::ok("{}"), "protocol", "there is no access_token in the answer"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let server = ours(folder.path(), &format!("modules:\n  a: {}\n", module(&endpoint)), "['127.0.0.0/8']").await;
        let began = Instant::now();
        let answer = ask(&server, &target.url("/")).await;
        assert!(began.elapsed() < Duration::from_secs(10), "the limit does not hold: {answer}");
        let said = format!("failed: no token from http://{}/token: {said}", endpoint.addr());
        assert!(answer.contains(&said), "{said:?} is not in\n{answer}");
        assert!(answer.contains("probe_success 0\n") && answer.contains("probe_ip_protocol 4\n"), "{answer}");
        assert!(answer.contains(&format!("probe_failure_info{{reason=\"{reason}\"}} 1\n")), "{answer}");
        assert!(!answer.contains("s3cret"), "{answer}");
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_fetched_once_for_all_who_wait_and_kept_until_it_expires() {
    let target = Target::ok("in");
    for (expires_in, fetched) in [(",\"expires_in\":3600", 1), (",\"expires_in\":10", 6), ("", 6)] {
        let (folder, endpoint) = (tempfile::tempdir().unwrap(), granting(expires_in));
        endpoint.set_delay(Duration::from_millis(if fetched == 1 { 200 } else { 0 }));
        let surroundings = Surroundings { at_once: 10, ..Surroundings::default() };
        let modules = format!("modules:\n  a: {}\n", module(&endpoint));
        let server = ours_in(surroundings, folder.path(), &modules, "['127.0.0.0/8']").await;
        let url = target.url("/");
        let answers = join_all((0..5).map(|_| ask(&server, &url))).await;
        for answer in answers.into_iter().chain([ask(&server, &url).await]) {
            assert!(answer.contains("probe_success 1\n") && !answer.contains("s3cret"), "{answer}");
        }
        assert_eq!(endpoint.requests().len(), fetched, "{expires_in}");
    }
    let asked = endpoint_of(&target);
    assert_eq!(asked.iter().filter(|token| *token == "Bearer s3cret-token-1").count(), 6 + 1 + 1, "{asked:?}");
}

fn endpoint_of(target: &Target) -> Vec<String> {
    target.requests().iter().map(|request| request.header("authorization").unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_target_refuses_is_forgotten_and_no_other_host_gets_one() {
    let (folder, endpoint, other) = (tempfile::tempdir().unwrap(), granting(",\"expires_in\":3600"), Target::ok("out"));
    let (revoked, away) = (Arc::new(AtomicUsize::new(0)), other.url("/"));
    let target = Target::respond_with({
        let revoked = revoked.clone();
        move |request| {
            let token = request.header("authorization").unwrap_or_default();
            let is_good = !token.ends_with(&revoked.load(Ordering::Relaxed).to_string());
            match request.path.as_str() {
                "/away" => Response::new(302, "").with_header("location", &away),
                "/stay" => Response::new(302, "").with_header("location", "/"),
                "/odd" => Response::new(302, "").with_header("location", &format!("ftp://host/{token}")),
                _ => Response::new(if is_good { 200 } else { 401 }, ""),
            }
        }
    });
    let server = ours(folder.path(), &format!("modules:\n  a: {}\n", module(&endpoint)), "['127.0.0.0/8']").await;
    for (path, revoke, said) in [
        ("/", 0, "probe_success 1\n"),
        ("/stay", 0, "probe_success 1\n"),
        ("/away", 0, "probe_success 1\n"),
        ("/odd", 0, "Bearer%20[redacted]"),
        ("/stay", 1, "failed: status 401, expected 2xx"),
        ("/", 1, "probe_success 1\n"),
    ] {
        revoked.store(revoke, Ordering::Relaxed);
        let answer = ask(&server, &target.url(path)).await;
        assert!(answer.contains(said) || answer.contains(&said.replace("%20", " ")), "{path}: {answer}");
        assert!(!answer.contains("s3cret"), "{answer}");
    }
    let [_, .., last] = &endpoint_of(&target)[..] else { panic!("nobody asked") };
    assert_eq!(last, "Bearer s3cret-token-2");
    assert_eq!((endpoint.requests().len(), other.requests()[0].header("authorization")), (2, None));
    for path in ["/", "/config", "/logs?id=0", "/logs?id=3"] {
        let shown = Answer::of("GET", &format!("http://{}{path}", server.addr()), &[]).await;
        assert!(shown.status == 200 && !shown.text().contains("s3cret-"), "{path}: {}", shown.text());
    }
    let refused = format!("http://{}/probe?module=a&target=http://192.0.2.1/", server.addr());
    let refused = Answer::of("GET", &refused, &[]).await;
    assert_eq!((refused.status, endpoint.requests().len()), (403, 2), "who is not asked needs no token");
}

#[test]
fn what_cannot_be_meant_about_tokens_is_said() {
    let (folder, is_good) = (tempfile::tempdir().unwrap(), "");
    for (http, said) in [
        ("oauth2: { client_id: a, token_url: 'http://a' }", is_good),
        ("oauth2: { token_url: 'http://a' }", "\"client_id\" is missing"),
        ("oauth2: { client_id: '', token_url: 'http://a' }", "this must not be empty"),
        ("oauth2: { client_id: a }", "\"token_url\" is missing"),
        (
            "oauth2: { client_id: a, token_url: 'a/token' }",
            "this is no URL of a token endpoint; write it like https://",
        ),
        (
            "oauth2: { client_id: a, token_url: 'http://u:s3cret-word@a' }",
            "there is a user in this URL; write client_id",
        ),
        (
            "oauth2: { client_id: a, token_url: 'http://a', client_secret: s3cret-word, client_secret_file: b }",
            "keep one",
        ),
        (
            "oauth2: { client_id: a, token_url: 'http://a', client_secret_file: /nope }",
            "cannot read the secret file /nope",
        ),
        (
            "oauth2: { client_id: a, token_url: 'http://a', scopes: [b], endpoint_params: { scope: c } }",
            "\"scope\" is already set by \"scopes\"; keep one",
        ),
        ("oauth2: { client_id: a, token_url: 'http://a', endpoint_params: { grant_type: c } }", is_good),
        ("oauth2: { client_id: a, token_url: 'http://a', no_proxy: c }", "this means nothing without a proxy"),
        (
            "oauth2: { client_id: a, token_url: 'http://a' }, basic_auth: { username: a }",
            "more than one of basic_auth, authorization, bearer_token and oauth2 is set; keep one",
        ),
    ] {
        let modules = format!("modules:\n  a: {{ prober: http, http: {{ {http} }} }}\n");
        let found = mistakes(folder.path(), &modules);
        assert_eq!(found.lines().count(), usize::from(!said.is_empty()), "{http}: {found}");
        assert!(found.contains(said) && !found.contains("s3cret"), "{http}: {said:?} is not in {found:?}");
    }
}
