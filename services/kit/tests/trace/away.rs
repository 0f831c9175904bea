//! Collectors that refuse, stall, are full or away: what waits is bounded, what is lost is counted, and nobody is held up.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kit::trace::{Kind, Span};
use testkit::{Response, Target, at_scale, eventually, free_port, resident_kib};

use crate::{end_spans, export, figures};

const SHORT_QUEUE: [(&str, &str); 2] = [("OTEL_BSP_MAX_QUEUE_SIZE", "10"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5")];
const LIMIT: Duration = Duration::from_secs(20);

/// Ends 100 spans at once, of which 10 find room, and finishes.
async fn lose(endpoint: &str, reason: &str, expected: [u64; 3]) {
    let exporting = export(endpoint, SHORT_QUEUE);
    // Nothing is taken out of the queue before somebody else may run.
    end_spans(100);
    assert_eq!(figures("queue_full"), [0, 90, 0]);
    exporting.finish().await;
    assert_eq!(figures(reason), expected);
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_its_spans_and_nothing_else() {
    lose(&format!("http://127.0.0.1:{}", free_port()), "undelivered", [0, 10, 90]).await;
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_never_answers_holds_up_no_stop() {
    lose(&Target::stall().url("/"), "undelivered", [0, 10, 90]).await;
}

#[tokio::test]
async fn what_a_collector_refuses_is_not_sent_again() {
    let target = Target::answer(400, &[], "");
    lose(&target.url("/"), "refused", [0, 10, 90]).await;
    assert_eq!(target.requests().len(), 2);
}

#[tokio::test]
async fn what_a_busy_collector_did_not_take_is_sent_again() {
    let (target, asked_at) = busy_for_two_seconds(503);
    let exporting = export(&target.url("/"), []);
    end_spans(3);
    eventually("the spans to be taken", LIMIT, async || (figures("refused") == [3, 0, 0]).then_some(())).await;
    let requests = target.requests();
    assert!(requests.len() == 3 && requests.iter().all(|request| request.body == requests[0].body));
    assert!(wait_of(&asked_at) >= Duration::from_secs(2), "{asked_at:?}");
    exporting.finish().await;
}

#[tokio::test]
async fn a_busy_collector_that_names_no_time_is_not_asked_without_a_pause() {
    let target = Target::answer(429, &[("retry-after", "0")], "");
    let exporting = export(&target.url("/"), [("OTEL_BSP_EXPORT_TIMEOUT", "1000")]);
    end_spans(3);
    eventually("them to be lost", LIMIT, async || (figures("undelivered") == [0, 3, 0]).then_some(())).await;
    // The shortest pauses are 0.1, 0.2, 0.4 and 0.8 s.
    let asked = target.requests().len();
    assert!((1..=4).contains(&asked), "{asked}");
    exporting.finish().await;
}

#[tokio::test]
async fn a_busy_collector_is_left_alone_for_as_long_as_it_asks_even_by_the_next_batch() {
    let (target, asked_at) = busy_for_two_seconds(200);
    let exporting =
        export(&target.url("/"), [("OTEL_BSP_EXPORT_TIMEOUT", "1000"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")]);
    end_spans(1);
    eventually("it to be lost", LIMIT, async || (figures("undelivered") == [0, 1, 0]).then_some(())).await;
    end_spans(1);
    eventually("the next to be taken", LIMIT, async || (figures("undelivered") == [1, 1, 0]).then_some(())).await;
    assert!(wait_of(&asked_at) >= Duration::from_secs(2), "{asked_at:?}");
    exporting.finish().await;
}

type Times = Arc<Mutex<Vec<Instant>>>;

/// A collector that answers 429 and asks for 2 s, then answers with `second`, then takes everything; and when it was asked.
fn busy_for_two_seconds(second: u16) -> (Target, Times) {
    let times = Times::default();
    let seen = times.clone();
    let target = Target::respond_with(move |_| {
        let mut seen = seen.lock().unwrap();
        seen.push(Instant::now());
        match seen.len() {
            1 => Response::new(429, "").with_header("retry-after", "2"),
            2 => Response::new(second, ""),
            _ => Response::new(200, ""),
        }
    });
    (target, times)
}

/// Returns the time between the first request and the second.
fn wait_of(times: &Times) -> Duration {
    let times = times.lock().unwrap();
    times[1] - times[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_under_load_costs_what_finds_no_room_and_no_memory() {
    let target = Target::answer(503, &[], "");
    lose_under_load(&target.url("/"), || target.set_status(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_gone_under_load_costs_what_finds_no_room_and_no_memory() {
    let port = free_port();
    lose_under_load(&format!("http://127.0.0.1:{port}"), || Target::ok_at(port)).await;
}

/// Ends more spans than find room while nobody takes any, until what `come_back` brings does.
async fn lose_under_load<T>(endpoint: &str, come_back: impl FnOnce() -> T) {
    let exporting = export(endpoint, []);
    // At full counts it is away for three minutes, in which 10,000 spans a second end.
    let (rounds, pause) = at_scale((50, Duration::ZERO), (1800, Duration::from_millis(100)));
    let before = resident_kib();
    let load = std::thread::spawn(move || {
        let spans = (0..rounds).map(|_| {
            std::thread::sleep(pause);
            end_spans(1000);
            resident_kib()
        });
        spans.max().unwrap()
    });
    let most = load.join().unwrap();
    println!("resident memory: {before} KiB, then {most} KiB");
    assert!(most < before + 16 * 1024, "{before} {most}");
    let _collector = come_back();
    let ended = u64::try_from(rounds * 1000).unwrap();
    // What was tried for 30 s is lost, too.
    let all_are_told = async || {
        let [[sent, full, _], [_, late, others]] = ["queue_full", "undelivered"].map(figures);
        (sent > 0 && others == full && sent + full + late == ended).then_some([sent, full, late])
    };
    let [sent, full, late] = eventually("taken and dropped to be all", LIMIT, all_are_told).await;
    println!("of {ended} spans {sent} were taken, {full} found no room, {late} were tried for too long");
    exporting.finish().await;
}

#[tokio::test]
async fn what_waits_takes_no_more_memory_for_long_paths() {
    let target = Target::stall();
    let exporting = export(&target.url("/"), []);
    let before = resident_kib();
    for number in 0..2048 {
        let mut span = Span::step(Kind::Server, "GET");
        span.set("url.path", format!("/{number}/{}", "x".repeat(60 * 1024)));
        span.fail("500", "y".repeat(60 * 1024));
    }
    assert_eq!(figures("queue_full"), [0, 0, 0]);
    let after = resident_kib();
    println!("2048 spans of 120 KiB wait, resident memory: {before} KiB, then {after} KiB");
    assert!(after < before + 16 * 1024, "{before} {after}");
    drop(exporting);
}
