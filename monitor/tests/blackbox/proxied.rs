//! What a query can make a proxy do, and a server that is asked under another name.

use testkit::Target;

use crate::answer::Answer;
use crate::own::ours;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nin";

fn modules(proxy: &Target) -> String {
    let http = |more: &str| format!("{{ prober: http, timeout: 5s, http: {{ preferred_ip_protocol: ip4{more} }} }}");
    let proxied = format!(", proxy_url: '{}'", proxy.url(""));
    format!(
        "modules:\n  http_2xx: {}\n  proxied: {}\n  unseen: {}\n  called: {}\n",
        http(""),
        http(&proxied),
        http(&format!("{proxied}, skip_resolve_phase_with_proxy: true")),
        http(&format!("{proxied}, headers: {{ Host: called.example }}")),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_wished_for_must_be_listed_and_leads_a_proxy_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Target::reply(ANSWER);
    let server = ours(folder.path(), &modules(&proxy), "['127.0.0.0/8', shop.example]").await;
    let ask = async |query: &str| {
        let query = query.replace(' ', "%20");
        Answer::of("GET", &format!("http://{}/probe?{query}", server.addr()), &[]).await
    };
    for (query, status) in [
        ("module=proxied&target=http://127.0.0.1:1/x&hostname=shop.example", 200),
        ("module=called&target=http://127.0.0.1:1/x", 200),
        ("module=called&target=http://127.0.0.1:1/x&hostname=called.example", 200),
        ("module=proxied&target=http://127.0.0.1:1/x&hostname=127.0.0.1:1", 200),
        ("module=proxied&target=http://127.0.0.1:1/x&hostname=169.254.169.254", 403),
        ("module=proxied&target=http://127.0.0.1:1/x&hostname=other.example", 403),
        ("module=http_2xx&target=http://127.0.0.1:1/x&hostname=other.example", 403),
        ("module=proxied&target=http://127.0.0.1:1/x&hostname=shop.example/latest/?", 400),
        ("module=proxied&target=http://127.0.0.1:1/x&hostname=me@shop.example", 400),
    ] {
        let answer = ask(query).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
        if status == 200 {
            assert!(answer.text().contains("probe_success 1\n"), "{query}: {}", answer.text());
        }
        if status == 403 {
            assert!(answer.text().contains("is not among the targets that may be asked"), "{}", answer.text());
        }
    }
    let asked: Vec<String> = proxy.received().into_iter().map(|head| String::from_utf8(head).unwrap()).collect();
    let names = ["shop.example", "called.example", "called.example", "127.0.0.1:1"];
    assert_eq!(asked.len(), names.len(), "{asked:?}");
    for (asked, name) in asked.iter().zip(names) {
        assert!(asked.starts_with("GET http://127.0.0.1:1/x HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(&format!("host: {name}\r\n")), "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_proxy_a_name_must_be_listed_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Target::reply(ANSWER);
    for (targets, module, target, status) in [
        ("['127.0.0.0/8']", "proxied", "http://localhost:1/", 403),
        ("['127.0.0.0/8']", "unseen", "http://localhost:1/", 403),
        ("['127.0.0.0/8', localhost]", "proxied", "http://localhost:1/", 200),
        ("['127.0.0.0/8']", "proxied", "http://127.0.0.1:1/", 200),
        ("['*']", "unseen", "http://somewhere.invalid/", 200),
        ("['*']", "unseen", "http://metadata.google.internal/", 403),
        ("['*']", "unseen", "http://METADATA.google.internal./", 403),
        ("['*']", "unseen", "http://169.254.169.254/", 403),
    ] {
        let server = ours(folder.path(), &modules(&proxy), targets).await;
        let before = proxy.received().len();
        let url = format!("http://{}/probe?module={module}&target={target}", server.addr());
        let answer = Answer::of("GET", &url, &[]).await;
        assert_eq!(answer.status, status, "{targets} {module} {target}: {}", answer.text());
        assert_eq!(proxy.received().len() - before, usize::from(status == 200), "{targets} {module} {target}");
    }
}
