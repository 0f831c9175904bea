//! Job queues over a SQLite file: the behaviour that PostgreSQL must have too, and what only files can get wrong.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

mod file;
mod history;
mod killed;
mod suite;
mod worker;

use std::path::Path;

use kit::queue::Queues;

use crate::suite::Time;

/// Opens the file with a clock that stands.
async fn open(path: &Path) -> (Queues, Time) {
    let time = Time::default();
    (Queues::sqlite(path).await.unwrap().with_clock(time.clock()), time)
}

/// Makes one test of each behaviour of the suite.
macro_rules! behaviours {
    ($($name:ident)*) => { $(
        #[tokio::test]
        async fn $name() {
            let folder = tempfile::tempdir().unwrap();
            let (queues, time) = open(&folder.path().join("jobs.db")).await;
            suite::$name(&queues, &time).await;
        }
    )* };
}

suite::every!(behaviours);
