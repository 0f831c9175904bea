//! The board as tables: observations and events in, verdicts out.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{Moment, Stamp};
use uuid::Uuid;

use super::super::check::{CheckState, Health};
use super::super::entry::CheckSpec;
use super::super::entry::ServiceSpec;
use super::super::policy::{Policy, Severity, Threshold};
use super::super::verdict::Verdict;
use super::Board;
use crate::probe::{CheckId, Observation, Outcome, Reason, ReasonCode, Seen, Why};
use crate::schedule::Gap;
use crate::supervise::cause::{Cause, Exit};
use crate::supervise::process::Ending;
use crate::supervise::{Event, Rest, Who};

/// Both clocks at a second; the wall clock may be elsewhere.
pub(in crate::judge) fn at(secs: i64) -> Stamp {
    Stamp { at: Moment::from_ms(secs * 1000), wall: Timestamp::from_second(1_800_000_000 + secs).unwrap() }
}

fn policy(severity: Severity) -> Policy {
    let two = NonZeroU32::new(2).unwrap();
    Policy { fail_after: Threshold::InARow(two), recover_after: two, severity, ..Policy::STANDARD }
}

pub(in crate::judge) fn check(name: &str, severity: Severity) -> CheckSpec {
    CheckSpec { name: name.into(), policy: policy(severity), pushed: false, generation: 1 }
}

pub(in crate::judge) fn spec(name: &str, needs: &[&str], grace: Option<u64>) -> ServiceSpec {
    ServiceSpec {
        name: name.into(),
        hard_needs: needs.iter().map(|need| (*need).into()).collect(),
        checks: vec![check("web", Severity::Critical), check("cert", Severity::Warning)],
        ready: None,
        runtime: None,
        replicas: None,
        replica_of: None,
        start_grace: grace.map(Duration::from_secs),
    }
}

pub(in crate::judge) fn board(specs: Vec<ServiceSpec>) -> Board {
    let mut board = Board::starting_at(100);
    board.configure(specs, at(0), |_| None);
    board
}

pub(in crate::judge) fn observation(check: &CheckId, symbol: char, now: Stamp) -> Arc<Observation> {
    let reason = Reason::new(ReasonCode::Refused, "refused");
    let outcome = match symbol {
        '.' => Outcome::Pass,
        'x' => Outcome::Fail(reason),
        _ => Outcome::Unknown(reason),
    };
    Arc::new(Observation {
        check: check.clone(),
        started: now,
        took: Duration::from_millis(5),
        phases: Vec::new(),
        outcome,
        soft: Vec::new(),
        seen: Seen::default(),
        why: Why::Schedule,
        trace_id: String::new(),
        is_recorded: false,
    })
}

/// Feeds a service's critical check one symbol every ten seconds from `from` on, the other check passing.
pub(in crate::judge) fn feed(board: &mut Board, service: &str, history: &str, from: i64) -> Vec<String> {
    let mut changes = Vec::new();
    for (turn, symbol) in (0..).zip(history.chars()) {
        let now = at(from + turn * 10);
        for (check, symbol) in [("cert", '.'), ("web", symbol)] {
            let started = board.next_sequence();
            let effects = board.observe(observation(&CheckId::new(service, check), symbol, now), started, now);
            changes.extend(effects.verdicts.iter().map(|change| format!("{}@{turn}", change.to.as_str())));
        }
    }
    changes
}

pub(in crate::judge) fn started(service: &str, now: Stamp) -> Event {
    Event::Started {
        service: service.to_owned(),
        run: Uuid::from_u128(u128::from(now.at.as_ms().unsigned_abs())),
        pid: Some(7),
        by: Who::Us,
        adopted: false,
        stamp: now,
    }
}

pub(in crate::judge) fn ended(service: &str, run_of: Stamp, now: Stamp, planned: bool) -> Event {
    let run = Uuid::from_u128(u128::from(run_of.at.as_ms().unsigned_abs()));
    let ending = Ending {
        exit: Exit::Code(1),
        cause: Cause::Crashed { code: 1 },
        at: now,
        stopped: None,
        last_lines: vec!["boom".to_owned()],
        record: None,
    };
    Event::Ended { service: service.to_owned(), run, by: Who::Runtime, planned, ending }
}

#[test]
fn a_service_without_a_workload_follows_its_checks() {
    let mut board = board(vec![spec("shop", &[], None)]);
    assert_eq!(feed(&mut board, "shop", "..xx..", 0), ["up@0", "down@3", "up@5"]);
    assert_eq!(board.service("shop").unwrap().why, "");
}

#[test]
fn while_it_starts_fails_move_nothing_and_the_end_of_the_grace_says_what_never_worked() {
    let mut board = board(vec![spec("shop", &[], Some(60))]);
    board.runtime(&started("shop", at(0)), at(0));
    assert_eq!(feed(&mut board, "shop", "xxxx", 0), Vec::<String>::new());
    assert_eq!(board.service("shop").unwrap().verdict, Verdict::Starting);
    let changes = board.tick(at(61)).verdicts;
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].why, "did not work within 1m of its start: refused");
    assert_eq!(changes[0].to, Verdict::Down);
    assert_eq!(feed(&mut board, "shop", ".", 70), ["up@0"], "one pass is enough to be believed after a start");
}

