//! What happened in sign-in, in a real Redis.

use std::collections::BTreeMap;

use testkit::{Redis, eventually};

use crate::{LIMIT, PASSWORD, Platform};

type Entry = (String, BTreeMap<String, String>);

async fn entries(redis: &Redis) -> Vec<Entry> {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("XRANGE").arg("auth-events").arg("-").arg("+").query_async(&mut connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_in_the_stream_once_and_in_their_order_also_after_redis_was_away() {
    let mut redis = Redis::start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("p.db").display());
    let start = async || {
        let own = tempfile::tempdir().unwrap();
        Platform::ready(Platform::start_with(own, &url, ("REDIS_URL", &redis.url())).await).await
    };
    // Two programs over one file hand on the same events.
    let platforms = [start().await, start().await];
    platforms[0].register("ada@example.com").await.good(201);
    platforms[1].login("ada@example.com", "a wrong password").await.error(401, "bad_credentials");
    platforms[0].login("ada@example.com", PASSWORD).await.good(200);
    let kinds = |entries: &[Entry]| entries.iter().map(|(_, fields)| fields["type"].clone()).collect::<Vec<_>>();
    let expected = ["auth.registered", "auth.login_failed", "auth.login"];
    eventually("three events", LIMIT, async || (kinds(&entries(&redis).await) == expected).then_some(())).await;
    let (id, fields) = entries(&redis).await.remove(1);
    assert_eq!((id.as_str(), fields["source"].as_str()), ("2-0", "platform-services"));
    assert!(fields["data"].contains("ada@example.com") && !fields["data"].contains("password"), "{fields:?}");
    redis.end();
    platforms[1].login("ada@example.com", PASSWORD).await.good(200);
    eventually("the service to say so", LIMIT, async || {
        let ready = platforms[1].ask("GET", "/readyz", None, None).await.good(200);
        (ready["status"] == "degraded").then_some(())
    })
    .await;
    redis.begin().await;
    eventually("the event that waited", LIMIT, async || {
        // What Redis held is gone; what it had is not sent again.
        (kinds(&entries(&redis).await) == ["auth.login"]).then_some(())
    })
    .await;
}
