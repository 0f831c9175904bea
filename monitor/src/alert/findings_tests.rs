//! Findings as stories: what a board goes through, and the one ticket that comes of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{Moment, Stamp};
use uuid::Uuid;

use super::super::condition::Holds;
use super::super::verdicts::{ServiceAlerts, conditions};
use crate::judge::{Announcement, Board, ServiceSpec, Verdict};
use crate::supervise::cause::{Cause, Exit};
use crate::supervise::process::Ending;
use crate::supervise::{Event, Run, Who};

fn at(secs: i64) -> Stamp {
    Stamp { at: Moment::from_ms(secs * 1000), wall: Timestamp::from_second(1_800_000_000 + secs).unwrap() }
}

fn board() -> Board {
    let mut board = Board::starting_at(1);
    let (name, start_grace) = ("web".into(), Some(Duration::from_secs(60)));
    let spec = ServiceSpec {
        name,
        hard_needs: Vec::new(),
        checks: Vec::new(),
        start_grace,
        ready: None,
        runtime: Some("engine".into()),
        replicas: None,
        replica_of: None,
    };
    board.configure(vec![spec], at(0), |_| None);
    board
}

fn start(board: &mut Board, run: Uuid, by: Who, secs: i64) {
    let (service, stamp) = ("web".to_owned(), at(secs));
    board.runtime(&Event::Started { service, run, pid: None, by, adopted: false, stamp }, stamp);
}

fn end(board: &mut Board, run: Uuid, by: Who, exit: Exit, oom: bool, secs: i64) -> Verdict {
    let cause = Cause::of(exit, oom, "");
    let ending = Ending { exit, cause, at: at(secs), stopped: None, last_lines: Vec::new(), record: None };
    board.runtime(&Event::Ended { service: "web".to_owned(), run, by, planned: false, ending }, at(secs));
    board.service("web").unwrap().verdict
}

/// Titles of what holds, and their keys.
fn found(board: &Board, secs: i64) -> Vec<(String, String)> {
    let settings = [(Arc::from("web"), ServiceAlerts::standard(true))].into();
    let conditions = conditions(board, &settings, &[], &HashMap::new(), at(secs));
    let holding = conditions.into_iter().filter(|condition| condition.holds == Holds::Yes);
    holding.map(|condition| (condition.key, condition.title)).collect()
}

#[test]
fn a_service_that_memory_runs_out_for_every_seven_minutes_is_one_ticket_and_never_down() {
    let (mut board, mut keys, mut titles, mut verdicts) = (board(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for turn in 0..(6 * 60 / 7) {
        let (began, run) = (turn * 420, Uuid::now_v7());
        start(&mut board, run, Who::Runtime, began);
        for minute in 1..7 {
            board.tick(at(began + minute * 60));
            verdicts.insert(board.service("web").unwrap().verdict.as_str());
            for (key, title) in found(&board, began + minute * 60) {
                keys.insert(key);
                titles.insert(title);
            }
        }
        verdicts.insert(end(&mut board, run, Who::Runtime, Exit::Code(137), true, began + 419).as_str());
    }
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["finding:web:recurring_crash"]);
    assert_eq!(titles.into_iter().collect::<Vec<_>>(), ["web dies every ~7 min, out of memory"]);
    assert_eq!(verdicts.into_iter().collect::<Vec<_>>(), ["starting", "unknown"], "nothing checks it");
}

#[test]
fn whose_runtime_stays_away_for_minutes_is_one_page_until_it_is_back() {
    let mut board = board();
    start(&mut board, Uuid::now_v7(), Who::Runtime, 0);
    let sight = |board: &mut Board, lost: Option<&str>, secs: i64| {
        let (service, lost) = ("web".to_owned(), lost.map(str::to_owned));
        board.runtime(&Event::Sight { service, lost }, at(secs));
    };
    sight(&mut board, Some("the container engine cannot be asked"), 100);
    assert_eq!(found(&board, 270), []);
    let title = "the monitor cannot see web: the container engine cannot be asked".to_owned();
    assert_eq!(found(&board, 290), [("monitor_blind".to_owned(), title)]);
    sight(&mut board, None, 300);
    assert_eq!(found(&board, 300), []);
}

#[test]
fn restarts_that_nobody_announced_are_one_ticket() {
    let mut board = board();
    for turn in 0..30 {
        let (began, run) = (turn * 20, Uuid::now_v7());
        start(&mut board, run, Who::Anonymous, began);
        end(&mut board, run, Who::Anonymous, Exit::Code(143), false, began + 19);
    }
    start(&mut board, Uuid::now_v7(), Who::Anonymous, 600);
    board.tick(at(605));
    assert_ne!(board.service("web").unwrap().verdict, Verdict::CrashLooping);
    let expected =
        ("finding:web:something_keeps_restarting_this", "something keeps restarting web: 30 times in the last hour");
    assert_eq!(found(&board, 605), [(expected.0.to_owned(), expected.1.to_owned())]);
}

#[test]
fn restarts_that_somebody_announced_are_none_and_a_crash_stays_one() {
    let mut board = board();
    let (at_zero, until, by) = (at(0).wall, at(700).wall, "ci".to_owned());
    let announcement = Announcement { at: at_zero, until, by, why: "1.2".to_owned() };
    assert!(board.announce("web", Some(announcement.clone())));
    assert!(!board.announce("wbe", Some(announcement)), "there is no such service");
    let mut turns = 0;
    for turn in 0..30 {
        let (began, run) = (turn * 20, Uuid::now_v7());
        start(&mut board, run, Who::Anonymous, began);
        end(&mut board, run, Who::Anonymous, Exit::Code(143), false, began + 19);
        turns += 1;
    }
    assert_eq!(found(&board, 605), []);
    let ledger = &board.service("web").unwrap().workload.as_ref().unwrap().ledger;
    let is_planned = |run: &Run| {
        run.started_by == Who::Announced && run.end.as_ref().is_some_and(|end| end.by == Who::Announced && end.planned)
    };
    assert_eq!(ledger.runs().filter(|run| is_planned(run)).count(), turns);
    for turn in 0..3 {
        let (began, run) = (610 + turn * 20, Uuid::now_v7());
        start(&mut board, run, Who::Runtime, began);
        end(&mut board, run, Who::Runtime, Exit::Code(1), false, began + 5);
    }
    assert_eq!(board.service("web").unwrap().verdict, Verdict::CrashLooping);
}

#[test]
fn what_is_found_of_many_replicas_is_one_ticket_that_stays_readable() {
    let found = |number: u32| {
        let mut condition = super::Condition::new("finding:web:looped".to_owned(), "", super::Severity::Notice, "");
        (condition.title, condition.description) = (format!("web.{number} loops"), "It loops.".to_owned());
        condition
    };
    let description = |replicas: u32| super::joined((1..=replicas).map(found)).remove(0).description;
    assert_eq!(description(1), "It loops.");
    assert_eq!(description(3), "It loops.\nAnd: web.2 loops.\nAnd: web.3 loops.");
    assert_eq!(description(100).lines().count(), 7);
    assert!(description(100).ends_with("\nAnd: web.6 loops.\nAnd others alike."));
}
