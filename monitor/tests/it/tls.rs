//! Kind `tls`: the handshake alone, and the expiry of a chain whatever we think of it.

use std::time::Duration;

use monitor::probe::{Phase, ReasonCode};
use testkit::{Authority, Target};

use crate::{ask, assert_fail, assert_pass, file, soft, trusting};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_handshake_passes_and_its_version_is_seen() {
    let authority = Authority::new();
    let target = Target::tls(&authority.valid());
    let (_file, trust) = trusting(&authority);
    let observation = ask(&format!("tls: {{ address: '{}', {trust} }}", target.addr())).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.protocol.as_deref(), Some("TLSv1.3"));
    let phases: Vec<Phase> = observation.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, [Phase::Connect, Phase::Tls]);
}

#[tokio::test]
async fn the_name_that_is_asked_for_can_be_another_than_the_host() {
    let authority = Authority::new();
    let target = Target::tls(&authority.wrong_name());
    let (_file, trust) = trusting(&authority);
    let check = |name: &str| format!("tls: {{ address: '{}', server_name: {name}, {trust} }}", target.addr());
    assert_pass(&ask(&check("wrong.example")).await);
    let text = "certificate is for wrong.example, not for right.example";
    assert_fail(&ask(&check("right.example")).await, ReasonCode::Certificate, text);
}

#[tokio::test]
async fn an_intermediate_that_expired_is_told_and_known() {
    let authority = Authority::new();
    let (_file, trust) = trusting(&authority);
    let target = Target::tls(&authority.intermediate_expires_in(3 * DAY));
    let check = |target: &Target, expect: &str| format!("tls: {{ address: '{}', {trust} }}{expect}", target.addr());
    let observation = ask(&check(&target, "\nexpect: { cert_valid_for: 14d }")).await;
    assert_pass(&observation);
    assert_eq!(soft(&observation), ["certificate expires in 2d23h, less than 14d"]);
    let target = Target::tls(&authority.intermediate_expires_in(Duration::ZERO));
    // Validity ends with the last second itself (RFC 5280 section 4.1.2.5).
    let expired = async || {
        let observation = ask(&check(&target, "")).await;
        assert!(observation.seen.cert_expires.is_some(), "{observation:?}");
        match observation.outcome {
            monitor::probe::Outcome::Fail(reason) => Some((reason.code, reason.text)),
            _ => None,
        }
    };
    let (code, text) = testkit::eventually("the intermediate expires", Duration::from_secs(5), expired).await;
    assert_eq!(code, ReasonCode::Certificate);
    assert!(text.starts_with("a certificate further up the chain expired "), "{text}");
}

#[tokio::test]
async fn a_server_that_wants_our_certificate_is_told_though_the_handshake_ends_well() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let target = Target::https_requiring_client_certificate(&clients, &servers.valid(), "pong");
    let (_file, trust) = trusting(&servers);
    let check = |more: &str| format!("tls: {{ address: '{}', {trust}{more} }}", target.addr());
    let text = "the server asks for a client certificate";
    assert_fail(&ask(&check("")).await, ReasonCode::Tls, text);
    let stranger = Authority::new().client("monitor");
    let client = clients.client("monitor");
    for (identity, passes) in [(&client, true), (&stranger, false)] {
        let (chain, key) = (file(identity.pem()), file(identity.key_pem()));
        let ours =
            format!(", client_certificate_file: {}, client_key_file: {}", chain.path().display(), key.path().display());
        let observation = ask(&check(&ours)).await;
        if passes {
            assert_pass(&observation);
        } else {
            let text = "the server ended the handshake: it does not accept our client certificate";
            assert_fail(&observation, ReasonCode::Tls, text);
        }
    }
}
