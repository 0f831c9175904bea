//! What is asked by another way before a restart, and what the answers do, with a whole ward.

use super::super::clinic::{Clinic, at, observation};
use super::super::record::HealAction;
use super::super::settings::HealSettings;
use super::*;
use crate::judge::CheckSpec;
use crate::probe::{ReasonCode, Seen};
use crate::supervise::{Described, Event, Way};

/// Published at 127.0.0.1:8080, which is what its check asks, and at an address of its own.
fn published(outside: &str) -> Clinic {
    let mut clinic = Clinic::new(&[("web", &[])], HealSettings::default());
    clinic.publish("web", outside, "172.18.0.3:80");
    clinic
}

fn hold(clinic: &Clinic) -> String {
    clinic.ward.patient("web").unwrap().hold.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn fail(code: ReasonCode) -> Outcome {
    Outcome::fail(code, "no answer")
}

#[test]
fn only_what_fails_by_the_other_way_too_is_restarted() {
    for (outside, code, answer, expected) in [
        ("0.0.0.0:8080", ReasonCode::Timeout, Outcome::Pass, "down, only_we_cannot_reach: 0 heals, asked"),
        ("127.0.0.1:8080", ReasonCode::Refused, Outcome::Pass, "down, only_we_cannot_reach: 0 heals, asked"),
        ("0.0.0.0:8080", ReasonCode::Timeout, fail(ReasonCode::Timeout), "up: 1 heals, asked"),
        ("0.0.0.0:8080", ReasonCode::Reset, fail(ReasonCode::Refused), "up: 1 heals, asked"),
        // It answers, and wrongly: that is no pass.
        ("0.0.0.0:8080", ReasonCode::Timeout, fail(ReasonCode::Status), "up: 1 heals, asked"),
        ("0.0.0.0:8080", ReasonCode::Timeout, Outcome::local("no socket"), "up: 1 heals, asked"),
        // There is no other way to what is asked.
        ("0.0.0.0:8081", ReasonCode::Timeout, Outcome::Pass, "up: 1 heals, not asked"),
        ("10.0.0.5:8080", ReasonCode::Timeout, Outcome::Pass, "up: 1 heals, not asked"),
        // No restart cures it anyway.
        ("0.0.0.0:8080", ReasonCode::Status, Outcome::Pass, "down, incurable: 0 heals, not asked"),
    ] {
        let mut clinic = published(outside);
        clinic.by_another_way.0 = Some(answer.clone());
        clinic.fall_ill("web", code, Some(1));
        clinic.run_until(clinic.now + 300);
        let asked = if clinic.inquiries.is_empty() { "not asked" } else { "asked" };
        let stands = format!("{}: {} heals, {asked}", clinic.stands("web"), clinic.heals.len());
        assert_eq!(stands, expected, "{outside} {code:?} {answer:?}");
    }
}

#[test]
fn what_works_by_the_other_way_says_where_and_is_asked_again_until_it_does_not() {
    let mut clinic = published("0.0.0.0:8080");
    clinic.by_another_way.0 = Some(Outcome::Pass);
    clinic.fall_ill("web", ReasonCode::Timeout, Some(1));
    clinic.run_until(clinic.now + 300);
    assert_eq!(
        hold(&clinic),
        "only we cannot reach it: web answers at 172.18.0.3:80, its own address; the way by 127.0.0.1:8080 does not work"
    );
    let times: Vec<i64> = clinic.inquiries.iter().map(|(at, _)| *at).collect();
    let pauses: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.len() >= 8 && pauses.iter().all(|pause| (30..=32).contains(pause)), "{pauses:?}");
    clinic.by_another_way.0 = Some(fail(ReasonCode::Timeout));
    clinic.run_until(clinic.now + 60);
    assert_eq!((clinic.stands("web").as_str(), clinic.heals.len()), ("up", 1));
}

#[test]
fn an_exit_is_believed_and_nobody_is_asked() {
    let mut clinic = published("0.0.0.0:8080");
    clinic.by_another_way.0 = Some(Outcome::Pass);
    clinic.crash("web", 1);
    clinic.run_until(clinic.now + 60);
    assert_eq!((clinic.stands("web").as_str(), clinic.inquiries.len()), ("up", 0));
    assert_eq!(clinic.heals.iter().map(|(.., action)| *action).collect::<Vec<_>>(), [HealAction::Start]);
}

