//! The names and proxies by which requests may come.

use http::Method;
use testkit::Target;

use super::visitor::{FORM, OPERATOR, access, bearer, get, send, service, until_audited};
use crate::harness::{Running, TOKEN, write_config};

#[tokio::test]
async fn a_reload_takes_new_names_of_this_server_and_what_is_public() {
    let target = Target::ok("");
    let yaml = format!("{}{}", access(""), service(&target));
    let running = Running::start(&yaml).await;
    let token = bearer(OPERATOR);
    let by_name = [("authorization", &*token), ("host", "monitor.example:8888")];
    let answer = get(&running, "/api/v1/audit", &by_name).await;
    assert_eq!(answer.status, 403);
    let said = answer.json()["error"].as_str().unwrap().to_owned();
    assert!(said.starts_with("Host \"monitor.example:8888\" is not this server; use 127.0.0.1:"), "{said}");
    let private = yaml.replace("access:\n", "hosts: [\"monitor.example:8888\"]\naccess:\n  public: false\n");
    write_config(running.folder.path(), &private);
    let (status, said) = running.post("/api/v1/reload", &[("authorization", &bearer(TOKEN))]).await;
    assert_eq!((status, said.as_str()), (200, Some("1 services are watched")), "no restart is needed");
    assert_eq!(get(&running, "/api/v1/audit", &by_name).await.status, 200);
    assert_eq!(get(&running, "/api/v1/status", &[]).await.status, 401);
    running.stop().await;
}

#[tokio::test]
async fn a_token_or_session_through_a_proxy_counts_if_the_proxy_is_ours() {
    let target = Target::ok("");
    let more = "public_url: https://status.example.com\n";
    let (forwarded, host) = (("x-forwarded-for", "192.0.2.7"), ("host", "status.example.com"));
    for (trusted, expected) in [("", 403), ("  trusted_proxies: [127.0.0.0/8]\n", 200)] {
        let running = Running::start(&format!("{more}{}{}", access(trusted), service(&target))).await;
        let token = bearer(OPERATOR);
        let by_token = ("authorization", token.as_str());
        let found = get(&running, "/api/v1/audit", &[forwarded, host, by_token]).await;
        assert_eq!(found.status, expected, "{}", found.text);
        let form = format!("token={OPERATOR}");
        let found = send(&running, Method::POST, "/login", &[forwarded, host, FORM], &form).await;
        assert_eq!(found.status, if expected == 200 { 303 } else { 403 }, "{}", found.text);
        if expected == 200 {
            assert!(found.header("set-cookie").ends_with("; Secure"), "people come by https");
            let cookie = found.cookie();
            let found = get(&running, "/api/v1/audit", &[forwarded, host, ("cookie", &cookie)]).await;
            assert_eq!(found.status, 200);
            assert!(until_audited(&running, "olga", "login").await.contains("from 192.0.2.7"), "not from the proxy");
            let rebound = [forwarded, ("host", "evil.example"), by_token];
            assert_eq!(get(&running, "/api/v1/audit", &rebound).await.status, 403);
        }
        let anybody = [forwarded, ("host", "anything")];
        assert_eq!(get(&running, "/", &anybody).await.status, 200, "reading is free");
        running.stop().await;
    }
}
