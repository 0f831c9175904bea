//! What every kind must do, whatever its protocol: tell refusals from troubles, keep its deadline, leave nothing behind,
//! show no secret, and deliver every form of message.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use monitor::alert::{ChannelKinds, Message, SendError};
use testkit::Target;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::kinds::{Fixture, LOCAL, Place, Reply, all};
use crate::{PATIENT, SECRET, SHORT, channel, messages, send_within};

/// Fixtures of kinds that talk to a network.
fn remote() -> impl Iterator<Item = Fixture> {
    all().into_iter().filter(|fixture| !LOCAL.contains(&fixture.kind))
}

/// Sends a page to `place` through every kind at once and gives what came of it, none if the deadline passed, to `judge`.
async fn each(place: Place, limit: Duration, judge: impl Fn(&str, Option<SendError>)) {
    let page = messages::page();
    let sending = remote().map(|fixture| (fixture.settings)(place)).map(async |settings: String| {
        let sent = send_within(limit, &channel(&settings), &page).await;
        (settings, sent)
    });
    for (settings, sent) in join_all(sending).await {
        let error = sent.map(|sent| sent.expect_err(&settings));
        if let Some(error) = &error {
            assert!(!error.to_string().contains(SECRET), "{settings}: {error}");
            assert_eq!(error.to_string().lines().count(), 1, "{settings}: {error}");
        }
        judge(&settings, error);
    }
}

/// Sends a page to the kind's own receiver that answers `reply`.
async fn answered(fixture: &Fixture, reply: Reply) -> SendError {
    let receiver = (fixture.receiver)(reply);
    let settings = (fixture.settings)(Place::plain(receiver.addr));
    let sent = send_within(PATIENT, &channel(&settings), &messages::page()).await;
    let error = sent.expect("the receiver answers").expect_err(&settings);
    assert!(!error.to_string().contains(SECRET), "{settings}: {error}");
    assert!(!error.to_string().contains("not as documented"), "{settings}: {error}");
    error
}

#[test]
fn every_kind_has_a_fixture() {
    let fixtures: Vec<&str> = all().iter().map(|fixture| fixture.kind).collect();
    for name in ChannelKinds::standard().names() {
        assert!(fixtures.contains(&name), "{name} has no fixture in tests/alert/kinds");
    }
}

#[tokio::test]
async fn a_refused_connection_is_worth_another_try() {
    let target = Target::refuse();
    each(Place::plain(target.addr()), PATIENT, |settings, error| match error {
        Some(SendError::Failed(text)) => assert!(text.to_lowercase().contains("refused"), "{settings}: {text}"),
        other => panic!("{settings}: {other:?}"),
    })
    .await;
}

#[tokio::test]
async fn a_silent_receiver_is_cut_at_the_deadline() {
    let target = Target::stall();
    each(Place::plain(target.addr()), SHORT, |settings, error| assert_eq!(error, None, "{settings}")).await;
}

