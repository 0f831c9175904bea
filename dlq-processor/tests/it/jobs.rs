//! Our own job tables over SQLite and over PostgreSQL: the same story in both.

use std::num::NonZeroU32;
use std::time::Duration;

use dlq_processor::source::jobs::Jobs;
use dlq_processor::source::{Cursor, Episode, Found, Lost, Order, PAGE, Put, Sought, Source, SourceError, State};
use kit::db;
use kit::queue::{Claim, Failed, Job, JobId, LEASE_EXPIRED, Options, Queues, Retry};
use testkit::Postgres;

const QUEUE: &str = "mails";
const LEASE: Duration = Duration::from_secs(3600);

/// The queues as the program sees them that owns them, and our source beside it.
struct Both {
    queues: Queues,
    source: Jobs,
}

async fn in_a_file(story: impl AsyncFnOnce(Both)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let queues = Queues::sqlite(&path).await.unwrap();
    story(Both { queues, source: Jobs::new(db::Source::Sqlite(path)) }).await;
}

async fn in_a_server(story: impl AsyncFnOnce(Both)) {
    kit::tls::install();
    let postgres = Postgres::start().await;
    story(in_postgres(&postgres).await).await;
}

async fn in_postgres(postgres: &Postgres) -> Both {
    let pool = kit::db::open_postgres(&postgres.url().into(), 4, LEASE).await.unwrap();
    let queues = Queues::postgres(pool, "jobs").await.unwrap();
    Both { queues, source: Jobs::new(db::Source::parse(&postgres.url()).unwrap()) }
}

impl Both {
    async fn put(&self, key: Option<&str>) -> JobId {
        let options = Options { max_attempts: NonZeroU32::new(3).unwrap(), key, ..Options::default() };
        self.queues.enqueue(QUEUE, "send", &serde_json::json!({ "to": "ä\0" }), options).await.unwrap()
    }

    async fn claims(&self, lease: Duration) -> Vec<Job> {
        self.queues.claim(&[QUEUE], "worker", lease, 1000).await.unwrap()
    }

    async fn one(&self) -> Claim {
        let jobs = self.claims(LEASE).await;
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        jobs[0].claim
    }

    async fn one_dies(&self) {
        self.queues.fail(self.one().await, "connect ECONNREFUSED", Retry::Dead).await.unwrap();
    }

    /// Puts one in that dies, and reads it.
    async fn dead(&self, key: Option<&str>) -> Found {
        self.put(key).await;
        self.one_dies().await;
        self.newest().await
    }

    /// The failure that came last.
    async fn newest(&self) -> Found {
        let page = self.source.list(QUEUE, Cursor::default()).await.unwrap();
        let last = page.episodes.last().unwrap().clone();
        self.source.read(&[last]).await.unwrap().remove(0).unwrap()
    }

    async fn put_back(&self, order: &Order) -> Put {
        self.source.put_back(std::slice::from_ref(order)).await.unwrap()[0]
    }

    async fn put_anew(&self, order: &Order, kept: &[u8]) -> Put {
        let lost = Lost { order: order.clone(), kept: kept.to_vec() };
        self.source.put_anew(&[lost]).await.unwrap()[0]
    }

    async fn state(&self, episode: &Episode) -> State {
        self.source.states(&[Sought::of(&episode.queue, &episode.job)]).await.unwrap()[0]
    }
}

fn order(found: &Found, id: &str, has_all_tries: bool) -> Order {
    Order { episode: found.episode.clone(), id: id.to_owned(), has_all_tries }
}

