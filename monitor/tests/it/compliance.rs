//! What every network kind must do, whatever its protocol: tell faults apart, keep its deadline, leave nothing behind.

use std::net::SocketAddr;
use std::time::Duration;

use monitor::probe::{Kinds, Outcome, Phase, ReasonCode, Why, observe};
use testkit::Target;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::kinds::{Fixture, LOCAL, all};
use crate::{PATIENT, SHORT, ask, ask_within, assert_pass, fail, question, vantage};

/// Asks every kind and gives what it said to `judge`.
async fn each(target: &Target, timeout: Duration, judge: impl Fn(&Fixture, ReasonCode, &str)) {
    for fixture in all() {
        let observation = ask_within(timeout, &(fixture.check)(target.addr())).await;
        let (code, text) = fail(&observation);
        // Ten times: a busy machine may not run us for a while.
        assert!(observation.took < timeout * 10, "{}: {observation:?}", fixture.kind);
        // A journey says first which step it was.
        judge(&fixture, code, text.strip_prefix("step \"open\" (1 of 2): ").unwrap_or(&text));
    }
}

#[tokio::test]
async fn every_network_kind_has_a_fixture() {
    let fixtures: Vec<&str> = all().iter().map(|fixture| fixture.kind).collect();
    for name in Kinds::standard().names() {
        assert!(fixtures.contains(&name) || LOCAL.contains(&name), "{name} has no fixture in tests/it/kinds");
    }
}

#[tokio::test]
async fn a_healthy_target_passes_and_its_address_is_seen() {
    for fixture in all() {
        let healthy = (fixture.healthy)();
        let observation = ask(&healthy.check).await;
        assert_pass(&observation);
        assert_eq!(observation.seen.address, Some(healthy.target.addr()), "{}", fixture.kind);
        assert!(observation.phases.iter().any(|(phase, _)| *phase == Phase::Connect), "{observation:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_told_with_its_address() {
    let target = Target::refuse();
    each(&target, PATIENT, |fixture, code, text| {
        let expected = format!("connection refused by {}", target.addr());
        assert_eq!((code, text), (ReasonCode::Refused, expected.as_str()), "{}", fixture.kind);
    })
    .await;
}

#[tokio::test]
async fn an_unanswered_connection_ends_at_the_deadline_in_the_connect_step() {
    let target = Target::blackhole();
    each(&target, SHORT, |fixture, code, text| {
        let expected = format!("no answer within 300ms (while connecting to {})", target.addr());
        assert_eq!((code, text), (ReasonCode::Timeout, expected.as_str()), "{}", fixture.kind);
    })
    .await;
}

#[tokio::test]
async fn a_silent_target_ends_at_the_deadline() {
    each(&Target::stall(), SHORT, |fixture, code, text| {
        assert_eq!(code, ReasonCode::Timeout, "{}: {text}", fixture.kind);
        assert!(text.starts_with("no answer within 300ms ("), "{}: {text}", fixture.kind);
    })
    .await;
}

#[tokio::test]
async fn a_reset_and_a_close_are_told_apart_from_silence() {
    each(&Target::reset(), PATIENT, |fixture, code, text| {
        assert_eq!(code, ReasonCode::Reset, "{}: {text}", fixture.kind);
        assert!(text.contains("reset") || text.contains("closed"), "{}: {text}", fixture.kind);
    })
    .await;
    each(&Target::close(), PATIENT, |fixture, code, text| {
        assert_eq!(code, ReasonCode::Reset, "{}: {text}", fixture.kind);
        assert!(text.contains("closed"), "{}: {text}", fixture.kind);
    })
    .await;
}

#[tokio::test]
async fn an_answer_of_another_protocol_is_a_fail_and_never_a_pass() {
    each(&Target::garbage(), SHORT, |fixture, code, text| {
        // A kind that does not send the request this target waits for hears nothing.
        assert!(code == fixture.garbage || code == ReasonCode::Timeout, "{}: {code:?} {text}", fixture.kind);
    })
    .await;
    each(&Target::say("\u{1}\u{2}this is not the protocol\r\n\r\n", &[]), SHORT, |fixture, code, text| {
        assert_eq!(code, fixture.garbage, "{}: {text}", fixture.kind);
    })
    .await;
}

#[tokio::test]
async fn a_dropped_probe_closes_its_socket() {
    for fixture in all() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let question = question(&(fixture.check)(address), PATIENT);
        let probe = tokio::spawn(async move { observe(vantage(9), &question, Why::Asked, false).await });
        let (mut accepted, _) = listener.accept().await.unwrap();
        probe.abort();
        let mut heard = Vec::new();
        let end = tokio::time::timeout(PATIENT, accepted.read_to_end(&mut heard)).await;
        assert!(end.is_ok(), "{}: the socket is still open", fixture.kind);
    }
}

#[tokio::test]
async fn many_probes_at_once_of_one_target_do_not_mix() {
    for fixture in all() {
        let healthy = (fixture.healthy)();
        let question = question(&healthy.check, PATIENT);
        let vantage = vantage(9);
        let all = (0..50).map(|_| observe(vantage.clone(), &question, Why::Schedule, false));
        for observation in futures_util::future::join_all(all).await {
            assert_eq!(observation.outcome, Outcome::Pass, "{}", fixture.kind);
        }
    }
}
