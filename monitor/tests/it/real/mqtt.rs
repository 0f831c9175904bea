//! Debian's Mosquitto: signing in, TLS, a message that goes round, and one that may not.

use std::process::Command;

use monitor::probe::{Phase, ReasonCode};
use testkit::{Authority, Server, free_port};

use crate::{ask, ask_within, assert_fail, assert_pass, file, trusting};

#[tokio::test]
async fn a_real_broker_takes_the_password_and_sends_a_message_round() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    let certificate = authority.valid();
    write("chain", certificate.pem());
    write("key", certificate.key_pem());
    let made = Command::new("mosquitto_passwd").args(["-b", "-c", &path("passwords"), "me", "hunter2"]).status();
    assert!(made.expect("compose/e2e/setup installs mosquitto").success());
    write("rights", "user me\ntopic readwrite open/#\ntopic read silent\n");
    let (plain, tls) = (free_port(), free_port());
    write(
        "settings",
        &format!(
            "user root\nallow_anonymous false\npassword_file {}\nacl_file {}\nlistener {plain} 127.0.0.1\nlistener {tls} \
             127.0.0.1\ncertfile {}\nkeyfile {}\n",
            path("passwords"),
            path("rights"),
            path("chain"),
            path("key")
        ),
    );
    let _server = Server::start(tls, "mosquitto", &["-c", &path("settings")]).await;
    let login = "username: me, password: '${SECRET}'";
    let check = |settings: &str| format!("mqtt: {{ address: '127.0.0.1:{plain}', {settings} }}");
    let observation = ask(&check(login)).await;
    assert_pass(&observation);
    let phases: Vec<Phase> = observation.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, [Phase::Connect, Phase::FirstByte, Phase::Transfer]);
    assert_pass(&ask(&check(&format!("{login}, topic: open/probe"))).await);

    let (_file, trust) = trusting(&authority);
    let over_tls = format!("mqtt: {{ address: '127.0.0.1:{tls}', tls: {{ {trust} }}, {login}, topic: open/probe }}");
    assert_pass(&ask(&format!("{over_tls}\nexpect: {{ cert_valid_for: 1h }}")).await);

    let silent = ask_within(std::time::Duration::from_secs(1), &check(&format!("{login}, topic: silent"))).await;
    let text = "what we publish on \"silent\" does not come back: perhaps we may not publish there";
    assert_fail(&silent, ReasonCode::Body, text);
    let wrong = file("wrong-horse");
    let refused = ask(&check(&format!("username: me, password_file: {}", wrong.path().display()))).await;
    let text = "it does not let us in: name or password is wrong, or the name may not";
    assert_fail(&refused, ReasonCode::Auth, text);
    let text = "it lets nobody in without a name; write username and password_file";
    assert_fail(&ask(&check("ip: ipv4")).await, ReasonCode::Auth, text);
}