async fn is_listed_and_read(both: Both) {
    let Both { queues, source } = &both;
    assert_eq!(source.queues().await.unwrap(), Vec::<String>::new());
    let found = both.dead(None).await;
    queues.enqueue("others", "a", &1, Options::default()).await.unwrap();
    assert_eq!(source.queues().await.unwrap(), [QUEUE, "others"]);
    assert_eq!((found.name.as_str(), found.data.as_slice()), ("send", "{\"to\":\"ä\\u0000\"}".as_bytes()));
    assert_eq!((found.attempts, found.stalls, found.is_in_flow), (1, 0, false));
    assert_eq!(found.reason.as_deref(), Some("connect ECONNREFUSED"));
    assert!(found.put_in_at_ms.unwrap() <= found.episode.failed_at_ms);
    let page = source.list("others", Cursor::default()).await.unwrap();
    assert_eq!((page.episodes.len(), page.failed, page.next), (0, 0, Cursor::default()));
    let strangers = ["unknown".to_owned(), both.put(None).await.to_string()];
    let strangers = strangers.map(|job| Episode { job, ..found.episode.clone() });
    let elsewhere = Episode { queue: "others".to_owned(), ..found.episode.clone() };
    let asked = [&strangers[..], &[elsewhere, found.episode.clone()]].concat();
    assert_eq!(source.read(&asked).await.unwrap(), [None, None, None, Some(found)]);
    // Its worker is not heard of again, three times.
    for _ in 0..3 {
        assert_eq!(both.claims(Duration::ZERO).await.len(), 1);
    }
    assert_eq!(both.claims(LEASE).await.len(), 0);
    let lost = both.newest().await;
    assert_eq!((lost.attempts, lost.stalls, lost.reason.as_deref()), (3, 1, Some(LEASE_EXPIRED)));
}

async fn is_listed_in_pages(both: Both) {
    let Both { queues, source } = &both;
    let mut jobs: Vec<JobId> = Vec::new();
    for _ in 0..PAGE + 2 {
        jobs.push(both.put(None).await);
    }
    for job in both.claims(LEASE).await {
        queues.fail(job.claim, "x", Retry::Dead).await.unwrap();
    }
    let first = source.list(QUEUE, Cursor::default()).await.unwrap();
    let second = source.list(QUEUE, first.next).await.unwrap();
    assert_eq!([first.episodes.len(), second.episodes.len()], [PAGE, 2]);
    assert_eq!([first.failed, second.failed], [PAGE as u64 + 2; 2]);
    let all = [first.episodes, second.episodes].concat();
    assert!(all.is_sorted_by_key(|episode| episode.failed_at_ms));
    let mut listed: Vec<JobId> = all.iter().map(|episode| episode.job.parse().unwrap()).collect();
    listed.sort();
    assert_eq!(listed, jobs);
    let read = source.read(&all).await.unwrap();
    assert!(read.iter().zip(&all).all(|(found, episode)| found.as_ref().unwrap().episode == *episode));
    let end = source.list(QUEUE, second.next).await.unwrap();
    assert_eq!((end.episodes.len(), end.next), (0, second.next));
}

async fn is_put_back_once(both: Both) {
    let found = both.dead(None).await;
    let [one, other] = ["one", "other"].map(|id| order(&found, id, true));
    let done = both.source.put_back(&[one.clone(), one.clone(), other.clone()]).await.unwrap();
    assert_eq!(done, [Put::Moved, Put::Already, Put::NotFailed]);
    assert_eq!(both.state(&found.episode).await, State::UnderWay);
    assert_eq!(both.source.read(std::slice::from_ref(&found.episode)).await.unwrap(), [None]);
    both.queues.complete(both.one().await).await.unwrap();
    assert_eq!(both.state(&found.episode).await, State::Gone);
    // Nobody heard the answer, and the job is long done.
    assert_eq!(both.source.put_back(&[one.clone(), other]).await.unwrap(), [Put::Already, Put::Gone]);
    assert_eq!(both.put_anew(&one, &found.kept).await, Put::Already);
    assert_eq!(both.claims(LEASE).await.len(), 0);
}

async fn is_fenced_by_the_failure(both: Both) {
    let found = both.dead(None).await;
    assert_eq!(both.put_back(&order(&found, "first", false)).await, Put::Moved);
    both.one_dies().await;
    let again = both.newest().await;
    assert_eq!(again.episode.job, found.episode.job);
    assert!(again.episode.failed_at_ms > found.episode.failed_at_ms);
    assert_eq!(both.put_back(&order(&found, "second", false)).await, Put::Fenced);
    assert_eq!(both.put_anew(&order(&found, "second", false), &found.kept).await, Put::Fenced);
    assert_eq!(both.put_back(&order(&found, "first", false)).await, Put::Already);
    assert_eq!(both.source.forget(&[found.episode]).await.unwrap(), 0);
    assert_eq!(both.state(&again.episode).await, State::Failed(again.episode.failed_at_ms));
    assert_eq!(both.newest().await, again);
}

