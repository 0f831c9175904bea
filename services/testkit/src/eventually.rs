//! Waits for something to become true without sleeping a fixed time.

use std::time::Duration;

/// First pause between two looks; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Asks `probe` again and again and returns what it finds first.
///
/// A probe that hangs counts against `limit` too.
///
/// # Panics
/// When `limit` passes first; the message names `what` and the limit.
pub async fn eventually<T>(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let search = async {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    };
    #[expect(clippy::panic, reason = "failing the test is the purpose")]
    match tokio::time::timeout(limit, search).await {
        Ok(found) => found,
        Err(_) => panic!("{what}: did not come true within {limit:?}"),
    }
}