#[test]
fn where_one_check_decides_on_readiness_its_pass_ends_the_start() {
    let mut service = spec("shop", &[], Some(60));
    service.ready = Some("cert".into());
    let mut board = board(vec![service]);
    board.runtime(&started("shop", at(0)), at(0));
    let observe = |board: &mut Board, check: &str, symbol: char, secs: i64| {
        let (id, sequence) = (CheckId::new("shop", check), board.next_sequence());
        board.observe(observation(&id, symbol, at(secs)), sequence, at(secs));
        board.service("shop").unwrap().verdict
    };
    assert_eq!(observe(&mut board, "web", 'x', 1), Verdict::Starting);
    assert_eq!(observe(&mut board, "web", '.', 2), Verdict::Starting, "another check decides");
    assert_ne!(observe(&mut board, "cert", '.', 3), Verdict::Starting);
    assert!(board.service("shop").unwrap().is_ready());
}

#[test]
fn a_crash_that_is_over_at_once_is_no_outage_and_one_that_lasts_is_down_with_its_cause() {
    let mut board = board(vec![spec("shop", &[], Some(60))]);
    board.runtime(&started("shop", at(0)), at(0));
    feed(&mut board, "shop", ".", 1);
    board.runtime(&ended("shop", at(0), at(20), false), at(20));
    assert_eq!(board.service("shop").unwrap().verdict, Verdict::Starting);
    board.runtime(&started("shop", at(21)), at(21));
    feed(&mut board, "shop", ".", 22);
    assert_eq!(board.service("shop").unwrap().verdict, Verdict::Up);
    board.runtime(&ended("shop", at(21), at(40), false), at(40));
    board.tick(at(46));
    let shop = board.service("shop").unwrap();
    assert_eq!((shop.verdict, shop.why.as_str()), (Verdict::Down, "exited with code 1: boom"));
    assert_eq!(shop.workload.as_ref().unwrap().lines.last(), ["boom"]);
}

#[test]
fn the_first_fail_of_a_dependant_asks_what_it_needs_and_the_first_to_fail_is_the_root() {
    let mut board = board(vec![spec("db", &[], None), spec("api", &["db"], None), spec("web", &["api"], None)]);
    for name in ["db", "api", "web"] {
        feed(&mut board, name, ".", 0);
    }
    let now = at(10);
    let effects = board.observe(observation(&CheckId::new("web", "web"), 'x', now), 1, now);
    assert_eq!(effects.force, [CheckId::new("api", "web")]);
    for (name, from) in [("db", 20), ("api", 25), ("web", 30)] {
        feed(&mut board, name, "xx", from);
    }
    let blocked_by = |name: &str| board.service(name).unwrap().blocked_by.as_deref().map(str::to_owned);
    assert_eq!(
        (blocked_by("web"), blocked_by("api"), blocked_by("db")),
        (Some("db".to_owned()), Some("db".to_owned()), None)
    );
}

#[test]
fn a_failing_dependant_of_a_working_need_is_blocked_by_nobody() {
    let mut board = board(vec![spec("db", &[], None), spec("web", &["db"], None)]);
    feed(&mut board, "db", ".", 0);
    feed(&mut board, "web", ".xx", 0);
    assert_eq!(board.service("web").unwrap().blocked_by, None);
}

#[test]
fn no_news_grows_stale_then_blind_and_a_gap_excuses_the_silence() {
    let mut board = board(vec![spec("shop", &[], None)]);
    feed(&mut board, "shop", ".", 0);
    board.tick(at(50));
    assert_eq!(board.service("shop").unwrap().verdict, Verdict::Stale);
    assert!(!board.check(&CheckId::new("shop", "web")).unwrap().is_blind(at(200).at));
    assert!(board.check(&CheckId::new("shop", "web")).unwrap().is_blind(at(300).at));
    board.gap(Gap { from: at(50).at, to: at(400).at });
    board.tick(at(410));
    assert_eq!(board.service("shop").unwrap().verdict, Verdict::Up);
}

#[test]
fn a_jump_of_the_wall_clock_changes_nothing() {
    let mut board = board(vec![spec("shop", &[], None)]);
    feed(&mut board, "shop", ".x", 0);
    // A year ahead, then ten years back, while ten seconds pass.
    for (wall, symbol) in [(31_536_000, '.'), (-315_360_000, 'x')] {
        let now = Stamp { at: at(20).at, wall: Timestamp::from_second(1_800_000_000 + wall).unwrap() };
        let effects = board.observe(observation(&CheckId::new("shop", "web"), symbol, now), 1, now);
        assert!(effects.verdicts.is_empty());
        assert!(board.tick(now).verdicts.is_empty());
    }
}

