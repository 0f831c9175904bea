//! What is asked for is done once, to the entry that was meant, and to nobody else's.

use dlq_processor::source::{Lost, Put, Source};
use redis::cmd;

use super::stage::{Fields, GROUP, QUEUE, STREAM, Stage, order_of};

#[tokio::test]
async fn to_forget_an_entry_takes_it_out_of_its_own_group_alone() {
    let stage = Stage::start().await;
    stage.group(STREAM, b"others").await;
    let found = stage.dead(&[("a", "1")]).await;
    stage.deliver("others", "o").await;
    assert_eq!(stage.forget(&found).await, 1);
    assert_eq!(stage.forget(&found).await, 0);
    assert_eq!(stage.pending(GROUP).await, Vec::<String>::new());
    assert_eq!(stage.pending("others").await, std::slice::from_ref(&found.episode.job));
    assert_eq!(stage.entries().await.len(), 1, "it stays in the stream");
    assert_eq!(stage.source.read(std::slice::from_ref(&found.episode)).await.unwrap(), [None]);
}

#[tokio::test]
async fn an_entry_is_put_in_anew_once_for_each_order_and_byte_for_byte() {
    let stage = Stage::start().await;
    let fields: Fields =
        [("a", &b"1"[..]), ("\u{0}", b"\xff\x00"), ("a", b""), ("a", b"\r\n"), ("x-redrive-why", b"of another tool")]
            .map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec()))
            .to_vec();
    let mut add = cmd("XADD");
    add.arg(STREAM).arg("*");
    for (name, value) in &fields {
        add.arg(name).arg(value);
    }
    let id: String = stage.ask(&mut add).await;
    let found = stage.dies(&id).await;
    assert_eq!(stage.forget(&found).await, 1);
    assert_eq!(stage.put_anew(&found, "one").await, Put::Moved);
    assert_eq!(stage.put_anew(&found, "one").await, Put::Already);
    assert_eq!(stage.put_back(&order_of(&found, "one")).await, Put::Already);
    assert_eq!(stage.put_anew(&found, "other").await, Put::NotFailed, "the copy waits");
    assert_eq!(stage.put_back(&order_of(&found, "third")).await, Put::NotFailed);
    let (copy, put) = stage.last().await;
    let marks = [("x-redrive-of", id.as_str()), ("x-redrive", "one")];
    let marks = marks.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    assert_eq!(put, [&fields[..4], &marks].concat());
    assert_eq!(stage.entries().await.len(), 2);
    for key in ["dlq-order:one", &format!("dlq-redriven:{id}"), &format!("dlq-copy:{copy}")] {
        let life: i64 = stage.ask(cmd("PTTL").arg(format!("{STREAM}:{key}"))).await;
        assert!((604_000_000..=604_800_000).contains(&life), "{key}: {life}");
    }
    // Nobody heard the answer, and the copy is long done.
    stage.deliver(GROUP, "a").await;
    assert_eq!(stage.put_anew(&found, "other").await, Put::NotFailed, "it is pending");
    assert_eq!(stage.ack(GROUP, &copy).await, 1);
    assert_eq!(stage.put_anew(&found, "one").await, Put::Already);
    assert_eq!(stage.entries().await.len(), 2);
    // A person says that it was not done after all.
    assert_eq!(stage.put_anew(&found, "other").await, Put::Moved);
}

#[tokio::test]
async fn an_entry_that_is_pending_is_put_back_in_one_step() {
    let stage = Stage::start().await;
    let found = stage.dead(&[("a", "1"), ("x-redrive", "old")]).await;
    assert_eq!(stage.put_back(&order_of(&found, "one")).await, Put::Moved);
    assert_eq!(stage.pending(GROUP).await, Vec::<String>::new());
    assert_eq!(stage.put_back(&order_of(&found, "one")).await, Put::Already);
    let (copy, fields) = stage.last().await;
    assert_eq!(fields[0], (b"a".to_vec(), b"1".to_vec()));
    assert_eq!((fields.len(), stage.entries().await.len()), (3, 2));
    stage.deliver(GROUP, "a").await;
    assert_eq!(stage.ack(GROUP, &copy).await, 1);
    assert_eq!(stage.put_back(&order_of(&found, "two")).await, Put::Gone, "it is not pending");
}

#[tokio::test]
async fn what_cannot_be_put_anywhere_is_refused_or_gone() {
    let stage = Stage::start().await;
    let found = stage.dead(&[("a", "1")]).await;
    let lost = |queue: &str, kept: &[u8]| {
        let mut order = order_of(&found, "order");
        order.episode.queue = queue.to_owned();
        Lost { order, kept: kept.to_vec() }
    };
    let asked = [lost("events/none", &found.kept), lost("none/mailers", &found.kept), lost("none", &found.kept)];
    assert_eq!(stage.source.put_anew(&asked).await.unwrap(), [Put::Refused, Put::Refused, Put::Gone]);
    let asked = [lost(QUEUE, b""), lost(QUEUE, &found.kept[1..])];
    assert_eq!(stage.source.put_anew(&asked).await.unwrap(), [Put::Gone, Put::Gone]);
    let asked = asked.map(|lost| lost.order);
    assert_eq!(stage.source.forget(&[lost("none", b"").order.episode]).await.unwrap(), 0);
    assert_eq!(stage.entries().await.len(), 1);
    assert_eq!(
        stage.ask::<Vec<String>>(cmd("KEYS").arg("*")).await,
        [STREAM],
        "of what was not done there is no guard"
    );
    assert_eq!(stage.put_back(&asked[0]).await, Put::Moved);
}

#[tokio::test]
async fn an_entry_of_more_fields_than_a_script_can_add_is_refused() {
    let stage = Stage::start().await;
    let names: Vec<String> = (0..4000).map(|number| number.to_string()).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let found = stage.dead(&fields).await;
    assert_eq!(stage.put_anew(&found, "order").await, Put::Refused);
    let found = stage.dead(&fields[..3900]).await;
    assert_eq!(stage.put_anew(&found, "order").await, Put::Moved);
    assert_eq!(stage.last().await.1.len(), 3902);
}

#[tokio::test]
async fn scripts_that_a_redis_forgot_are_told_again() {
    let stage = Stage::start().await;
    let found = stage.dead(&[("a", "1")]).await;
    stage.ask::<()>(cmd("SCRIPT").arg("FLUSH")).await;
    assert_eq!(stage.list().await, std::slice::from_ref(&found.episode));
    assert_eq!(stage.put_back(&order_of(&found, "one")).await, Put::Moved);
}
