//! Work within a probe that computes for long.

use tokio::runtime::{Handle, RuntimeFlavor};

/// From so many bytes on it takes long to look through them. Ours: for less it is not worth handing the worker over.
pub(super) const LONG_BYTES: usize = 16 * 1024;

/// Does `work` of so many bytes; if it is long, this thread's other probes go on elsewhere meanwhile.
pub(super) fn aside<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let has_elsewhere =
        || Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes >= LONG_BYTES && has_elsewhere() { tokio::task::block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_of_the_same_worker_go_on_meanwhile() {
        let (told, heard) = channel();
        let long = tokio::spawn(async move {
            let other = tokio::spawn(async move { told.send("went on").unwrap() });
            let said = aside(LONG_BYTES, || heard.recv_timeout(Duration::from_secs(30)).unwrap());
            other.await.unwrap();
            said
        });
        assert_eq!(long.await.unwrap(), "went on");
    }

    #[test]
    fn without_a_runtime_it_is_just_done() {
        assert_eq!(aside(LONG_BYTES, || 7), 7);
    }
}
