//! Job queues on PostgreSQL: the whole suite, and what only a server with many connections can get wrong.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use kit::db::open_postgres;
use kit::queue::{Attempts, Options, QueueError, Queues, Redrive, Redriven, Retry};
use proptest::test_runner::{Config, TestRunner};
use sqlx::PgPool;
use testkit::Postgres;

use crate::LIMIT;
use crate::history::{happen, steps};
use crate::suite::{self, LEASE, Time, put};

const CONNECTIONS: u32 = 8;
/// Each is a schema of its own and some 60 transactions.
const HISTORIES: u32 = 16;

async fn pool(server: &Postgres) -> PgPool {
    open_postgres(&server.url().into(), CONNECTIONS, LIMIT).await.unwrap()
}

/// Opens a schema with a clock that stands.
async fn open(pool: &PgPool, schema: &str) -> (Queues, Time) {
    let time = Time::default();
    (Queues::postgres(pool.clone(), schema).await.unwrap().with_clock(time.clock()), time)
}

/// Runs each behaviour in a schema of its own, named in what a failure prints. One server: starting it takes longer
/// than all of them.
macro_rules! behaviours {
    ($($name:ident)*) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn queues_behave_as_on_sqlite() {
            let server = Postgres::start().await;
            let pool = pool(&server).await;
            $(
                let name = stringify!($name);
                println!("{name}");
                let schema: String = name.chars().take(63).collect();
                let (queues, time) = open(&pool, &schema).await;
                suite::$name(&queues, &time).await;
            )*
        }
    };
}

suite::every!(behaviours);

#[test]
fn no_order_of_events_loses_or_doubles_a_job() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Postgres::start());
    let pool = runtime.block_on(pool(&server));
    let number = std::cell::Cell::new(0);
    let config = Config { cases: HISTORIES, failure_persistence: None, ..Config::default() };
    let histories = TestRunner::new(config).run(&steps(), |steps| {
        number.set(number.get() + 1);
        runtime.block_on(async {
            let (queues, time) = open(&pool, &format!("history_{}", number.get())).await;
            happen(&steps, &queues, &time).await;
        });
        Ok(())
    });
    histories.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_at_the_same_time_make_the_tables_once_and_keep_to_keys_and_bounds() {
    let server = Postgres::start().await;
    let pool = pool(&server).await;
    let opened = join_all((0..8).map(|_program| Queues::postgres(pool.clone(), "jobs"))).await;
    let programs: Vec<Queues> = opened.into_iter().map(Result::unwrap).collect();
    let keyed = Options { key: Some("k"), ..Options::default() };
    let ids = join_all(programs.iter().map(|queues| put(queues, "a", keyed))).await;
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 1);
    let bounded = Options { max_unfinished: Some(3), ..Options::default() };
    let results = join_all(programs.iter().map(|queues| queues.enqueue("bounded", "a", "a", bounded))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3, "{results:?}");
    assert_eq!(programs[0].stats("bounded").await.unwrap().waiting, 3);
}

#[tokio::test]
async fn times_are_those_of_the_server() {
    let server = Postgres::start().await;
    let queues = Queues::postgres(pool(&server).await, "jobs").await.unwrap();
    put(&queues, "a", Options::default()).await;
    let job = queues.claim(&["mail"], "worker", LEASE, 1).await.unwrap().remove(0);
    let lasts = job.until.duration_since(job.created_at);
    assert!(lasts >= LEASE.try_into().unwrap() && lasts < (LEASE + LIMIT).try_into().unwrap(), "{lasts}");
    queues.fail(job.claim, "no use", Retry::Dead).await.unwrap();
    let view = "SELECT id, queue, name, payload, attempts, max_attempts, reason,
            failed_at >= created_at AND first_failed_at = failed_at AND failed_at > now() - interval '1 hour'
        FROM jobs.dead_jobs";
    let row: (String, String, String, String, i64, i64, String, bool) =
        sqlx::query_as(view).fetch_one(&pool(&server).await).await.unwrap();
    let [queue, name, payload, reason] = ["mail", "a", "\"a\"", "no use"].map(str::to_owned);
    assert_eq!(row, (job.claim.id.to_string(), queue, name, payload, 1, 5, reason, true));
}

#[tokio::test]
async fn newer_tables_and_odd_schemas_are_refused() {
    let server = Postgres::start().await;
    let pool = pool(&server).await;
    Queues::postgres(pool.clone(), "jobs").await.unwrap();
    sqlx::query("INSERT INTO jobs.job_steps VALUES (7, now())").execute(&pool).await.unwrap();
    let error = Queues::postgres(pool.clone(), "jobs").await.unwrap_err();
    assert!(matches!(error, QueueError::Newer { found: 7, .. }), "{error:?}");
    let expected =
        "schema \"jobs\" has job tables of version 7, newer than the 4 this program knows; run the newer program";
    assert_eq!(error.to_string(), expected);
    for odd in ["", "Jobs", "1x", "a-b", "a\"; DROP TABLE x; --", &"x".repeat(64)] {
        let error = Queues::postgres(pool.clone(), odd).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("schema {odd:?} must have 1 to 63")), "{error}");
    }
}

#[tokio::test]
async fn whoever_watches_over_a_schema_makes_and_changes_nothing() {
    let server = Postgres::start().await;
    let pool = pool(&server).await;
    let refusal = async || Queues::existing_postgres(pool.clone(), "jobs").await.unwrap_err().to_string();
    let missing =
        "there are no job tables in schema \"jobs\" of PostgreSQL yet; the program that puts jobs in makes them";
    assert_eq!([refusal().await, refusal().await], [missing, missing]);
    let queues = Queues::postgres(pool.clone(), "jobs").await.unwrap();
    put(&queues, "a", Options::default()).await;
    let watching = Queues::existing_postgres(pool.clone(), "jobs").await.unwrap();
    assert_eq!(watching.names().await.unwrap().len(), 1);
    for (change, expected) in [
        ("DELETE FROM jobs.job_steps WHERE version > 2", "are of version 2, older than the 4 this program needs"),
        ("INSERT INTO jobs.job_steps VALUES (7, now())", "of version 7, newer than the 4 this program knows"),
    ] {
        sqlx::query(change).execute(&pool).await.unwrap();
        let found = refusal().await;
        assert!(found.contains(expected), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_given_several_times_at_once_is_carried_out_once() {
    let server = Postgres::start().await;
    let queues = Queues::postgres(pool(&server).await, "jobs").await.unwrap();
    let id = put(&queues, "a", Options::default()).await;
    let held = queues.claim(&["mail"], "worker", LEASE, 1).await.unwrap().remove(0).claim;
    queues.fail(held, "x", Retry::Dead).await.unwrap();
    let dead = queues.dead_among(&[id]).await.unwrap().remove(0);
    queues.discard(id, None).await.unwrap();
    let redrive = Redrive { queue: "mail", death: dead.death(), attempts: Attempts::One, order: "one" };
    let done = join_all((0..8).map(|_| queues.redrive_once(redrive, Some(&dead)))).await;
    let done: Vec<Redriven> = done.into_iter().map(Result::unwrap).collect();
    assert_eq!(done.iter().filter(|done| **done == Redriven::Done).count(), 1, "{done:?}");
    assert!(done.iter().all(|done| matches!(done, Redriven::Done | Redriven::Before)), "{done:?}");
}