/// Runs until it is asked, and returns when that was.
fn until_asked(clinic: &mut Clinic) -> i64 {
    let (before, began) = (clinic.inquiries.len(), clinic.now);
    while clinic.inquiries.len() == before {
        assert!(clinic.now < began + 300, "it is never asked");
        clinic.run_until(clinic.now + 1);
    }
    clinic.now
}

#[test]
fn a_restart_waits_for_the_answer_and_no_longer_than_a_probe_may_take() {
    for (answer, takes, longest) in
        [(Some(fail(ReasonCode::Timeout)), 3, 4), (None, 0, 5), (Some(Outcome::Pass), 20, 5)]
    {
        let mut clinic = published("0.0.0.0:8080");
        clinic.by_another_way = (answer.clone(), takes);
        clinic.fall_ill("web", ReasonCode::Timeout, Some(1));
        let asked = until_asked(&mut clinic);
        clinic.run_until(asked + 2);
        assert_eq!((clinic.heals.len(), clinic.inquiries.len()), (0, 1), "one question at a time: {answer:?}");
        clinic.run_until(asked + 60);
        let healed: Vec<i64> = clinic.heals.iter().map(|(at, ..)| *at - asked).collect();
        assert!(healed.len() == 1 && healed[0] <= longest, "{answer:?} after {takes} s: {healed:?}");
    }
}

/// What is asked of a run whose check fails since this second.
fn inquiry(run: u128, failing_since: i64) -> Inquiry {
    let around = [("127.0.0.1:8080".parse().unwrap(), "172.18.0.3:80".parse().unwrap())];
    let detour = Detour::around(&Address::parse("localhost:8080").unwrap(), None, around).unwrap();
    let failing_since = at(failing_since).at;
    let checks = vec![Inquired { check: CheckId::new("web", "web"), detour, failing_since }];
    let (at, patience) = (at(100).at, Duration::from_secs(3));
    Inquiry { service: "web".into(), checks, run: Uuid::from_u128(run), at, patience }
}

#[test]
fn an_answer_says_nothing_of_another_run_or_another_streak_of_fails_and_grows_old() {
    // What is told of run 1, failing since 90, at 102.
    for (outcome, run, failing_since, now, expected) in [
        (Outcome::Pass, 1, 90, 102, "works"),
        (Outcome::Pass, 1, 90, 161, "works"),
        (Outcome::Pass, 1, 90, 162, "unknown"),
        (Outcome::Pass, 2, 90, 102, "unknown"),
        (Outcome::Pass, 1, 101, 102, "unknown"),
        (fail(ReasonCode::Timeout), 1, 90, 102, "restart"),
        (fail(ReasonCode::Timeout), 1, 90, 117, "restart"),
        (fail(ReasonCode::Timeout), 1, 90, 118, "unknown"),
        (fail(ReasonCode::Timeout), 2, 90, 102, "unknown"),
        (fail(ReasonCode::Timeout), 1, 101, 102, "unknown"),
    ] {
        let mut elsewhere = Elsewhere { waiting: Some(inquiry(1, 90)), ..Elsewhere::default() };
        let seen = Seen { address: Some("172.18.0.3:80".parse().unwrap()), ..Seen::default() };
        let found = Observation { seen, ..observation(CheckId::new("web", "web"), outcome.clone(), 101) };
        elsewhere.answered(&inquiry(7, 90), std::slice::from_ref(&found), at(101).at);
        assert!(elsewhere.is_waiting(), "that was another question");
        elsewhere.answered(&inquiry(1, 90), &[found], at(102).at);
        let (asked, now) = (inquiry(run, failing_since), at(now).at);
        let stands = match (elsewhere.passed(&asked, now), elsewhere.failed(&asked, now)) {
            (Some(_), false) => "works",
            (None, true) => "restart",
            (None, false) => "unknown",
            (Some(_), true) => "both",
        };
        assert_eq!(stands, expected, "{outcome:?}, run {run} failing since {failing_since}, at {now:?}");
    }
}

