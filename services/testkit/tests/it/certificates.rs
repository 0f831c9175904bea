//! Every throw-away certificate is refused for exactly the reason in its name.

use std::time::Duration;

use jiff::Timestamp;
use testkit::{Authority, Certificate, Target};

use crate::tls::shake;

const HOUR: Duration = Duration::from_secs(3600);

/// Returns what a client that trusts `authority` says of `certificate`.
async fn judge(authority: &Authority, certificate: &Certificate) -> String {
    match shake(&Target::tls(certificate), authority).await {
        Ok(_) => "fine".to_owned(),
        Err(err) => err.to_string(),
    }
}

#[tokio::test]
async fn each_certificate_is_wrong_in_one_way() {
    let authority = Authority::new();
    for (certificate, expected) in [
        (authority.valid(), "fine"),
        (authority.expires_in(HOUR), "fine"),
        (authority.intermediate_expires_in(HOUR), "fine"),
        (authority.issue(&["localhost"], Timestamp::now() - HOUR..Timestamp::now() + HOUR), "fine"),
        (authority.expired(), "certificate expired"),
        (authority.not_yet_valid(), "certificate not valid yet"),
        (authority.wrong_name(), "certificate not valid for name"),
        (Certificate::self_signed(), "UnknownIssuer"),
        (Authority::new().valid(), "UnknownIssuer"),
        (authority.client("localhost"), "certificate does not allow extended key usage"),
    ] {
        let verdict = judge(&authority, &certificate).await;
        assert!(verdict.contains(expected), "{expected}: {verdict}");
    }
}

#[tokio::test]
async fn the_end_of_a_certificate_is_known_to_the_second() {
    let certificate = Authority::new().expires_in(HOUR);
    let left = certificate.not_after().duration_since(Timestamp::now());
    assert!((3598..=3600).contains(&left.as_secs()), "{left}");
}

#[tokio::test]
async fn the_intermediate_ends_before_the_leaf() {
    let authority = Authority::new();
    let certificate = authority.intermediate_expires_in(HOUR);
    let stream = shake(&Target::tls(&certificate), &authority).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap().len(), 2);
    assert_eq!(certificate.pem().matches("BEGIN CERTIFICATE").count(), 2);
    assert!(certificate.not_after() > Timestamp::now() + 24 * HOUR);
}
