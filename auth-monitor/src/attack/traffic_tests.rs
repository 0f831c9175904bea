//! How often the rules take ordinary people for attackers, and how soon they find one, on generated traffic.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::detector::Detector;
use super::event::{Event, What};
use super::finding::Finding;

const PEOPLE: u32 = 500;
const DAYS: i64 = 30;
const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;
/// Typing a password wrong, on most days and on the day after everybody had to choose a new one.
const WRONG_RATIO: (f64, f64) = (0.08, 0.25);
/// Whoever has forgotten the password tries so often, and then has it reset: 2 of 100 people a month.
const FORGETS_RATIO: f64 = 0.02 / 30.0;
const FORGOTTEN_TRIES: i64 = 5;

fn event(at_ms: i64, what: What, person: u32) -> Event {
    let email = Some(format!("person-{person}@example.com"));
    Event { number: 0, at_ms, what, email, address: Some([192, 0, 2, 7].into()) }
}

/// What the office does on one day: everybody signs in once between 8 and 9 h, one in five once more later.
fn day(random: &mut StdRng, day: i64, wrong_ratio: f64) -> Vec<Event> {
    let mut events = Vec::new();
    for person in 0..PEOPLE {
        let mut times = vec![random.random_range(8 * 60..9 * 60)];
        if random.random_bool(0.2) {
            times.push(random.random_range(10 * 60..18 * 60));
        }
        for minute in times {
            let mut at_ms = day * DAY_MS + minute * MINUTE_MS + random.random_range(0..MINUTE_MS);
            if random.random_bool(FORGETS_RATIO) {
                (0..FORGOTTEN_TRIES)
                    .for_each(|number| events.push(event(at_ms + number * 15_000, What::Failed, person)));
                continue;
            }
            while random.random_bool(wrong_ratio) {
                events.push(event(at_ms, What::Failed, person));
                at_ms += random.random_range(5_000..30_000);
            }
            events.push(event(at_ms, What::SignedIn, person));
        }
    }
    events.sort_by_key(|event| event.at_ms);
    events
}

#[test]
fn an_office_of_500_behind_one_address_is_no_attacker_in_thirty_days() {
    let mut random = StdRng::seed_from_u64(testkit::seed());
    let (mut detector, mut alarms, mut looked, mut failures, mut worst) = (Detector::default(), Vec::new(), 0, 0, 0);
    for number in 0..DAYS {
        let wrong_ratio = if number == 15 { WRONG_RATIO.1 } else { WRONG_RATIO.0 };
        let mut events = day(&mut random, number, wrong_ratio).into_iter().peekable();
        for minute in 0..DAY_MS / MINUTE_MS {
            let now_ms = number * DAY_MS + (minute + 1) * MINUTE_MS;
            while let Some(event) = events.next_if(|event| event.at_ms < now_ms) {
                failures += u32::from(event.what == What::Failed);
                detector.take(&event, now_ms);
            }
            alarms.extend(detector.findings(now_ms));
            looked += 1;
            worst = worst.max(detector.worst_source());
        }
    }
    println!("{} alarms in {looked} minutes, {failures} failures, at worst {worst} accounts at once", alarms.len());
    assert_eq!((alarms, looked), (Vec::new(), 43_200));
    assert!(failures > 1000, "{failures}");
}

#[test]
fn an_attacker_within_that_office_is_found_before_its_hundredth_account() {
    let mut random = StdRng::seed_from_u64(testkit::seed());
    let mut detector = Detector::default();
    let eight = 8 * 60 * MINUTE_MS;
    for event in day(&mut random, 0, WRONG_RATIO.0).iter().filter(|event| event.at_ms < eight + 10 * MINUTE_MS) {
        detector.take(event, event.at_ms);
    }
    // One account a second, none twice, one in a hundred with the right password.
    let begins = eight + 10 * MINUTE_MS;
    let found = (0..600).find(|number| {
        let at_ms = begins + i64::from(*number) * 1000;
        let what = if number % 100 == 99 { What::SignedIn } else { What::Failed };
        detector.take(&event(at_ms, what, 10_000 + number), at_ms);
        detector.findings(at_ms).iter().any(|finding| matches!(finding, Finding::Stuffing { .. }))
    });
    println!("found at account {found:?}");
    assert!(found.is_some_and(|number| number < 100), "{found:?}");
}
