//! What pages ask the ledger, over SQLite and over PostgreSQL.

use std::path::Path;

use dlq_processor::ledger::{Act, Actor, Draft, Filter, Ledger, LetterState, Past, PlanCount, Ruling, Step};
use dlq_processor::policy::{Alarm, Fingerprint};
use dlq_processor::source::Found;
use kit::db::Source;
use sqlx::sqlite::SqliteConnectOptions;

use super::{SOURCE, found, in_a_file, in_a_server, redrive};

/// Has letters of jobs wait for somebody: at once if they fail in this way.
async fn park(ledger: &Ledger, jobs: &[(&str, i64)], why: &str, now_ms: i64) {
    let found = |(job, failed_at_ms): &(&str, i64)| Found {
        reason: Some(why.to_owned()),
        stack: Some(format!("Error: {why}\n    at a.js")),
        ..found(job, *failed_at_ms)
    };
    let all: Vec<Found> = jobs.iter().map(found).collect();
    let ruling = |found: &Found, past: Option<Past>| {
        let mut ruling = redrive(found, past);
        ruling.decision.alarm = if why == "no card" { Alarm::Page } else { Alarm::Ticket };
        ruling.fingerprint = Fingerprint::of(&found.episode.queue, &found.name, None, why);
        Ruling { state: LetterState::Parked, ..ruling }
    };
    ledger.capture(SOURCE, &all, now_ms, ruling).await.unwrap();
}

async fn counts_what_waits_and_names_the_newest_kinds_first(ledger: Ledger) {
    assert_eq!(ledger.groups(5, i64::MAX).await.unwrap(), Default::default());
    park(&ledger, &[("a", 10), ("b", 11)], "no card", 50).await;
    park(&ledger, &[("c", 12)], "no address", 60).await;
    park(&ledger, &[("d", 13), ("e", 14)], "no stamp", 70).await;
    let groups = ledger.groups(2, i64::MAX).await.unwrap();
    assert_eq!((groups.letters, groups.pages, groups.kinds, groups.since_ms), (5, 2, 3, Some(50)));
    let newest: Vec<_> =
        groups.newest.iter().map(|it| (it.message.as_str(), it.letters, it.pages, it.last_ms)).collect();
    assert_eq!(newest, [("no card", 2, 2, 50), ("no stamp", 2, 0, 70)]);
}

async fn tells_the_rest_of_a_letter_and_the_other_failures_of_its_job(ledger: Ledger) {
    park(&ledger, &[("a", 10), ("b", 10)], "no card", 50).await;
    park(&ledger, &[("a", 20)], "no card", 60).await;
    let letters = ledger.letters(&Filter::default(), 10).await.unwrap();
    let last = letters.iter().find(|letter| letter.failed_at_ms == 20).unwrap();
    let others = ledger.others_of_job(last, 10).await.unwrap();
    assert_eq!(others.iter().map(|letter| letter.failed_at_ms).collect::<Vec<_>>(), [10]);
    let actor = Actor { who: "ada", why: "they are old", key: "plan" };
    let filter = Filter { state: Some("parked".to_owned()), ..Filter::default() };
    let draft =
        Draft { filter, act: Act::Discard, rate_milli: None, stop_percent: None, max_letters: None, to_queue: None };
    let plan = ledger.make_plan(&draft, actor, 70).await.unwrap().unwrap();
    let details = ledger.details(&last.id).await.unwrap().unwrap();
    assert_eq!((details.attempts, details.alarm.as_str(), details.plan), (3, "page", None));
    assert!(details.stack.unwrap().ends_with("at a.js"));
    ledger.step(&plan.id, Step::Apply, Actor { key: "apply", ..actor }, 71).await.unwrap();
    ledger.carry_on(&plan, 10, 72).await.unwrap();
    assert_eq!(ledger.details(&last.id).await.unwrap().unwrap().plan, Some(plan.id));
    let counts = ledger.plan_counts(plan.number, 10).await.unwrap();
    assert_eq!(counts, [PlanCount { queue: "mails".to_owned(), state: "discarded".to_owned(), letters: 2 }]);
    assert_eq!(ledger.details("nothing").await.unwrap(), None);
}

in_both! {
    counts_what_waits_and_names_the_newest_kinds_first: what_waits_is_counted_in_a_file, what_waits_is_counted_in_a_server;
    tells_the_rest_of_a_letter_and_the_other_failures_of_its_job: a_letter_is_told_in_a_file, a_letter_is_told_in_a_server;
}

/// Has the next letters of a file be numbered from there on.
async fn number_on_from(path: &Path, number: i64) {
    let pool = sqlx::SqlitePool::connect_with(SqliteConnectOptions::new().filename(path)).await.unwrap();
    let sql = "UPDATE sqlite_sequence SET seq = $1 WHERE name = 'letters'";
    assert_eq!(sqlx::query(sql).bind(number).execute(&pool).await.unwrap().rows_affected(), 1);
    pool.close().await;
}

#[tokio::test]
async fn letters_are_found_from_the_newest_on_however_many_there_are_and_whatever_they_are_found_by() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = Ledger::open(&Source::Sqlite(path.clone())).await.unwrap();
    park(&ledger, &[("a", 10), ("b", 11)], "no card", 50).await;
    for (number, job) in [(150_000, "c"), (640_000, "d")] {
        number_on_from(&path, number).await;
        park(&ledger, &[(job, 12)], "No Address", 60).await;
    }
    // So many that nobody looks them up by that.
    let many: Vec<String> = (0..6_000).map(|number| number.to_string()).collect();
    let many: Vec<(&str, i64)> = many.iter().map(|job| (job.as_str(), 13)).collect();
    park(&ledger, &many, "no stamp", 70).await;
    let some = |text: &str| Some(text.to_owned());
    let parked = Filter { state: some("parked"), queue: some("mails"), ..Filter::default() };
    let first = ledger.letters(&parked, 6_002).await.unwrap();
    assert!(first.is_sorted_by(|a, b| a.number > b.number) && first.len() == 6_002);
    assert_eq!([&first[6_000].job, &first[6_001].job], ["d", "c"]);
    let rest = Filter { before: Some(first[6_001].number), ..parked.clone() };
    let jobs = async |filter: &Filter, most| {
        let letters = ledger.letters(filter, most).await.unwrap();
        letters.into_iter().map(|letter| letter.job).collect::<Vec<_>>()
    };
    assert_eq!(jobs(&rest, 9).await, ["b", "a"]);
    assert!(jobs(&Filter { before: Some(i64::MIN), ..Filter::default() }, 9).await.is_empty());
    for (filter, most, found) in [
        (Filter { message: some("no address"), ..Filter::default() }, 9, &["d", "c"][..]),
        (Filter { message: some("NO ADDRESS"), ..parked.clone() }, 1, &["d"]),
        (Filter { fingerprint: some(&first[6_000].fingerprint), ..parked.clone() }, 9, &["d", "c"]),
        (Filter { message: some("nowhere"), ..Filter::default() }, 9, &[]),
        (Filter { message: some("no%"), ..Filter::default() }, 9, &[]),
        (Filter { state: some("escalated"), ..parked }, 9, &[]),
    ] {
        assert_eq!(jobs(&filter, most).await, found, "{filter:?}");
    }
}
