//! Grandchildren, orphans and daemons: all of them end with the run.

use monitor::supervise::cause::Exit;
use monitor::supervise::keeper::KeepOrder;

use crate::kept::{Kept, eventually, family, order};

/// A daemon as from the book: it forks, leads a new session, forks again, and is deaf to SIGTERM.
const DAEMON: &str = "(setsid sh -c '(trap \"\" TERM; echo daemon; while :; do sleep 0.1; done) &' &)";

#[test]
fn a_daemon_that_left_the_group_ends_with_a_stop() {
    let script = format!("{DAEMON}; echo ready; exec sleep 1000");
    let mut kept = Kept::start(KeepOrder { stop_grace_ms: 300, ..order(&script) });
    kept.wait_for_line("ready");
    kept.wait_for_line("daemon");
    kept.tell("stop");
    let record = kept.end();
    assert_eq!(record.exit(), Exit::Signal(15));
    assert!(record.leftovers_killed >= 1, "{record:?}");
    assert_eq!(record.leftovers_alive, 0);
}

#[test]
fn what_outlives_a_child_that_died_by_itself_is_ended_too() {
    let script = format!("{DAEMON}; sleep 1000 & while [ ! -e /proc/$!/stat ]; do :; done; kill -9 $$");
    let mut kept = Kept::start(order(&script));
    let record = kept.end();
    assert_eq!((record.exit(), record.stopped), (Exit::Signal(9), None));
    assert!(record.leftovers_killed >= 1, "{record:?}");
}

#[test]
fn a_family_that_forks_while_it_is_ended_does_not_get_away() {
    let forking = "trap '' TERM; echo ready; while :; do (setsid sleep 1000 &); sleep 0.01; done";
    let mut kept = Kept::start(KeepOrder { stop_grace_ms: 100, ..order(forking) });
    kept.wait_for_line("ready");
    eventually("it has a family", || family(&kept.order).len() > 5);
    kept.tell("stop");
    assert!(kept.end().leftovers_killed > 5);
}

#[test]
fn orphans_are_reaped_while_the_child_runs_on() {
    let script = "for i in 1 2 3 4 5 6 7 8; do (sleep 0.01 &); done; echo ready; exec sleep 1000";
    let mut kept = Kept::start(order(script));
    kept.wait_for_line("ready");
    let keeper = kept.keeper.id();
    let children = || std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap_or_default();
    eventually("only the child is left", || children().split_whitespace().count() == 1);
    kept.tell("stop");
    assert_eq!(kept.end().leftovers_killed, 0);
}
