//! Which groups there are, whatever they are called, and which of them a redriven entry reaches.

use dlq_processor::source::streams::{RedisStreams, StreamsSettings};
use dlq_processor::source::{Cursor, Sought, Source, SourceError};
use redis::cmd;
use secrecy::SecretString;

use super::stage::{GROUP, QUEUE, STREAM, Stage, settings};

#[tokio::test]
async fn groups_are_found_whatever_they_and_their_streams_are_called() {
    let streams = ["events", "audit:*", "a?[b]*"].map(str::to_owned).to_vec();
    let stage = Stage::with(StreamsSettings { streams, ..settings() }).await;
    let groups = [
        ("a?[b]/c", &b"\xff\n"[..], "a?[b]/c/%FF%0A"),
        ("audit:", b"50%", "audit:/50%25"),
        ("audit:eu", b"a/b", "audit:eu/a%2Fb"),
    ];
    for (stream, group, _) in groups {
        stage.group(stream, group).await;
    }
    for stream in ["axb", "other"] {
        stage.group(stream, b"not asked for").await;
    }
    stage.ask::<()>(cmd("SET").arg("audit:text").arg("no stream")).await;
    stage.ask::<String>(cmd("XADD").arg("audit:none").arg("*").arg("no").arg("group")).await;
    stage.ask::<()>(cmd("XGROUP").arg("CREATE").arg(b"audit:\xff").arg("g").arg("0").arg("MKSTREAM")).await;
    let queues = stage.source.queues().await.unwrap();
    assert_eq!(queues, [groups[0].2, groups[1].2, groups[2].2, QUEUE]);
    for (stream, group, queue) in groups {
        dies_of_age(&stage, stream, group).await;
        let listed = stage.source.list(queue, Cursor::default()).await.unwrap().episodes;
        assert_eq!((listed.len(), listed[0].job.as_str()), (1, "7-1"), "{queue}");
        assert!(stage.source.read(&listed).await.unwrap()[0].is_some());
        assert_eq!(stage.source.forget(&listed).await.unwrap(), 1);
    }
}

/// Adds an entry of 1970, and has a consumer be given it three times.
async fn dies_of_age(stage: &Stage, stream: &str, group: &[u8]) {
    let id: String = stage.ask(cmd("XADD").arg(stream).arg("7-1").arg("a").arg(1)).await;
    let mut read = cmd("XREADGROUP");
    stage.ask::<redis::Value>(read.arg("GROUP").arg(group).arg("c").arg("STREAMS").arg(stream).arg(">")).await;
    for _again in 0..2 {
        stage.ask::<redis::Value>(cmd("XCLAIM").arg(stream).arg(group).arg("c").arg(0).arg(&id)).await;
    }
}

#[tokio::test]
async fn a_stream_of_several_groups_is_a_hazard_unless_somebody_says_otherwise() {
    let stage = Stage::start().await;
    assert_eq!(stage.source.hazards().await.unwrap(), Vec::<String>::new());
    stage.group(STREAM, b"others").await;
    let said =
        "what is redriven into \"events\" reaches all 2 groups of it; write other_groups: harmless if they bear that";
    assert_eq!(stage.source.hazards().await.unwrap(), [said]);
    stage.source.queues().await.unwrap();
    assert_eq!(stage.source.hazards().await.unwrap(), [said]);
    let harmless = StreamsSettings { other_groups_are_harmless: true, ..settings() };
    let harmless = RedisStreams::new(&SecretString::from(stage.redis.url()), harmless).unwrap();
    assert_eq!(harmless.hazards().await.unwrap(), Vec::<String>::new());
    stage.ask::<()>(cmd("CONFIG").arg("SET").arg("maxmemory-policy").arg("volatile-ttl")).await;
    let said = "Redis throws entries away when it is full (maxmemory-policy volatile-ttl); set it to noeviction";
    assert_eq!(harmless.hazards().await.unwrap(), [said]);
}

#[tokio::test]
async fn a_stream_that_is_deleted_is_no_queue_any_more_and_no_error() {
    let stage = Stage::start().await;
    let found = stage.dead(&[("a", "1")]).await;
    assert_eq!(stage.source.queues().await.unwrap(), [QUEUE]);
    let is_empty = async || {
        let page = stage.source.list(QUEUE, Cursor::default()).await.unwrap();
        assert_eq!((page.episodes.len(), page.failed), (0, 0));
        assert_eq!(stage.source.read(std::slice::from_ref(&found.episode)).await.unwrap(), [None]);
        assert_eq!(stage.forget(&found).await, 0);
        assert_eq!(stage.source.hazards().await.unwrap(), Vec::<String>::new());
        assert_eq!(stage.source.queues().await.unwrap(), Vec::<String>::new());
    };
    stage.ask::<u64>(cmd("XGROUP").arg("DESTROY").arg(STREAM).arg(GROUP)).await;
    is_empty().await;
    stage.ask::<u64>(cmd("DEL").arg(STREAM)).await;
    is_empty().await;
    stage.group(STREAM, GROUP.as_bytes()).await;
    assert_eq!(stage.source.queues().await.unwrap(), [QUEUE]);
}

#[tokio::test]
async fn a_key_that_is_no_stream_is_named() {
    let stage = Stage::start().await;
    stage.ask::<()>(cmd("SET").arg(STREAM).arg("text")).await;
    for error in [
        stage.source.queues().await.unwrap_err(),
        stage.source.list(QUEUE, Cursor::default()).await.unwrap_err(),
        stage.source.states(&[Sought::of(QUEUE, "1-1")]).await.unwrap_err(),
    ] {
        assert!(matches!(error, SourceError::Odd(_)), "{error:?}");
        let said = error.to_string();
        assert!(said.contains("events") && said.contains("is a string, and no stream"), "{said}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_said_to_be_and_its_password_is_in_no_error() {
    let mut stage = Stage::start().await;
    let address = stage.redis.url().trim_start_matches("redis://").to_owned();
    let url = SecretString::from(format!("redis://user:hunter2@{address}"));
    let source = RedisStreams::new(&url, settings()).unwrap();
    let refused = source.queues().await.unwrap_err();
    stage.redis.end();
    let away = stage.source.queues().await.unwrap_err();
    for error in [refused, away] {
        assert!(matches!(error, SourceError::Away(_)), "{error:?}");
        assert!(error.to_string().starts_with("Redis: ") && !format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    stage.redis.begin().await;
    assert_eq!(stage.source.queues().await.unwrap(), Vec::<String>::new());
}
