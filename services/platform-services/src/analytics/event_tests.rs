//! What events raise is what they say, in whatever order they come.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use kit::db::Source;
use proptest::prelude::*;

use super::super::events::Filter;
use super::super::period::{HOUR_MS, Span};
use super::*;
use crate::store::Store;
use crate::time::DAY_MS;

/// Who, on which day, a call or not, tokens and micro-dollars.
type Post = (Option<u8>, i64, bool, u32, u32);

fn post() -> impl Strategy<Value = Post> {
    (proptest::option::of(0u8..3), 0i64..3, any::<bool>(), 0u32..1000, 0u32..3_000_000)
}

fn event(post: &Post) -> Event {
    let (user, _, is_call, tokens, micros) = post;
    let body = json!({
        "event_type": if *is_call { "api_call" } else { "chat" },
        "event_data": { "tokens_used": tokens, "cost_usd": f64::from(*micros) / 1e6 },
        "user_id": user.map(|user| user.to_string()),
    });
    serde_json::from_value::<NewEvent>(body).unwrap().checked().unwrap()
}

async fn keep_alone(store: &Store, post: &Post) {
    let mut transaction = store.begin().await.unwrap();
    event(post).keep(&mut transaction, post.1 * DAY_MS + 7).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn usage_of(store: &Store) -> BTreeMap<(String, i64), (i64, i64, i64)> {
    let sql = "SELECT user_id, day_ms, calls, tokens, cost_micros FROM analytics_usage";
    let rows: Vec<(String, i64, i64, i64, i64)> =
        store.read(async |transaction| transaction.rows(sql, &[]).await).await.unwrap();
    rows.into_iter().map(|(user, day, calls, tokens, cost)| ((user, day), (calls, tokens, cost))).collect()
}

async fn live(posts: Vec<Post>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::opened(Source::Sqlite(folder.path().join("x.db"))).await;
    join_all(posts.iter().map(|post| keep_alone(&store, post))).await;
    let mut expected = BTreeMap::<(String, i64), (i64, i64, i64)>::new();
    for (user, day, is_call, tokens, micros) in posts {
        if !is_call && tokens == 0 && micros == 0 {
            continue;
        }
        for user in user.map(|user| user.to_string()).into_iter().chain([String::new()]) {
            let sum = expected.entry((user, day * DAY_MS)).or_default();
            *sum = (sum.0 + i64::from(is_call), sum.1 + i64::from(tokens), sum.2 + i64::from(micros));
        }
    }
    assert_eq!(usage_of(&store).await, expected);
}

/// Asks for the total of each span, of one type and of all, and compares it with what a walk through the moments says.
async fn are_counted(moments: Vec<(i64, bool)>, spans: Vec<(i64, i64)>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::opened(Source::Sqlite(folder.path().join("x.db"))).await;
    let mut transaction = store.begin().await.unwrap();
    for (at_ms, is_call) in &moments {
        event(&(None, 0, *is_call, 0, 0)).keep(&mut transaction, *at_ms).await.unwrap();
    }
    for (from_ms, to_ms) in spans {
        for event_type in [None, Some("api_call".to_owned())] {
            let is_all = event_type.is_none();
            let filter = Filter { span: Span { from_ms, to_ms }, user_id: None, event_type };
            let found = filter.total(&mut transaction).await.unwrap();
            let is_in = |(at_ms, is_call): &&(i64, bool)| (from_ms..to_ms).contains(at_ms) && (is_all || *is_call);
            assert_eq!(found, i64::try_from(moments.iter().filter(is_in).count()).unwrap(), "{filter:?}");
        }
    }
    transaction.commit().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_total_counts_every_event_of_its_span_once(
        moments in proptest::collection::vec((0..HOUR_MS * 4, any::<bool>()), 0..60),
        spans in proptest::collection::vec((0..HOUR_MS * 4, 0..=Span::NO_END_MS), 1..9),
        short in proptest::collection::vec((0..HOUR_MS * 4, 0..HOUR_MS * 4), 1..9),
    ) {
        let spans = [spans, short].concat();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(are_counted(moments, spans));
    }

    #[test]
    fn usage_is_the_sum_of_what_was_posted_to_the_last_micro_dollar(posts in proptest::collection::vec(post(), 1..40)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(live(posts));
    }
}

#[tokio::test]
async fn a_row_that_is_full_stops_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::opened(Source::Sqlite(folder.path().join("x.db"))).await;
    let body = json!({ "event_type": "chat", "event_data": { "tokens_used": 1e300, "cost_usd": 1e300 } });
    for _time in 0..3 {
        let mut transaction = store.begin().await.unwrap();
        let event = serde_json::from_value::<NewEvent>(body.clone()).unwrap().checked().unwrap();
        event.keep(&mut transaction, 7).await.unwrap();
        transaction.commit().await.unwrap();
    }
    let most = 1_000_000_000_000;
    assert_eq!(usage_of(&store).await, BTreeMap::from([((String::new(), 0), (0, most, most))]));
}
