//! Writes what a monitor would have written in many days, by the way it writes: each hour is sealed into chunks and roll-ups,
//! and what is too old goes. So that the size of a long history, and how soon a page of it is there, can be measured.
//!
//! `history_fill DATA_FOLDER SERVICES DAYS EVERY_SECONDS`: services are called `service-0` and so on, each has one check
//! `check`; latencies wander, one answer in a thousand fails.

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use monitor::record::{HistoryStore, Horizon, Mark, Point, ServiceDay, SqliteHistory, Tail};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// What is kept if nothing is configured: single points, minutes, hours (README, `history`).
const KEEP_DAYS: [i64; 3] = [2, 30, 400];

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let filled = runtime.context("no runtime").and_then(|runtime| runtime.block_on(fill()));
    match filled {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("history_fill: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn fill() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, services, days, every] = arguments.as_slice() else {
        bail!("usage: history_fill DATA_FOLDER SERVICES DAYS EVERY_SECONDS")
    };
    let services: u32 = services.parse().context("SERVICES is not a number")?;
    let days: i64 = days.parse().context("DAYS is not a number")?;
    let every_ms = every.parse::<i64>().context("EVERY_SECONDS is not a number")? * 1000;
    std::fs::create_dir_all(folder)?;
    let store = SqliteHistory::open(&Path::new(folder).join("history.db")).await?;
    let names: Vec<String> = (0..services).map(|number| format!("service-{number}/check")).collect();
    let ids = store.series(&names).await?;
    // The same data every time.
    let mut random = SmallRng::seed_from_u64(1);
    let end = Timestamp::now().as_millisecond() / HOUR_MS * HOUR_MS;
    for hour in (end - days * DAY_MS..end).step_by(usize::try_from(HOUR_MS)?) {
        let points: HashMap<u32, Vec<Point>> =
            ids.values().map(|id| (*id, hour_of(hour, every_ms, *id, &mut random))).collect();
        let [raw_ms, minutes_ms, hours_ms] = KEEP_DAYS.map(|days| hour + HOUR_MS - days * DAY_MS);
        store.seal(&Tail { next_seq: 0, points }, Horizon { raw_ms, minutes_ms, hours_ms }).await?;
        store.add_service_days(&verdicts(services, hour)).await?;
        let written = days - (end - hour) / DAY_MS;
        if hour.rem_euclid(10 * DAY_MS) == 0 {
            eprintln!("history_fill: {written} of {days} days");
        }
    }
    store.close().await;
    Ok(())
}

/// An hour of a check: phases within the interval, like a scheduler's, and latencies around a level of its own.
fn hour_of(hour: i64, every_ms: i64, id: u32, random: &mut SmallRng) -> Vec<Point> {
    let phase = i64::from(id) * 7919 % every_ms;
    let level = 2000 + id % 50 * 400;
    (hour + phase..hour + HOUR_MS)
        .step_by(usize::try_from(every_ms).unwrap_or(usize::MAX))
        .map(|at| {
            let mark = if random.random_ratio(1, 1000) { Mark::Fail } else { Mark::Pass };
            Point { at_ms: at + random.random_range(0..3), took_us: level + random.random_range(0..level), mark }
        })
        .collect()
}

/// One hour in fifty has a bad minute.
fn verdicts(services: u32, hour_ms: i64) -> Vec<ServiceDay> {
    let of = |service: u32, verdict: &str, ms| ServiceDay {
        service: format!("service-{service}"),
        day_ms: hour_ms - hour_ms.rem_euclid(DAY_MS),
        verdict: verdict.to_owned(),
        ms,
    };
    (0..services)
        .flat_map(|service| match (i64::from(service) + hour_ms / HOUR_MS) % 50 {
            0 => vec![of(service, "up", HOUR_MS - 60_000), of(service, "down", 60_000)],
            _ => vec![of(service, "up", HOUR_MS)],
        })
        .collect()
}
