//! Messages that are equal are as many letters, and one that comes again is none.

use std::time::Duration;

use dlq_processor::ledger::{Filter, Ledger, LetterState, Past, Ruling};
use dlq_processor::policy::{Action, Alarm, Class, Decision, ErrorFacts, Fingerprint, Reason};
use dlq_processor::source::rabbitmq::{BackTo, RabbitMq};
use dlq_processor::source::{Cursor, Episode, Found, Source};
use lapin::BasicProperties;

use super::broker::{Broker, DEAD, died, list, read, source_of, with};
use crate::bullmq::Proxy;

fn parked(found: &Found, _past: Option<Past>) -> Ruling {
    let error = ErrorFacts::read(found.reason.as_deref(), None);
    let fingerprint = Fingerprint::of(&found.episode.queue, &found.name, None, &error.message);
    let (class, action, reason) = (Class::Unknown, Action::Park, Reason::Class);
    let decision = Decision { rule: None, class, action, reason, alarm: Alarm::None };
    Ruling {
        error,
        fingerprint,
        decision,
        state: LetterState::Parked,
        due_at_ms: None,
        until_ms: None,
        order: None,
        is_listed: false,
    }
}

/// Takes in what is unknown, as the engine does, and says how many that were.
async fn take_in(ledger: &Ledger, source: &RabbitMq, episodes: &[Episode]) -> usize {
    let unknown = ledger.unknown("broker", episodes).await.unwrap();
    let found = read(source, &unknown).await;
    ledger.capture("broker", &found, 50, parked).await.unwrap().new.len()
}

#[tokio::test]
async fn equal_messages_are_as_many_letters_and_those_that_come_again_are_none() {
    let (broker, folder) = (Broker::start().await, tempfile::tempdir().unwrap());
    let ledger = Ledger::open(&kit::db::Source::Sqlite(folder.path().join("ledger.db"))).await.unwrap();
    let proxy = Proxy::before(&broker.rabbit.addr().to_string()).await;
    let source = source_of(&format!("amqp://{}/%2f", proxy.addr()), &[DEAD], BackTo::Exchange);
    let of_broker = with(&[died("orders", "shop", "order.placed")]);
    for properties in [&of_broker, &of_broker, &BasicProperties::default(), &BasicProperties::default()] {
        broker.publish("", DEAD, properties.clone(), "same").await;
    }
    let episodes = list(&source, 4).await;
    assert_eq!(take_in(&ledger, &source, &episodes).await, 4);

    // They were not acknowledged: the broker delivers them again.
    proxy.cut_answers();
    source.list(DEAD, Cursor::default()).await.unwrap_err();
    proxy.lead_on();
    assert_eq!(list(&source, 4).await, episodes);
    assert_eq!(take_in(&ledger, &source, &episodes).await, 0);

    // Whether the broker has heard that they are done with is not known: it may deliver them again, and they are the same.
    proxy.cut_answers();
    source.forget(&episodes).await.unwrap_err();
    proxy.lead_on();
    let again = source.list(DEAD, Cursor::default()).await.unwrap().episodes;
    assert!(again.iter().all(|episode| episodes.contains(episode)), "{again:?}");
    assert_eq!(source.forget(&again).await.unwrap(), again.len() as u64);

    // Others that are equal are others still.
    for properties in [of_broker, BasicProperties::default()] {
        broker.publish("", DEAD, properties, "same").await;
    }
    let others = list(&source, 2).await;
    assert!(others.iter().all(|other| !episodes.contains(other)), "{others:?}");
    assert_eq!(take_in(&ledger, &source, &others).await, 2);
    let letters = ledger.letters(&Filter::default(), usize::MAX).await.unwrap();
    assert_eq!(
        letters.iter().filter(|letter| letter.state == "parked").count(),
        6,
        "none is taken for another's failure"
    );
    assert_eq!(source.forget(&others).await.unwrap(), 2);
    source.wait(&[DEAD.to_owned()], Duration::ZERO).await.unwrap();
    ledger.close().await;
    drop(source);
    broker.wait_for_ready(DEAD, 0).await;
}
