//! Lokis that refuse, stall, are busy or gone: what waits is bounded, what is lost is counted, what was taken arrives in order,
//! and nobody is held up.

use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{Loki, at_scale, eventually, resident_kib};

use crate::{LIMIT, Log, QUEUE_BYTES, SMALL, all_dropped, dropped, numbers, sent, waiting, work};

/// Lines that are written without a pause are one batch.
const ALL_AT_ONCE: [(&str, &str); 1] = [("LOKI_BATCH_WAIT", "1000")];

/// Waits until nothing waits any more.
async fn all_is_said() {
    eventually("nothing to wait", LIMIT, async || (waiting() == 0).then_some(())).await;
}

/// What Loki holds of lines that were written without a pause: the first, as many as were not dropped.
fn check(held: &Value, written: u64) {
    let found = numbers(held);
    assert_eq!(found.len() as u64 + all_dropped(), written, "taken and dropped is all");
    assert!(found.is_sorted() && found.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(held["refusals"].as_array().unwrap().len(), 0, "{}", held["refusals"]);
    assert_eq!(sent(), held["entries"].as_array().unwrap().len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_loki_refuses_is_not_sent_again_and_said_once() {
    let loki = Loki::start().await;
    let log = Log::start(&loki.url(), &SMALL);
    for (status, reason) in [(400, "refused"), (401, "unauthorized")] {
        loki.answer(status, &[]).await;
        work(0..100);
        eventually("them to be dropped", LIMIT, async || (dropped(reason) == 100).then_some(())).await;
    }
    loki.come_back().await;
    work(0..100);
    log.exporting.finish().await;
    let held = loki.held().await;
    assert_eq!((numbers(&held), sent(), all_dropped()), ((0..100).collect(), 100, 200));
    let lines = std::fs::read_to_string(&log.path).unwrap();
    let count = |words: &str| lines.matches(words).count();
    assert_eq!((count("Loki refuses log lines"), count("401 Unauthorized: as it was told")), (2, 1), "{lines}");
    assert_eq!((count("Loki takes log lines again"), count("sending this log")), (1, 1));
}

/// Has Loki refuse some of a batch of several levels, and checks that all the others count as taken.
async fn lose_few(loki: &Loki, has_counts: bool) {
    loki.go().await;
    let log = Log::start(&loki.url(), &ALL_AT_ONCE);
    work(0..300);
    [10, 20].into_iter().for_each(|number| tracing::warn!(number, is_wrong = true, "work"));
    work(300..400);
    tracing::info!(number = 30, is_wrong = true, "work");
    work(400..500);
    eventually("it to be noticed", LIMIT, async || (log.own().len() == 2).then_some(())).await;
    if has_counts {
        loki.find_behind("is_wrong").await
    } else {
        loki.take_all_but("is_wrong").await
    }
    all_is_said().await;
    let own = log.own();
    log.exporting.finish().await;
    let held = loki.held().await;
    assert_eq!((numbers(&held), sent(), dropped("refused"), all_dropped()), ((0..500).collect(), 500, 3, 3));
    // All, then each stream: of one it says how many. Else what is wrong is looked for by halves.
    let asked = held["requests"].as_array().unwrap().len();
    assert!(if has_counts { asked < 10 } else { asked > 10 }, "{asked}");
    assert_eq!(own.iter().filter(|line| line.contains("refuses")).count(), 1, "{own:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_only_the_lines_too_far_behind_are_lost() {
    lose_few(&Loki::start().await, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_only_the_lines_that_loki_does_not_want_are_lost() {
    lose_few(&Loki::start().await, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loki_that_wants_no_line_is_not_asked_for_each_and_from_then_on_once_a_batch_until_it_wants_one() {
    let loki = Loki::start().await;
    loki.go().await;
    let log = Log::start(&loki.url(), &ALL_AT_ONCE);
    work(0..2000);
    eventually("it to be noticed", LIMIT, async || (log.own().len() == 2).then_some(())).await;
    loki.take_all_but("work").await;
    all_is_said().await;
    assert_eq!((sent(), dropped("refused"), all_dropped()), (0, 2000, 2000));
    let asked = async || loki.held().await["requests"].as_array().unwrap().len();
    let at_first = asked().await;
    assert!(at_first < 100, "{at_first}");
    work(0..2000);
    all_is_said().await;
    assert_eq!((sent(), dropped("refused"), all_dropped()), (0, 4000, 4000));
    let then = asked().await - at_first;
    assert!(then < 10, "{then}");
    loki.take_all_but("is_wrong").await;
    work(0..100);
    all_is_said().await;
    work(100..200);
    tracing::info!(is_wrong = true, "work");
    work(200..300);
    all_is_said().await;
    log.exporting.finish().await;
    assert_eq!((sent(), dropped("refused"), all_dropped()), (300, 4001, 4001));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_loki_is_left_alone_for_as_long_as_it_asks() {
    let loki = Loki::start().await;
    loki.answer(429, &[("retry-after", "2")]).await;
    let log = Log::start(&loki.url(), &[]);
    work(0..10);
    let asked = |held: &Value| Some(held["requests"].as_array()?.len()).filter(|asked| *asked > 0);
    loki.eventually("a request", asked).await;
    loki.come_back().await;
    loki.eventually("the lines", |held| (numbers(held).len() == 10).then_some(())).await;
    let held = loki.held().await;
    let at = |number: usize| held["requests"][number]["at"].as_f64().unwrap();
    assert!(at(1) - at(0) >= 2.0, "{}", held["requests"]);
    log.exporting.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_more_than_loki_takes_at_once_holds_up_no_line() {
    let loki = Loki::start().await;
    loki.go().await;
    let log = Log::start(&loki.url(), &[]);
    work(0..150);
    eventually("it to be noticed", LIMIT, async || (log.own().len() == 2).then_some(())).await;
    loki.be_busy_above(2000).await;
    loki.eventually("the lines", |held| (numbers(held).len() == 150).then_some(())).await;
    let held = loki.held().await;
    let whole = held["requests"][0]["bytes"].as_u64().unwrap();
    assert!(whole > 2000, "{whole}");
    assert_eq!((numbers(&held), all_dropped()), ((0..150).collect(), 0));
    log.exporting.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loki_that_stalls_costs_the_newest_lines_and_nobody_any_time() {
    let loki = Loki::start().await;
    loki.hang().await;
    let log = Log::start(&loki.url(), &SMALL);
    let began = Instant::now();
    work(0..5000);
    assert!(began.elapsed() < Duration::from_secs(9), "nobody waits for its 10 s: {:?}", began.elapsed());
    assert!(waiting() <= QUEUE_BYTES && waiting() > QUEUE_BYTES / 2, "{}", waiting());
    loki.come_back().await;
    all_is_said().await;
    log.exporting.finish().await;
    let held = loki.held().await;
    check(&held, 5000);
    assert_eq!((dropped("queue_full"), numbers(&held)[..100].to_vec()), (all_dropped(), (0..100).collect()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loki_that_goes_under_load_and_comes_back_gets_what_was_taken_and_no_word_of_it() {
    let loki = Loki::start().await;
    let log = Log::start(&loki.url(), &[("LOKI_BATCH_BYTES", "64KiB"), ("LOKI_QUEUE_BYTES", "1MiB")]);
    work(0..1000);
    loki.go().await;
    // At full counts it is away for three minutes, in which 10,000 lines a second are written.
    let (thousands, pause) = at_scale((50, Duration::ZERO), (1800, Duration::from_millis(100)));
    let before = resident_kib();
    let most = std::thread::spawn(move || {
        let thousands = (1..thousands).map(|thousand| {
            std::thread::sleep(pause);
            work(thousand * 1000..(thousand + 1) * 1000);
            (waiting(), resident_kib())
        });
        thousands.fold((0, 0), |(bytes, memory), (now, then)| (bytes.max(now), memory.max(then)))
    });
    let (bytes, memory) = most.join().unwrap();
    println!("waiting: {bytes} bytes at most of {}, resident memory: {before} KiB, then {memory} KiB", 1 << 20);
    assert!(bytes <= 1 << 20 && memory < before + 16 * 1024, "{bytes} {before} {memory}");
    eventually("it to be noticed", LIMIT, async || {
        log.own().iter().any(|line| line.contains("takes no log lines")).then_some(())
    })
    .await;
    loki.come_back().await;
    all_is_said().await;
    work(thousands * 1000..thousands * 1000 + 100);
    let own = log.own();
    log.exporting.finish().await;
    let held = loki.held().await;
    check(&held, thousands * 1000 + 100);
    assert_eq!(numbers(&held).last(), Some(&(thousands * 1000 + 99)));
    assert_eq!(own, ["sending this log", "Loki takes no log lines; they wait", "Loki takes log lines again"]);
    let about = held["entries"].as_array().unwrap().iter().filter(|entry| entry["metadata"]["target"] != "log").count();
    assert_eq!(about, 0, "neither its own lines nor those of what it sends with");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loki_that_is_gone_or_hangs_holds_up_no_end() {
    let loki = Loki::start().await;
    loki.hang().await;
    let log = Log::start(&loki.url(), &SMALL);
    work(0..100);
    eventually("it to be asked", LIMIT, async || (waiting() > 0).then_some(())).await;
    let began = Instant::now();
    log.exporting.finish().await;
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert_eq!((sent(), dropped("undelivered"), all_dropped()), (0, 100, 100));
    work(0..10);
    assert_eq!(dropped("undelivered"), 110, "what comes after that is counted, too");
    loki.come_back().await;
}