async fn gets_as_many_tries_as_the_order_says(both: Both) {
    let mut found = both.dead(None).await;
    for (id, has_all_tries, expected) in [("1", false, 1), ("2", true, 3), ("3", false, 1)] {
        assert_eq!(both.put_back(&order(&found, id, has_all_tries)).await, Put::Moved);
        let mut tries = 1;
        let at_once = Retry::After(Duration::ZERO);
        while both.queues.fail(both.one().await, "x", at_once).await.unwrap() == Failed::Waits {
            tries += 1;
        }
        assert_eq!(tries, expected);
        found = both.newest().await;
    }
}

async fn is_left_be_beside_another_with_its_key(both: Both) {
    let found = both.dead(Some("k")).await;
    both.put(Some("k")).await;
    let order = order(&found, "order", true);
    assert_eq!(both.put_back(&order).await, Put::NotFailed);
    assert_eq!(both.source.forget(std::slice::from_ref(&found.episode)).await.unwrap(), 1);
    assert_eq!(both.put_anew(&order, &found.kept).await, Put::NotFailed);
    both.queues.complete(both.one().await).await.unwrap();
    assert_eq!(both.put_anew(&order, &found.kept).await, Put::Moved, "it was not carried out before");
}

async fn is_made_anew_once(both: Both) {
    let found = both.dead(Some("k")).await;
    assert_eq!(both.source.forget(std::slice::from_ref(&found.episode)).await.unwrap(), 1);
    let [once, other] = ["once", "other"].map(|id| order(&found, id, true));
    assert_eq!(both.put_back(&once).await, Put::Gone);
    for kept in [&b""[..], &found.kept[1..]] {
        assert_eq!(both.put_anew(&once, kept).await, Put::Gone);
    }
    let mut of_another = once.clone();
    of_another.episode.failed_at_ms += 1;
    assert_eq!(both.put_anew(&of_another, &found.kept).await, Put::Fenced);
    assert_eq!(both.put_anew(&once, &found.kept).await, Put::Moved);
    assert_eq!(both.put_anew(&other, &found.kept).await, Put::NotFailed);
    assert_eq!(both.put_back(&once).await, Put::Already);
    assert_eq!(both.put(Some("k")).await.to_string(), found.episode.job, "it has its key, and its id");
    let job = both.claims(LEASE).await.remove(0);
    assert_eq!((job.name.as_str(), job.payload.as_bytes()), (found.name.as_str(), found.data.as_slice()));
    assert_eq!((job.attempt, job.max_attempts), (1, 3));
    both.queues.complete(job.claim).await.unwrap();
    assert_eq!(both.put_anew(&once, &found.kept).await, Put::Already);
    assert_eq!(both.state(&found.episode).await, State::Gone);
}

async fn is_forgotten(both: Both) {
    let found = both.dead(None).await;
    let episodes = [found.episode.clone(), Episode { job: "unknown".to_owned(), ..found.episode.clone() }];
    assert_eq!(both.source.forget(&episodes).await.unwrap(), 1);
    assert_eq!(both.source.forget(&episodes).await.unwrap(), 0);
    let page = both.source.list(QUEUE, Cursor::default()).await.unwrap();
    assert_eq!((page.episodes.len(), page.failed), (0, 0));
    assert_eq!(both.put_back(&order(&found, "order", true)).await, Put::Gone);
    both.source.wait(&[QUEUE.to_owned()], Duration::ZERO).await.unwrap();
}

macro_rules! in_both {
    ($($story:ident: $file:ident, $server:ident;)*) => {
        $(
            #[tokio::test]
            async fn $file() {
                in_a_file($story).await;
            }

            #[tokio::test]
            async fn $server() {
                in_a_server($story).await;
            }
        )*
    };
}

