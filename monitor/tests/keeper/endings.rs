//! How a run ends, by itself or because somebody ended it.

use std::time::{Duration, Instant};

use monitor::supervise::cause::Exit;
use monitor::supervise::keeper::KeepOrder;
use monitor::supervise::process_table::ProcessId;
use monitor::supervise::run_record::{Mode, StopReason};
use nix::sys::signal::{Signal, kill};

use crate::kept::{Kept, eventually, family, order};

#[test]
fn a_child_that_exits_leaves_its_code() {
    for code in [0, 3, 78, 255] {
        let record = Kept::start(order(&format!("exit {code}"))).end();
        assert_eq!((record.exit(), record.stopped, record.leftovers_killed), (Exit::Code(code), None, 0));
    }
}

#[test]
fn a_child_that_a_signal_ends_leaves_its_number() {
    for (name, signal) in [("KILL", 9), ("SEGV", 11), ("TERM", 15)] {
        let record = Kept::start(order(&format!("ulimit -c 0; kill -{name} $$"))).end();
        assert_eq!((record.exit(), record.stopped), (Exit::Signal(signal), None));
    }
}

#[test]
fn a_real_time_signal_is_an_end_too() {
    let record = Kept::start(order("kill -40 $$")).end();
    assert_eq!(record.exit(), Exit::Lost, "nix cannot say which, but the run is over and on record");
}

#[test]
fn stop_gives_the_child_time_to_end_well() {
    let mut kept = Kept::start(order("trap 'echo draining; exit 0' TERM; echo ready; while :; do sleep 0.05; done"));
    kept.wait_for_line("ready");
    kept.tell("stop");
    let record = kept.end();
    assert_eq!((record.exit(), record.stopped), (Exit::Code(0), Some(StopReason::Asked)));
    assert_eq!(kept.folder.last_lines(1, 1 << 10).unwrap(), ["draining"]);
}

#[test]
fn a_child_that_ignores_sigterm_is_killed_after_the_grace_and_not_before() {
    let deaf = KeepOrder { stop_grace_ms: 400, ..order("trap '' TERM; echo ready; while :; do sleep 0.05; done") };
    let mut kept = Kept::start(deaf);
    kept.wait_for_line("ready");
    let asked = Instant::now();
    kept.tell("stop");
    let record = kept.end();
    assert_eq!((record.exit(), record.stopped), (Exit::Signal(9), Some(StopReason::Asked)));
    assert!(asked.elapsed() >= Duration::from_millis(400));
}

#[test]
fn kill_waits_for_no_grace() {
    let mut kept = Kept::start(order("trap '' TERM; echo ready; while :; do sleep 0.05; done"));
    kept.wait_for_line("ready");
    let asked = Instant::now();
    kept.tell("stop");
    kept.tell("kill");
    assert_eq!(kept.end().exit(), Exit::Signal(9));
    assert!(asked.elapsed() < Duration::from_secs(8), "the grace is 10 s");
}

#[test]
fn a_stopped_child_hears_the_end_too() {
    let mut kept = Kept::start(order("echo ready; sleep 1000"));
    kept.wait_for_line("ready");
    kill(kept.child().as_pid(), Signal::SIGSTOP).unwrap();
    kept.tell("stop");
    assert_eq!(kept.end().exit(), Exit::Signal(15));
}

#[test]
fn sigterm_to_the_keeper_is_a_stop_and_a_persons_ctrl_c_or_hang_up_is_nothing() {
    let mut kept = Kept::start(order("echo ready; sleep 1000"));
    kept.wait_for_line("ready");
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        kept.signal(signal);
    }
    kept.tell("a word from a newer monitor");
    kept.signal(Signal::SIGTERM);
    let record = kept.end();
    assert_eq!((record.exit(), record.stopped), (Exit::Signal(15), Some(StopReason::Signal)));
}

#[test]
fn kill_9_of_the_monitor_ends_the_whole_family_in_mode_up() {
    let script = "(setsid sh -c 'sleep 1000 & exec sleep 1000' &); echo ready; sleep 1000";
    let (mut kept, mut monitor) = Kept::start_under_stand_in(order(script));
    kept.wait_for_line("ready");
    eventually("all four run", || family(&kept.order).len() == 4);
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    let record = kept.end();
    assert_eq!((record.exit(), record.stopped), (Exit::Signal(15), Some(StopReason::MonitorGone)));
    assert_eq!(record.leftovers_killed, 2);
}

#[test]
fn kill_9_of_the_monitor_is_not_noticed_in_mode_run_until_the_next_one_says_stop() {
    let script = "echo ready; while :; do sleep 0.05; echo tick; done";
    let (mut kept, mut monitor) = Kept::start_under_stand_in(KeepOrder { mode: Mode::Run, ..order(script) });
    kept.wait_for_line("ready");
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    let ticks = || kept.folder.last_lines(usize::MAX, 1 << 20).unwrap().len();
    let before = ticks();
    eventually("the child runs on and is heard", || ticks() > before + 3);
    let record = kept.folder.read_run().unwrap();
    assert!(record.is_held() && record.run == kept.order.run && record.child.is_some_and(ProcessId::is_alive));
    kill(record.keeper.as_pid(), Signal::SIGTERM).unwrap();
    assert_eq!(kept.end().stopped, Some(StopReason::Signal));
    assert!(!kept.folder.read_run().unwrap().is_held());
}

#[test]
fn kill_9_of_the_keeper_takes_the_child_along_and_leaves_no_record() {
    let mut kept = Kept::start(order("echo ready; exec sleep 1000"));
    kept.wait_for_line("ready");
    kept.signal(Signal::SIGKILL);
    kept.keeper.wait().unwrap();
    eventually("the child is gone", || family(&kept.order).is_empty());
    assert_eq!(
        kept.folder.read_exit().unwrap_err().to_string(),
        format!("{}/exit.json is not there", kept.folder.path().display())
    );
}