#[test]
fn what_is_written_down_is_done_only_while_what_was_heard_is_fresh() {
    let mut clinic = published("0.0.0.0:8080");
    clinic.fall_ill("web", ReasonCode::Timeout, None);
    clinic.holds_orders = true;
    until_asked(&mut clinic);
    while clinic.heals.is_empty() {
        clinic.run_until(clinic.now + 1);
    }
    let nobody = |_: &str| None;
    let now = at(clinic.now);
    assert!(clinic.ward.is_still_due(&clinic.board, "web", HealAction::Restart, nobody, now));
    clinic.now += 20;
    let now = at(clinic.now);
    assert!(!clinic.ward.is_still_due(&clinic.board, "web", HealAction::Restart, nobody, now));
}

#[test]
fn of_many_that_fail_at_once_a_few_are_asked_at_a_time() {
    let names: Vec<String> = (0..100).map(|index| format!("unit-{index}")).collect();
    let services: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), [].as_slice())).collect();
    let mut clinic = Clinic::new(&services, HealSettings::default());
    clinic.by_another_way = (Some(Outcome::Pass), 2);
    for name in &names {
        clinic.publish(name, "0.0.0.0:8080", "172.18.0.3:80");
        clinic.fall_ill(name, ReasonCode::Timeout, None);
    }
    clinic.run_until(clinic.now + 120);
    for (from, _) in &clinic.inquiries {
        let open = clinic.inquiries.iter().filter(|(at, _)| (*from..*from + 2).contains(at)).count();
        assert!(open <= 32, "{open} at {from}");
    }
    assert!(names.iter().all(|name| clinic.stands(name) == "down, only_we_cannot_reach"));
    assert!(clinic.heals.is_empty());
}

/// A service whose two checks ask these addresses and both fail; it is published at 8080 and 8081.
fn two_that_fail(web: &str, api: &str) -> Option<Inquiry> {
    let mut clinic = Clinic::new(&[("web", &[])], HealSettings::default());
    let mut spec = clinic.board.service("web").unwrap().spec.clone();
    let second = CheckSpec { name: "api".into(), ..spec.checks[0].clone() };
    spec.checks.push(second);
    clinic.board.configure(vec![spec], at(clinic.now), |_| None);
    let way =
        |port: u16, inside: u16| Way { outside: ([0, 0, 0, 0], port).into(), inside: ([172, 18, 0, 3], inside).into() };
    let described = Box::new(Described { ways: vec![way(8080, 80), way(8081, 81)], ..Described::default() });
    clinic.board.runtime(&Event::Described { service: "web".to_owned(), described }, at(clinic.now));
    for (turn, outcome) in (clinic.now..).zip([vec![Outcome::Pass], vec![fail(ReasonCode::Timeout); 3]].concat()) {
        for check in ["web", "api"] {
            let sequence = clinic.board.next_sequence();
            let seen = observation(CheckId::new("web", check), outcome.clone(), turn);
            clinic.board.observe(seen.into(), sequence, at(turn));
        }
    }
    let stop = |check: &str, address: &str| Stop {
        check: check.into(),
        address: Address::parse(address).unwrap(),
        timeout: Duration::from_secs(3),
    };
    Inquiry::of(clinic.board.service("web").unwrap(), &[stop("web", web), stop("api", api)], at(clinic.now).at)
}

#[test]
fn everything_that_fails_must_pass_by_its_own_other_way() {
    let inquiry = two_that_fail("127.0.0.1:8080", "localhost:8081").unwrap();
    let found = |web: Outcome, api: Outcome| {
        [("web", web, "172.18.0.3:80"), ("api", api, "172.18.0.3:81")].map(|(check, outcome, address)| Observation {
            seen: Seen { address: Some(address.parse().unwrap()), ..Seen::default() },
            ..observation(CheckId::new("web", check), outcome, 6)
        })
    };
    assert_eq!(
        inquiry.works(&found(Outcome::Pass, Outcome::Pass)).unwrap(),
        "web answers at 172.18.0.3:80, api answers at 172.18.0.3:81, its own address; the ways by 127.0.0.1:8080 and \
         localhost:8081 do not work"
    );
    assert_eq!(inquiry.works(&found(Outcome::Pass, fail(ReasonCode::Status))), None);
    assert_eq!(inquiry.works(&found(Outcome::Pass, Outcome::local("no socket"))), None);
    assert_eq!(inquiry.works(&found(Outcome::Pass, Outcome::Pass)[..1]), None, "one was not asked");
    for other in ["example.com:443", "127.0.0.1:8082"] {
        assert_eq!(two_that_fail("127.0.0.1:8080", other), None, "{other} cannot be asked by another way");
    }
}
