//! Debian's NATS: what it says of itself, signing in, tokens and TLS.

use monitor::probe::ReasonCode;
use testkit::{Authority, Server, free_port};

use crate::{ask, assert_fail, assert_pass, file, trusting};

async fn start(arguments: &[&str]) -> (Server, u16) {
    let port = free_port();
    let text = port.to_string();
    let basics = ["--addr", "127.0.0.1", "--port", &text, "--name", "shop"];
    (Server::start(port, "nats-server", &[&basics[..], arguments].concat()).await, port)
}

#[tokio::test]
async fn a_real_server_tells_of_itself_and_takes_the_password() {
    let (_server, port) = start(&["--user", "me", "--pass", "hunter2"]).await;
    let check = |settings: &str| format!("nats: {{ address: '127.0.0.1:{port}'{settings} }}");
    let expect = "\nexpect: { json: { server_name: shop, auth_required: true }, expr: json.max_payload >= 1048576 }";
    let observation = ask(&(check(", username: me, password: '${SECRET}'") + expect)).await;
    assert_pass(&observation);
    assert!(observation.seen.protocol.is_some_and(|protocol| protocol.starts_with("NATS ")));
    let wrong = file("wrong-horse");
    let refused = ask(&check(&format!(", username: me, password_file: {}", wrong.path().display()))).await;
    assert_fail(&refused, ReasonCode::Auth, "it refuses name or password: Authorization Violation");
    let text = "it lets nobody in without a name; write username and password_file: Authorization Violation";
    assert_fail(&ask(&check("")).await, ReasonCode::Auth, text);
}

#[tokio::test]
async fn a_real_server_takes_a_token_and_speaks_tls() {
    let authority = Authority::new();
    let certificate = authority.valid();
    let (chain, key) = (file(certificate.pem()), file(certificate.key_pem()));
    let (chain, key) = (chain.path().to_str().unwrap(), key.path().to_str().unwrap());
    let (_server, port) = start(&["--auth", "hunter2", "--tls", "--tlscert", chain, "--tlskey", key]).await;
    let (_file, trust) = trusting(&authority);
    let check = |settings: &str| format!("nats: {{ address: '127.0.0.1:{port}'{settings} }}");
    let token = format!(", tls: {{ {trust} }}, password: '${{SECRET}}'");
    assert_pass(&ask(&(check(&token) + "\nexpect: { cert_valid_for: 1h }")).await);
    let text = "it speaks with nobody without TLS; write tls: {}";
    assert_fail(&ask(&check("")).await, ReasonCode::Tls, text);
}