#[test]
fn what_an_earlier_monitor_knew_is_no_news_and_its_streak_goes_on() {
    let mut board = Board::starting_at(0);
    let one_fail = CheckState {
        established: Some(Health::Up),
        fails: 1,
        known_at: Some(at(0).at),
        heard_at: Some(at(0).at),
        ..CheckState::default()
    };
    board.configure(vec![spec("shop", &[], None)], at(0), |id| (&*id.check == "web").then_some(one_fail));
    board.restore_verdict("shop", Verdict::Up, String::new(), at(-100));
    assert_eq!(feed(&mut board, "shop", ".", 1), Vec::<String>::new());
    assert_eq!(board.service("shop").unwrap().since, at(-100));
    let mut board = Board::starting_at(0);
    board.configure(vec![spec("shop", &[], None)], at(0), |id| (&*id.check == "web").then_some(one_fail));
    board.restore_verdict("shop", Verdict::Up, String::new(), at(-100));
    assert_eq!(feed(&mut board, "shop", "x", 1), ["down@0"], "the second fail in a row, across the restart");
}

#[test]
fn a_reload_keeps_what_stays() {
    let mut board = board(vec![spec("shop", &[], None), spec("old", &[], None)]);
    feed(&mut board, "shop", "..x", 0);
    let before = board.check(&CheckId::new("shop", "web")).unwrap().state;
    board.configure(vec![spec("new", &[], None), spec("shop", &["new"], None)], at(40), |_| None);
    assert_eq!(board.check(&CheckId::new("shop", "web")).unwrap().state, before);
    assert!(board.service("old").is_none());
    assert_eq!(board.service("new").unwrap().verdict, Verdict::Unknown);
}

#[test]
fn what_nobody_could_ask_is_unknown_and_never_down() {
    let mut board = board(vec![spec("shop", &[], Some(60))]);
    board.runtime(&started("shop", at(0)), at(0));
    feed(&mut board, "shop", "????????", 0);
    board.tick(at(80));
    assert_eq!(board.service("shop").unwrap().verdict, Verdict::Unknown);
}

#[test]
fn a_check_that_a_reload_adds_to_a_running_service_is_judged_by_itself() {
    let mut board = board(vec![spec("shop", &[], Some(60))]);
    board.runtime(&started("shop", at(0)), at(0));
    feed(&mut board, "shop", ".", 0);
    let mut more = spec("shop", &[], Some(60));
    more.checks.push(check("new", Severity::Critical));
    board.configure(vec![more], at(100), |_| None);
    board.tick(at(101));
    assert_ne!(board.service("shop").unwrap().verdict, Verdict::Down);
}

#[test]
fn answers_to_another_question_or_of_another_run_do_not_count() {
    let mut board = board(vec![spec("shop", &[], Some(60))]);
    let old = board.next_sequence();
    board.runtime(&started("shop", at(0)), at(0));
    let id = CheckId::new("shop", "web");
    board.observe(observation(&id, '.', at(0)), old, at(1));
    assert!(board.check(&id).unwrap().pass_starts.is_empty(), "it asked the run before");
    feed(&mut board, "shop", "..", 2);
    assert_eq!(board.check(&id).unwrap().pass_starts.len(), 2);
    let mut other = spec("shop", &[], Some(60));
    other.checks[0].generation = 2;
    board.configure(vec![other], at(30), |_| None);
    let check = board.check(&id).unwrap();
    assert!(check.pass_starts.is_empty() && check.last.is_none() && check.state.established.is_none());
}

#[test]
fn a_push_counts_once_however_often_it_is_looked_at() {
    let mut spec = spec("job", &[], None);
    spec.checks[0].pushed = true;
    let mut board = board(vec![spec]);
    let id = CheckId::new("job", "web");
    feed(&mut board, "job", "..", 0);
    assert!(board.check(&id).unwrap().pass_starts.is_empty());
    board.push(&id);
    feed(&mut board, "job", "...", 20);
    assert_eq!(board.check(&id).unwrap().pass_starts.len(), 1);
}

#[test]
fn while_its_runtime_cannot_be_asked_nothing_is_starting_or_up_and_what_was_stopped_stays_so() {
    let mut board = board(vec![spec("shop", &[], Some(60)), spec("idle", &[], Some(60))]);
    let sight =
        |service: &str, lost: Option<&str>| Event::Sight { service: service.to_owned(), lost: lost.map(str::to_owned) };
    let rest = Event::Resting { service: "idle".to_owned(), rest: Rest::Stopped, why: None };
    board.runtime(&rest, at(0));
    for service in ["shop", "idle"] {
        board.runtime(&sight(service, Some("the engine does not answer")), at(1));
    }
    assert_eq!(feed(&mut board, "shop", "xx", 2), ["down@1"], "its checks decide, though it never began for us");
    assert_eq!(feed(&mut board, "idle", "xxx", 2), Vec::<String>::new());
    board.runtime(&started("shop", at(30)), at(30));
    feed(&mut board, "shop", "..", 31);
    let shop = board.service("shop").unwrap();
    assert_eq!((shop.verdict, shop.why.as_str()), (Verdict::Unknown, "the engine does not answer"));
    board.runtime(&sight("shop", None), at(60));
    assert_eq!(board.service("shop").unwrap().verdict, Verdict::Up);
}
