//! `eventually` returns the first find and says what never came.

use std::time::Duration;

use testkit::eventually;

use crate::LIMIT;

#[tokio::test]
async fn eventually_returns_the_first_find() {
    let mut looks = 0;
    let found = eventually("third look", LIMIT, async || {
        looks += 1;
        (looks == 3).then_some("here")
    });
    assert_eq!(found.await, "here");
    assert_eq!(looks, 3);
}

#[tokio::test]
#[should_panic(expected = "the moon: did not come true within 30ms")]
async fn eventually_names_what_never_came() {
    eventually("the moon", Duration::from_millis(30), async || None::<()>).await;
}

#[tokio::test]
#[should_panic(expected = "an answer: did not come true within 30ms")]
async fn a_probe_that_hangs_counts_against_the_limit() {
    eventually("an answer", Duration::from_millis(30), async || std::future::pending::<Option<()>>().await).await;
}
