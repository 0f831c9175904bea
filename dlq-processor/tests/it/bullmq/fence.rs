//! What is asked for is done to the failure that was meant, and once.

use dlq_processor::source::{Cursor, Other, Put, Source, SourceError, State};
use serde_json::json;
use testkit::eventually;

use super::bull::source_of;
use super::proxy::Proxy;
use super::{Bull, LIMIT};

in_every_version! {
    only_the_failure_that_was_meant_is_touched_and_once:
    of_a_job_that_failed_again, by_orders_that_are_repeated, and_forgotten_for_good, unless_somebody_works_at_it,
    although_an_answer_was_lost, by_nobody_whom_another_has_followed
}

async fn of_a_job_that_failed_again(bull: &Bull) {
    let job = bull.failed("again", json!(1), json!({})).await;
    assert_eq!(job.put_back("first", false).await, Put::Moved);
    let again = job.fails_again().await;
    assert_eq!(job.put_back("second", false).await, Put::Fenced);
    let episodes = std::slice::from_ref(job.episode());
    assert_eq!(bull.source.forget(episodes).await.unwrap(), 0);
    assert_eq!(bull.the_failure("again").await, again);
    assert_eq!(job.runs().await.len(), 2);
    bull.is_idle("again").await;
}

async fn by_orders_that_are_repeated(bull: &Bull) {
    let job = bull.failed("repeated", json!(1), json!({})).await;
    job.is_mended().await;
    let [one, other] = [job.order("one", false), job.order("other", false)];
    let orders = [one.clone(), one.clone(), other];
    let done = bull.source.put_back(&orders).await.unwrap();
    assert_eq!(done[..2], [Put::Moved, Put::Already]);
    assert_eq!(done[2], Put::NotFailed);
    job.is_done_after(2).await;
    // Also when nothing is left of it.
    bull.query::<()>(redis::cmd("DEL").arg(format!("bull:repeated:{}", job.id))).await;
    assert_eq!(bull.source.put_back(&orders).await.unwrap(), [Put::Already, Put::Already, Put::Gone]);
}

async fn and_forgotten_for_good(bull: &Bull) {
    let job = bull.failed("forgotten", json!(1), json!({})).await;
    let key = format!("bull:forgotten:{}", job.id);
    bull.query::<()>(redis::cmd("RPUSH").arg(format!("{key}:logs")).arg("line")).await;
    let episodes = std::slice::from_ref(job.episode());
    assert_eq!(bull.source.forget(episodes).await.unwrap(), 1);
    assert_eq!(bull.source.forget(episodes).await.unwrap(), 0);
    bull.is("forgotten", &job.id, State::Gone).await;
    assert_eq!(bull.query::<Vec<String>>(redis::cmd("KEYS").arg(format!("{key}*"))).await, Vec::<String>::new());
    let page = bull.source.list("forgotten", Cursor::default()).await.unwrap();
    assert_eq!((page.episodes.len(), page.failed), (0, 0));
    assert_eq!(job.put_back("order", false).await, Put::Gone);
}

async fn unless_somebody_works_at_it(bull: &Bull) {
    let job = bull.failed("locked", json!(1), json!({})).await;
    bull.set(&format!("bull:locked:{}:lock", job.id), "token").await;
    assert_eq!(bull.source.forget(std::slice::from_ref(job.episode())).await.unwrap(), 0);
    assert_eq!(bull.the_failure("locked").await, job.found);
}

async fn although_an_answer_was_lost(bull: &Bull) {
    let job = bull.failed("lost", json!(1), json!({})).await;
    job.is_mended().await;
    let proxy = Proxy::start(&bull.redis.url()).await;
    let source = source_of(&proxy.url(), "bull");
    let orders = [job.order("order", false)];
    // It knows the script and holds a connection, which is then cut after what is asked and before the answer.
    let mut unknown = job.order("x", false);
    unknown.episode.job = "unknown".to_owned();
    assert_eq!(source.put_back(&[unknown]).await.unwrap(), [Put::Gone]);
    proxy.cut_answers();
    let error = source.put_back(&orders).await.unwrap_err().to_string();
    assert!(error.starts_with("Redis: "), "{error}");
    proxy.lead_on();
    eventually("the job to have been put back", LIMIT, async || (job.runs().await.len() == 2).then_some(())).await;
    assert_eq!(source.put_back(&orders).await.unwrap(), [Put::Already]);
    job.is_done_after(2).await;
}

async fn by_nobody_whom_another_has_followed(bull: &Bull) {
    let job = bull.failed("led", json!(1), json!({})).await;
    job.is_mended().await;
    let follower = source_of(&bull.redis.url(), "bull");
    follower.lead(7);
    assert_eq!(follower.put_back(&[job.order("one", false)]).await.unwrap(), [Put::Moved]);
    job.is_done_after(2).await;
    let job = bull.failed("led", json!(2), json!({})).await;
    bull.source.lead(6);
    let order = job.order("two", false);
    let other = Other { order: order.clone(), kept: job.found.kept.clone(), queue: "led".to_owned(), data: None };
    for refused in [
        bull.source.put_back(&[order]).await.map(drop),
        bull.source.put_others(&[other]).await.map(drop),
        bull.source.forget(std::slice::from_ref(job.episode())).await.map(drop),
    ] {
        let said =
            matches!(&refused, Err(SourceError::Odd(why)) if why.starts_with("another dlq-processor has acted here"));
        assert!(said, "{refused:?}");
    }
    assert_eq!(bull.the_failure("led").await, job.found, "nothing was done");
    bull.is_idle("led").await;
    bull.source.lead(8);
    job.is_mended().await;
    assert_eq!(job.put_back("two", false).await, Put::Moved);
    job.is_done_after(2).await;
    bull.source.lead(0);
}
