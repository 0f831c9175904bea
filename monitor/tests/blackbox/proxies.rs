//! Proxies that misbehave, who is reached without one, and what the environment says.

use std::time::{Duration, Instant};

use kit::config::Environment;
use testkit::{Authority, Target};

use crate::answer::Answer;
use crate::own::{Surroundings, mistakes_in, ours, ours_in};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nin";

fn module(http: &str) -> String {
    format!("{{ prober: http, timeout: 1s, http: {{ preferred_ip_protocol: ip4, {http} }} }}")
}

async fn ask(server: &testkit::Server, module: &str, target: &str) -> Answer {
    let url = format!("http://{}/probe?module={module}&debug=true&target={target}", server.addr());
    Answer::of("GET", &url, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_lead_on_is_told_of_within_the_limit() {
    let (target, nobody, stranger) = (Target::ok("in"), Target::refuse(), Authority::new());
    let socks = |answers: &[(&[u8], &[u8])]| Target::say("", answers);
    let (hello, asked): (&[u8], &[u8]) = (b"\x05\x01\x00", b"\x05\x01\x00\x01");
    let (fine, to_target, to_nobody) = (b"\x05\x00", target.url("/"), nobody.url("/"));
    let to_tls = to_target.replace("http:", "https:");
    for (proxy, scheme, login, to, reason, said) in [
        (Target::refuse(), "socks5", "", &to_target, "refused", "proxy AT: connection refused by AT"),
        (Target::stall(), "socks5", "", &to_target, "timeout", "proxy AT: no answer within 1s"),
        (Target::stall(), "socks5h", "", &to_target, "timeout", "proxy AT: no answer within 1s"),
        (Target::close(), "socks5", "", &to_target, "local", "the proxy closed the connection within SOCKS5"),
        (
            socks(&[(hello, b"\x05\xff")]),
            "socks5",
            "",
            &to_target,
            "local",
            "the proxy wants to know who asks; write user",
        ),
        (socks(&[(b"\x05", b"HTTP/1.1 400 no")]), "socks5", "", &to_target, "local", "the proxy does not speak SOCKS5"),
        (socks(&[(hello, b"\x05\x02")]), "socks5", "", &to_target, "local", "the proxy does not speak SOCKS5"),
        (
            Target::slow("\x05\x00\x05\x00", Duration::ZERO),
            "socks5",
            "",
            &to_target,
            "local",
            "the proxy closed the connection",
        ),
        (socks(&[(hello, fine)]), "socks5", "", &to_target, "timeout", "proxy AT: no answer within 1s"),
        (
            socks(&[(asked, b"\x05\x02\x00\x01"), (hello, fine)]),
            "socks5",
            "",
            &to_target,
            "local",
            "the proxy refuses TO: not allowed by its rules",
        ),
        (
            socks(&[(asked, b"\x05\x04\x00\x01"), (hello, fine)]),
            "socks5",
            "",
            &to_target,
            "unreachable",
            "cannot reach TO: host",
        ),
        (
            socks(&[(asked, b"\x05\x00\x00\x09"), (hello, fine)]),
            "socks5",
            "",
            &to_target,
            "local",
            "does not speak SOCKS5",
        ),
        (Target::socks5(None), "socks5", "", &to_nobody, "refused", "the proxy cannot reach TO: connection refused"),
        (
            Target::socks5(Some(("me", "a"))),
            "socks5",
            "me:s3cret-word@",
            &to_target,
            "local",
            "the proxy refuses the user and",
        ),
        (Target::stall(), "http", "", &to_tls, "timeout", "proxy AT: no answer within 1s"),
        (Target::garbage(), "http", "", &to_tls, "local", "the proxy refuses CONNECT TO: "),
        (Target::header_flood(), "http", "", &to_tls, "local", "the proxy did not answer CONNECT TO"),
        (
            Target::proxy(),
            "http",
            "",
            &to_nobody.replace("http:", "https:"),
            "unreachable",
            "the proxy cannot reach TO",
        ),
        (Target::tls_stall(), "https", "", &to_target, "timeout", "proxy AT: no answer within 1s"),
        (Target::ok(""), "https", "", &to_target, "tls", "proxy AT: the server does not speak TLS on this port"),
        (
            Target::https_proxy(&stranger.valid()),
            "https",
            "",
            &to_target,
            "certificate",
            "proxy AT: certificate was issued by",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let modules =
            format!("modules:\n  a: {}\n", module(&format!("proxy_url: '{scheme}://{login}{}'", proxy.addr())));
        let server = ours(folder.path(), &modules, "['127.0.0.0/8']").await;
        let began = Instant::now();
        let answer = ask(&server, "a", to).await.text();
        assert!(began.elapsed() < Duration::from_secs(10), "the limit does not hold: {answer}");
        let to = to.split('/').nth(2).unwrap();
        let said = said.replace("AT", &proxy.addr().to_string()).replace("TO", to);
        assert!(answer.contains("failed: ") && answer.contains(&said), "{said:?} is not in\n{answer}");
        assert!(answer.contains(&format!("probe_failure_info{{reason=\"{reason}\"}} 1\n")), "{said}: {answer}");
        assert!(!answer.contains("s3cret"), "{answer}");
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_be_asked_is_not_asked_through_any_proxy() {
    let (folder, socks) = (tempfile::tempdir().unwrap(), Target::socks5(None));
    let seen = module(&format!("proxy_url: '{}'", socks.url("")));
    let unseen = module(&format!("proxy_url: '{}', skip_resolve_phase_with_proxy: true", socks.url("")));
    let modules = format!("modules:\n  seen: {seen}\n  unseen: {unseen}\n");
    let server = ours(folder.path(), &modules, "['127.0.0.0/8', 'listed.invalid', '*.invalid:81']").await;
    for (module, target, status) in [
        ("seen", "http://localhost:1/", 403),
        ("unseen", "http://localhost:1/", 403),
        ("seen", "http://169.254.169.254/", 403),
        ("unseen", "http://169.254.169.254/", 403),
        ("unseen", "http://other.invalid/", 403),
    ] {
        let answer = ask(&server, module, target).await;
        assert_eq!(answer.status, status, "{module} {target}: {}", answer.text());
    }
    assert_eq!(socks.connections(), 0);
    assert_eq!(ask(&server, "unseen", "http://listed.invalid/").await.status, 200);
    // RFC 1928 section 5: the name, so that the proxy looks it up.
    assert_eq!(socks.received()[0], *b"\x05\x01\x00\x05\x01\x00\x03\x0elisted.invalid\x00\x50");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_excepted_is_reached_without_the_proxy_by_name_or_address() {
    let (folder, proxy, target) = (tempfile::tempdir().unwrap(), Target::reply(ANSWER), Target::ok("in"));
    let skipping = "skip_resolve_phase_with_proxy: true";
    let modules = format!(
        "modules:\n  all: {}\n  some: {}\n  env: {}\n",
        module(&format!("proxy_url: '{}'", proxy.url(""))),
        module(&format!("proxy_url: '{}', no_proxy: '.direct.invalid, 10.0.0.0/8', {skipping}", proxy.url(""))),
        module(&format!("proxy_from_environment: true, {skipping}")),
    );
    let environment = [
        format!("HTTP_PROXY={}", proxy.addr()),
        "http_proxy=http://127.0.0.1:1".to_owned(),
        "no_proxy=direct.invalid:80".to_owned(),
    ];
    let around = Surroundings { environment: &environment, ..Surroundings::default() };
    let server = ours_in(around, folder.path(), &modules, "['*']").await;
    let own = target.url("/");
    for (module, to, success, by_proxy, direct) in [
        ("all", own.as_str(), 1, 1, 0),
        // Loopback is excepted wherever there are exceptions, as in Go.
        ("some", own.as_str(), 1, 0, 1),
        ("env", own.as_str(), 1, 0, 1),
        ("some", "http://shop.invalid/", 1, 1, 0),
        ("some", "http://direct.invalid/", 1, 1, 0),
        ("some", "http://a.direct.invalid/", 0, 0, 0),
        ("env", "http://shop.invalid/", 1, 1, 0),
        ("env", "http://a.direct.invalid/", 0, 0, 0),
        ("env", "http://a.direct.invalid:81/", 1, 1, 0),
        // There is no HTTPS_PROXY.
        ("env", "https://shop.invalid/", 0, 0, 0),
    ] {
        let before = (proxy.connections(), target.connections());
        let answer = ask(&server, module, to).await.text();
        assert!(answer.contains(&format!("probe_success {success}\n")), "{module} {to}: {answer}");
        let asked = (proxy.connections() - before.0, target.connections() - before.1);
        assert_eq!(asked, (by_proxy, direct), "{module} {to}: {answer}");
    }
}

#[test]
fn what_cannot_be_meant_about_proxies_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let environment = |pairs: &[(&'static str, &'static str)]| match pairs {
        [] => Environment::default(),
        [one] => Environment::of([*one]),
        [one, two, ..] => Environment::of([*one, *two]),
    };
    let how = "is no proxy that is supported; write it like http://proxy.example.com:3128, https://";
    let is_good = "";
    for (variables, http, said) in [
        (&[][..], "proxy_url: 'ftp://u:s3cret-word@a:1'", &*format!("this {how}")),
        (&[], "proxy_url: 'a:3128'", &format!("this {how}")),
        (&[], "proxy_url: 'socks5://:s3cret-word@a'", &format!("this {how}")),
        (&[], "proxy_url: 'socks5h://a'", is_good),
        (&[], "proxy_url: ''", is_good),
        (&[], "no_proxy: a", "this means nothing without a proxy; write proxy_url, or leave this out"),
        (&[], "proxy_connect_header: { A: [b] }", "this means nothing without a proxy"),
        (&[], "proxy_connect_header: { 'A B': [b] }, proxy_url: 'http://a'", "\"A B\" is not the name of a header"),
        (
            &[],
            "proxy_from_environment: true, proxy_url: 'http://a'",
            "both \"proxy_url\" and \"proxy_from_environment\"",
        ),
        (&[], "proxy_from_environment: true, no_proxy: a", "set NO_PROXY in the environment; leave this out"),
        (&[], "proxy_from_environment: true, proxy_connect_header: { A: [b] }", is_good),
        (
            &[("HTTP_PROXY", "ftp://u:s3cret-word@a")],
            "proxy_from_environment: true",
            &format!("HTTP_PROXY of the environment {how}"),
        ),
        (&[("https_proxy", "a b")], "proxy_from_environment: true", &format!("https_proxy of the environment {how}")),
        (&[("HTTP_PROXY", "ftp://a")], "proxy_from_environment: false", is_good),
        (
            &[("HTTP_PROXY", "a"), ("REQUEST_METHOD", "GET")],
            "proxy_from_environment: true",
            "REQUEST_METHOD is set, so HTTP_PROXY",
        ),
        (&[("HTTPS_PROXY", "a"), ("REQUEST_METHOD", "GET")], "proxy_from_environment: true", is_good),
    ] {
        let modules = format!("modules:\n  a: {{ prober: http, http: {{ {http} }} }}\n");
        let found = mistakes_in(&environment(variables), folder.path(), &modules);
        assert_eq!(found.lines().count(), usize::from(!said.is_empty()), "{http}: {found}");
        assert!(found.contains(said) && !found.contains("s3cret"), "{http}: {said:?} is not in {found:?}");
    }
}
