//! Ends that spend no budget: those of a host, and those of what needs something.

use crate::judge::board::Board;
use crate::judge::board::tests::{at, board, ended, feed, spec, started};
use crate::judge::verdict::Verdict;

/// Starts a service, and ends it by a crash.
fn crash(board: &mut Board, service: &str, began: i64, ended_at: i64) {
    board.runtime(&started(service, at(began)), at(began));
    board.runtime(&ended(service, at(began), at(ended_at), false), at(ended_at));
}

fn exits(board: &Board, service: &str, secs: i64) -> usize {
    board.service(service).unwrap().workload.as_ref().unwrap().assessment(at(secs).at).exits_10m
}

#[test]
fn half_of_the_workloads_that_end_within_ten_seconds_are_the_hosts_and_spend_no_budget() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut board = board(names.map(|name| spec(name, &[], Some(60))).into());
    for (offset, name) in (0..).zip(names) {
        board.runtime(&started(name, at(1 + offset)), at(1 + offset));
    }
    for (offset, name) in (0..).zip(["a", "b"]) {
        board.runtime(&ended(name, at(1 + offset), at(100 + offset), false), at(100 + offset));
    }
    assert_eq!(["a", "b"].map(|name| exits(&board, name, 102)), [1, 1], "two may have troubles of their own");
    let effects = board.runtime(&ended("c", at(3), at(104), false), at(104));
    assert_eq!(effects.excused.len(), 3, "{:?}", effects.excused);
    assert_eq!(["a", "b", "c"].map(|name| exits(&board, name, 105)), [0, 0, 0]);
    // Alone, half a minute later, it is its own.
    crash(&mut board, "a", 130, 135);
    assert_eq!(exits(&board, "a", 136), 1);
}

#[test]
fn however_many_loop_at_the_same_time_each_has_a_trouble_of_its_own() {
    let names = ["a", "b", "c", "d"];
    let mut board = board(names.map(|name| spec(name, &[], Some(60))).into());
    for turn in 0..3 {
        for (offset, name) in (0..).zip(["a", "b", "c"]) {
            // The last of them lives for longer than a host event takes.
            let lives = if name == "c" { 15 } else { 2 };
            let ended = 30 * turn + 20 + offset;
            crash(&mut board, name, ended - lives, ended);
        }
    }
    assert_eq!(["a", "b", "c"].map(|name| exits(&board, name, 90)), [3, 3, 3]);
}

#[test]
fn whom_the_failure_of_a_need_takes_along_spends_no_budget_whichever_is_seen_first() {
    let specs = || vec![spec("store", &[], None), spec("api", &["store"], Some(60))];
    let mut first = board(specs());
    feed(&mut first, "store", ".xxx", 0);
    assert_eq!(first.service("store").unwrap().verdict, Verdict::Down);
    crash(&mut first, "api", 35, 40);
    assert_eq!(exits(&first, "api", 41), 0);
    let mut last = board(specs());
    feed(&mut last, "store", ".", 0);
    crash(&mut last, "api", 5, 15);
    assert_eq!(exits(&last, "api", 16), 1);
    feed(&mut last, "store", "xxx", 12);
    assert_eq!(exits(&last, "api", 40), 0, "the store began to fail before it ended");
    // What ended long before is its own fault.
    let mut other = board(specs());
    feed(&mut other, "store", ".", 0);
    crash(&mut other, "api", 5, 15);
    feed(&mut other, "store", "xxx", 100);
    assert_eq!(exits(&other, "api", 140), 1);
}