#[tokio::test]
async fn a_tls_handshake_that_never_ends_is_cut_at_the_deadline() {
    let target = Target::tls_stall();
    let place = Place { addr: target.addr(), tls: true };
    each(place, SHORT, |settings, error| assert_eq!(error, None, "{settings}")).await;
    let target = Target::slow("\x16\x03\x03\x40\x00".repeat(100), Duration::from_millis(50));
    let place = Place { addr: target.addr(), tls: true };
    each(place, SHORT, |settings, error| {
        assert!(matches!(error, None | Some(SendError::Failed(_))), "{settings}: {error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_reset_and_a_close_are_worth_another_try() {
    for target in [Target::reset(), Target::close(), Target::reset_after("HTTP/1.1 2"), Target::reset_after("220-mail")]
    {
        each(Place::plain(target.addr()), PATIENT, |settings, error| {
            assert!(matches!(error, Some(SendError::Failed(_))), "{settings}: {error:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn an_answer_of_another_protocol_is_never_taken_for_acceptance() {
    for target in [Target::garbage(), Target::say("\u{1}\u{2}this is not the protocol\r\n\r\n", &[])] {
        each(Place::plain(target.addr()), SHORT, |settings, error| {
            assert!(matches!(error, None | Some(SendError::Failed(_))), "{settings}: {error:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_busy_receiver_says_how_long_to_wait() {
    for fixture in remote().filter(|fixture| fixture.can_be_busy) {
        match answered(&fixture, Reply::Busy).await {
            SendError::Busy { after, .. } => assert_eq!(after, Duration::from_secs(7), "{}", fixture.kind),
            other => panic!("{}: {other:?}", fixture.kind),
        }
    }
}

#[tokio::test]
async fn a_receiver_in_trouble_is_asked_again_and_one_that_refuses_is_not() {
    for fixture in all() {
        let failed = answered(&fixture, Reply::Fail).await;
        assert!(matches!(failed, SendError::Failed(_)), "{}: {failed:?}", fixture.kind);
        let refused = answered(&fixture, Reply::Refuse).await;
        assert!(matches!(refused, SendError::Refused(_)), "{}: {refused:?}", fixture.kind);
    }
}

#[tokio::test]
async fn a_dropped_delivery_closes_its_socket() {
    for tls in [false, true] {
        for fixture in remote() {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let addr: SocketAddr = listener.local_addr().unwrap();
            let channel = channel(&(fixture.settings)(Place { addr, tls }));
            let sending = tokio::spawn(async move { channel.channel.send(&messages::page()).await });
            let (mut accepted, _) = listener.accept().await.unwrap();
            sending.abort();
            let mut heard = Vec::new();
            let end = tokio::time::timeout(PATIENT, accepted.read_to_end(&mut heard)).await;
            assert!(end.is_ok(), "{}: the socket is still open", fixture.kind);
        }
    }
}

#[tokio::test]
async fn a_channel_shows_no_secret() {
    for fixture in all() {
        let settings = channel(&(fixture.settings)(Place::plain(([127, 0, 0, 1], 9).into())));
        for shown in [format!("{settings:?}"), settings.channel.target()] {
            assert!(!shown.contains(SECRET), "{}: {shown}", fixture.kind);
        }
        assert!(!settings.channel.target().is_empty(), "{}", fixture.kind);
    }
}

/// Sends to a strict receiver of each kind and gives what arrived to `judge`.
async fn delivered(message: &Message, judge: impl Fn(&Fixture, &str)) {
    for fixture in all() {
        let receiver = (fixture.receiver)(Reply::Accept);
        let settings = (fixture.settings)(Place::plain(receiver.addr));
        let sent = send_within(PATIENT, &channel(&settings), message).await.expect("the receiver answers");
        let accepted = sent.unwrap_or_else(|error| panic!("{settings}: {error}"));
        assert_eq!(accepted.partly, None, "{settings}");
        assert_eq!(accepted.answer.lines().count().max(1), 1, "{settings}: {accepted:?}");
        judge(&fixture, &receiver.text());
    }
}

#[tokio::test]
async fn a_page_arrives_with_its_cause() {
    delivered(&messages::page(), |fixture, arrived| {
        assert!(arrived.contains("shop is down: health: connection refused"), "{}: {arrived}", fixture.kind);
        assert!(!arrived.contains(fixture.says.resolved), "{}: {arrived}", fixture.kind);
    })
    .await;
}

#[tokio::test]
async fn an_end_and_a_drill_are_told_as_such() {
    delivered(&messages::resolved(), |fixture, arrived| {
        assert!(arrived.contains(fixture.says.resolved), "{}: {arrived}", fixture.kind);
    })
    .await;
    delivered(&messages::drill(), |fixture, arrived| {
        assert!(arrived.contains(fixture.says.drill), "{}: {arrived}", fixture.kind);
    })
    .await;
}

#[tokio::test]
async fn a_digest_of_sixty_alerts_arrives_and_what_is_left_out_is_said() {
    delivered(&messages::digest(), |fixture, arrived| {
        let count = (2..=60).filter(|n| arrived.contains(&format!("service-{n} is down"))).count();
        assert!(count >= 9, "{}: only {count} arrived: {arrived}", fixture.kind);
        assert!(count == 59 || arrived.contains("more"), "{}: {arrived}", fixture.kind);
    })
    .await;
}

#[tokio::test]
async fn hostile_text_arrives_harmless() {
    delivered(&messages::hostile(), |fixture, arrived| {
        assert!(arrived.contains("shop is down"), "{}: {arrived}", fixture.kind);
    })
    .await;
}
