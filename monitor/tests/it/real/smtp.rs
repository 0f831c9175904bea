//! Python's mail server (aiosmtpd): STARTTLS, signing in, a wrong password.

use monitor::probe::ReasonCode;
use testkit::{Authority, Server, free_port, installed};

use crate::{ask, assert_fail, assert_pass, file, trusting};

#[tokio::test]
async fn a_real_mail_server_shakes_hands_and_takes_the_password() {
    let (authority, port) = (Authority::new(), free_port());
    let certificate = authority.valid();
    let (chain, key) = (file(certificate.pem()), file(certificate.key_pem()));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/alert/real_mail.py");
    let (chain, key) = (chain.path().to_str().unwrap(), key.path().to_str().unwrap());
    let _server = Server::start(
        port,
        installed("e2e-venv/bin/python"),
        &[script, &port.to_string(), chain, key, "me", "hunter2"],
    )
    .await;
    let (_file, trust) = trusting(&authority);
    let settings = format!("address: 'localhost:{port}', starttls: true, tls: {{ {trust} }}, username: me");
    let expect = "expect: { json: { tls: true }, expr: 'json.max_size > 0 && \"PLAIN\" in json.auth' }";
    assert_pass(&ask(&format!("smtp: {{ {settings}, password: '${{SECRET}}' }}\n{expect}")).await);
    let wrong = file("wrong-horse");
    let refused = ask(&format!("smtp: {{ {settings}, password_file: {} }}", wrong.path().display())).await;
    let text = "AUTH: it refuses name or password: 535 5.7.8 Authentication credentials invalid";
    assert_fail(&refused, ReasonCode::Auth, text);
}