in_both! {
    is_listed_and_read: a_dead_job_is_read_whole_in_a_file, a_dead_job_is_read_whole_in_a_server;
    is_listed_in_pages: the_dead_are_listed_in_pages_in_a_file, the_dead_are_listed_in_pages_in_a_server;
    is_put_back_once: a_job_is_put_back_once_in_a_file, a_job_is_put_back_once_in_a_server;
    is_fenced_by_the_failure: only_the_failure_that_was_meant_in_a_file, only_the_failure_that_was_meant_in_a_server;
    gets_as_many_tries_as_the_order_says: a_job_gets_its_tries_in_a_file, a_job_gets_its_tries_in_a_server;
    is_left_be_beside_another_with_its_key: a_job_whose_key_is_taken_in_a_file, a_job_whose_key_is_taken_in_a_server;
    is_made_anew_once: a_job_that_is_gone_is_made_anew_in_a_file, a_job_that_is_gone_is_made_anew_in_a_server;
    is_forgotten: a_job_is_forgotten_for_good_in_a_file, a_job_is_forgotten_for_good_in_a_server;
}

#[tokio::test]
async fn a_file_that_is_not_there_is_unmade_and_not_made_and_another_of_its_name_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let source = Jobs::new(db::Source::Sqlite(path.clone()));
    for _ in 0..2 {
        let error = source.queues().await.unwrap_err();
        assert!(matches!(error, SourceError::Unmade(_)), "{error:?}");
        assert!(error.to_string().contains("there are no job tables in"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    let both = Both { queues: Queues::sqlite(&path).await.unwrap(), source };
    let found = both.dead(None).await;
    both.queues.close().await;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let orders = [order(&found, "order", true)];
    assert!(matches!(both.source.put_back(&orders).await, Err(SourceError::Unmade(_))));
    assert!(!path.exists());
    let both = Both { queues: Queues::sqlite(&path).await.unwrap(), ..both };
    assert_eq!(both.source.put_back(&orders).await.unwrap(), [Put::Gone]);
    assert_ne!(both.dead(None).await, found);
}

#[tokio::test]
async fn a_file_that_somebody_has_locked_is_late_and_what_is_no_database_is_odd() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let queues = Queues::sqlite(&path).await.unwrap();
    let both = Both { queues, source: Jobs::new(db::Source::Sqlite(path.clone())) };
    let found = both.dead(None).await;
    let hurried = Jobs::new(db::Source::Sqlite(path.clone())).with_deadline(Duration::from_millis(200));
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let other = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let orders = [order(&found, "order", true)];
    let error = hurried.put_back(&orders).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer within 200ms");
    held.rollback().await.unwrap();
    assert_eq!(both.source.put_back(&orders).await.unwrap(), [Put::Moved]);
    let odd = folder.path().join("odd.db");
    std::fs::write(&odd, vec![7_u8; 8192]).unwrap();
    let error = Jobs::new(db::Source::Sqlite(odd)).queues().await.unwrap_err();
    assert!(matches!(error, SourceError::Odd(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_was_away_is_used_again_and_its_password_is_in_no_error() {
    kit::tls::install();
    let mut postgres = Postgres::start().await;
    let source = Jobs::new(db::Source::parse(&postgres.url()).unwrap());
    let missing = source.queues().await.unwrap_err();
    assert!(matches!(missing, SourceError::Unmade(_)), "{missing:?}");
    assert!(missing.to_string().contains("there are no job tables in schema \"jobs\""), "{missing}");
    let there: i32 = postgres.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'jobs'").trim().parse().unwrap();
    assert_eq!(there, 0);
    let both = in_postgres(&postgres).await;
    let found = both.dead(None).await;
    assert_eq!(source.queues().await.unwrap(), [QUEUE]);
    let orders = [order(&found, "order", true)];
    postgres.end();
    for _ in 0..2 {
        let error = source.put_back(&orders).await.unwrap_err();
        assert!(matches!(error, SourceError::Away(_)), "{error:?}");
        assert!(!format!("{error:?}").contains(Postgres::PASSWORD), "{error:?}");
    }
    postgres.begin().await;
    assert_eq!(source.put_back(&orders).await.unwrap(), [Put::Moved]);
    assert!(!format!("{source:?}").contains(Postgres::PASSWORD));
}
