//! A copy that dies is another failure of the same job.

use dlq_processor::source::{Put, State};

use super::stage::{GROUP, Stage, text_of};

#[tokio::test]
async fn an_entry_that_is_redriven_twice_is_one_job_with_three_failures() {
    let stage = Stage::start().await;
    let mut found = stage.dead(&[("a", "1")]).await;
    let root = found.episode.job.clone();
    for (number, order) in ["one", "two"].into_iter().enumerate() {
        assert_eq!(stage.forget(&found).await, 1);
        assert_eq!(stage.put_anew(&found, order).await, Put::Moved);
        let (copy, fields) = stage.last().await;
        assert_eq!(text_of(&fields, "x-redrive-of").as_deref(), Some(root.as_str()));
        assert_eq!(text_of(&fields, "x-redrive").as_deref(), Some(order));
        assert_eq!((fields.len(), text_of(&fields, "a").as_deref()), (3, Some("1")));
        let before = found.episode.clone();
        found = stage.dies(&copy).await;
        assert_eq!((found.episode.job.as_str(), found.put_in_at_ms), (root.as_str(), first_ms(&root)));
        assert!(found.episode.failed_at_ms > before.failed_at_ms, "{number}");
        assert_eq!(stage.state(&root).await, State::Failed(found.episode.failed_at_ms));
    }
    assert_eq!(stage.entries().await.len(), 3);
    assert_eq!(stage.pending(GROUP).await.len(), 1);
}

#[tokio::test]
async fn a_copy_of_which_nothing_is_remembered_is_still_found() {
    let stage = Stage::start().await;
    let found = stage.dead(&[("a", "1")]).await;
    assert_eq!(stage.put_anew(&found, "one").await, Put::Moved);
    let (copy, _) = stage.last().await;
    let keys: Vec<String> = stage.ask(redis::cmd("KEYS").arg("events:*")).await;
    assert_eq!(keys.len(), 3, "{keys:?}");
    stage.ask::<u64>(redis::cmd("DEL").arg(keys)).await;
    let again = stage.dies(&copy).await;
    assert_eq!(again.episode.job, found.episode.job);
    assert_eq!(stage.forget(&again).await, 1);
    assert_eq!(stage.pending(GROUP).await, Vec::<String>::new());
}

fn first_ms(id: &str) -> Option<i64> {
    id.split('-').next()?.parse().ok()
}
