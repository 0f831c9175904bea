//! Supervision with real keepers: restarts, giving up, commands, and the change from one monitor to the next.

use std::time::Duration;

use kit::clock::Stamp;
use monitor::supervise::bucket::Policy;
use monitor::supervise::cause::{Cause, Exit};
use monitor::supervise::launcher::Launcher;
use monitor::supervise::ledger::{Excuse, Ledger, Who};
use monitor::supervise::message::{Command, Event, Rest};
use monitor::supervise::run_record::{Mode, StopReason};
use monitor::supervise::settings::{ProcessSettings, Restart};
use nix::sys::signal::Signal;

use crate::kept::{MONITOR, eventually};
use crate::watched::{Place, begin, is_alive, quick, send, settings, watch, watch_with};

#[tokio::test]
async fn a_crashing_service_is_restarted_ever_more_slowly_then_given_up_and_tried_again() {
    let data = Place::new();
    let mut watched = begin(&data, settings("echo token-$$; exit 1")).await;
    let mut delays = Vec::new();
    while delays.len() < 11 {
        match watched.any().await {
            Event::Waiting { assessment, .. } => {
                delays.push((assessment.next_delay.unwrap_or_default().as_millis(), assessment.gave_up));
            }
            Event::Ended { ending, planned, by, .. } => {
                assert_eq!((ending.exit, planned, by), (Exit::Code(1), false, Who::Runtime));
                assert_eq!(ending.last_lines.len(), 1, "the lines of this run and of no other");
            }
            _ => {}
        }
    }
    let waits: Vec<u128> = delays.iter().map(|(ms, _)| *ms).collect();
    assert_eq!(waits[0], 0, "the first start waits for nothing");
    assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]), "{waits:?}");
    // Even a run of milliseconds leaks a little, so the eighth exit stays just below level 8.
    assert!(!delays[8].1);
    assert_eq!((delays[9], delays[10]), ((900, true), (1800, true)));
    watched.close().await;
}

#[tokio::test]
async fn stop_and_restart_are_planned_and_spend_nothing() {
    let data = Place::new();
    let mut watched = begin(&data, settings("exec sleep 1000")).await;
    let (first, first_pid, _) = watched.started().await;
    watched.tell(Command::Restart(Who::Announced)).await;
    let (by, planned, ending) = watched.ended().await;
    assert_eq!(
        (by, planned, ending.exit, ending.stopped),
        (Who::Announced, true, Exit::Signal(15), Some(StopReason::Asked))
    );
    let (second, second_pid, _) = watched.started().await;
    assert!(first != second && !is_alive(first_pid));
    watched.tell(Command::Stop(Who::Announced)).await;
    watched.ended().await;
    assert_eq!(watched.rests().await, Rest::Stopped);
    assert!(!is_alive(second_pid));
    let ledger = watched.close().await;
    let assessment = ledger.assess(Stamp::now().at);
    assert_eq!((ledger.runs().count(), assessment.level, assessment.exits_10m), (2, 0.0, 0));
}

#[tokio::test]
async fn a_heal_is_a_restart_that_spends_budget() {
    let data = Place::new();
    let mut watched = begin(&data, settings("exec sleep 1000")).await;
    watched.started().await;
    watched.tell(Command::Heal).await;
    let (by, planned, _) = watched.ended().await;
    assert_eq!((by, planned), (Who::Us, false));
    watched.started().await;
    let ledger = watched.close().await;
    assert_eq!(ledger.assess(Stamp::now().at).exits_10m, 1);
}

#[tokio::test]
async fn a_one_shot_completes_and_a_failed_one_rests_or_starts_again_as_its_settings_say() {
    for (restart, script, expected) in [
        (Restart::OnFailure, "exit 0", Some(Rest::Completed)),
        (Restart::Never, "exit 0", Some(Rest::Completed)),
        (Restart::Never, "exit 1", Some(Rest::Failed)),
        (Restart::OnFailure, "exit 1", None),
        (Restart::Always, "exit 0", None),
    ] {
        let data = Place::new();
        let mut watched = begin(&data, ProcessSettings { restart, ..settings(script) }).await;
        watched.started().await;
        let (_, planned, _) = watched.ended().await;
        assert_eq!(planned, expected == Some(Rest::Completed), "{restart:?} {script}");
        match expected {
            Some(rest) => assert_eq!(watched.rests().await, rest, "{restart:?} {script}"),
            None => drop(watched.started().await),
        }
        watched.close().await;
    }
}

#[tokio::test]
async fn a_late_excuse_shortens_the_wait() {
    let data = Place::new();
    let slow = Policy { base: Duration::from_millis(1), hopeless_delay: Duration::from_secs(3600), ..quick() };
    let mut watched = watch(data.0.path(), Mode::Up, settings("exit 127"), Ledger::new(slow));
    watched.tell(Command::Start(Who::Us)).await;
    let (run, _, _) = watched.started().await;
    watched.ended().await;
    watched.tell(Command::Excuse(run, Excuse::HostEvent)).await;
    assert_ne!(watched.started().await.0, run);
    watched.close().await;
}

#[tokio::test]
async fn in_mode_up_nothing_is_left_when_the_monitor_ends_in_good_order() {
    let data = Place::new();
    let mut watched = begin(&data, settings("sleep 1000 & sleep 1000")).await;
    let (_, pid, _) = watched.started().await;
    let ledger = watched.close().await;
    assert!(!is_alive(pid));
    assert!(ledger.last().unwrap().end.as_ref().unwrap().planned);
}

#[tokio::test]
async fn the_next_monitor_adopts_what_the_last_one_left_and_can_stop_it() {
    let data = Place::new();
    let mut first = watch(data.0.path(), Mode::Run, settings("exec sleep 1000"), Ledger::new(quick()));
    first.tell(Command::Start(Who::Us)).await;
    let started = first.started().await;
    let rows = first.close().await.rows();
    assert!(is_alive(started.1));

    let ledger = Ledger::restore(quick(), &rows, &Stamp::now());
    let mut second = watch(data.0.path(), Mode::Run, settings("exec sleep 1000"), ledger);
    assert_eq!(second.started().await, (started.0, started.1, true));
    second.tell(Command::Start(Who::Us)).await;
    second.tell(Command::Stop(Who::Announced)).await;
    let (by, planned, ending) = second.ended().await;
    assert_eq!((by, planned, ending.exit), (Who::Announced, true, Exit::Signal(15)));
    assert_eq!(second.rests().await, Rest::Stopped);
    assert!(!is_alive(started.1));
    assert_eq!(second.close().await.runs().count(), 1, "no start that was not one");
}

#[tokio::test]
async fn the_next_monitor_learns_of_an_end_that_nobody_watched() {
    let data = Place::new();
    let mut first = watch(data.0.path(), Mode::Run, settings("exec sleep 1000"), Ledger::new(quick()));
    first.tell(Command::Start(Who::Us)).await;
    let (run, pid, _) = first.started().await;
    let ledger = first.close().await;
    // Not SIGSEGV: until `exec` the child is still our own program, whose runtime shrugs off one that was sent.
    send(pid, Signal::SIGUSR1);
    let launcher = Launcher::new(data.0.path().to_owned(), Mode::Run).with_program(MONITOR.into());
    let folder = launcher.runs("web").unwrap().folder(run);
    eventually("the end is on record", || folder.read_exit().is_ok());

    let mut second = watch(data.0.path(), Mode::Run, settings("exec sleep 1000"), ledger);
    let (by, planned, ending) = second.ended().await;
    assert_eq!((by, planned, ending.cause), (Who::Runtime, false, Cause::Killed { signal: 10 }));
    assert_eq!(ending.at.wall, folder.read_exit().unwrap().ended, "the time is that of the end, not of its discovery");
    second.tell(Command::Start(Who::Us)).await;
    assert!(second.started().await.0 != run);
    second.tell(Command::Stop(Who::Us)).await;
    second.ended().await;
    second.close().await;
}

#[tokio::test]
async fn a_killed_keeper_is_a_lost_run_whose_family_is_ended_before_the_next_begins() {
    let data = Place::new();
    let mut watched = begin(&data, settings("sleep 1000 & echo $!; exec sleep 1000")).await;
    let (run, pid, _) = watched.started().await;
    let folder = data.folder(run);
    let mut sibling = None;
    eventually("both run", || {
        sibling = folder.last_lines(1, 100).unwrap().first().and_then(|line| line.parse::<i32>().ok());
        sibling.is_some()
    });
    send(folder.read_run().unwrap().keeper.pid, Signal::SIGKILL);
    let (by, planned, ending) = watched.ended().await;
    assert_eq!((by, planned, ending.exit), (Who::Runtime, false, Exit::Lost));
    eventually("neither is left", || !is_alive(pid) && !is_alive(sibling.unwrap()));
    watched.started().await;
    watched.close().await;
}

#[tokio::test]
async fn sigterm_to_the_keeper_by_an_unknown_hand_is_anonymous() {
    let data = Place::new();
    let mut watched = begin(&data, settings("exec sleep 1000")).await;
    let (run, _, _) = watched.started().await;
    let folder = data.folder(run);
    send(folder.read_run().unwrap().keeper.pid, Signal::SIGTERM);
    let (by, planned, _) = watched.ended().await;
    assert_eq!((by, planned), (Who::Anonymous, false));
    watched.started().await;
    watched.close().await;
}

#[tokio::test]
async fn a_keeper_that_cannot_be_started_is_our_own_trouble_and_is_tried_again() {
    let data = Place::new();
    let launcher = Launcher::new(data.0.path().to_owned(), Mode::Up).with_program("/nonexistent/monitor".into());
    let mut watched = watch_with(launcher, settings("true"), Ledger::new(quick()));
    watched.tell(Command::Start(Who::Us)).await;
    for _ in 0..2 {
        let (_, planned, ending) = watched.ended().await;
        assert_eq!((planned, ending.exit, ending.cause), (false, Exit::Keeper(2), Cause::SpawnFailed { errno: 2 }));
    }
    watched.close().await;
}

#[tokio::test]
async fn only_the_last_runs_stay_on_disk_and_the_child_sees_only_allowed_variables() {
    let data = Place::new();
    let mut settings = ProcessSettings { runs_kept: 3, ..settings("env; exit 1") };
    settings.env.0.insert("SET".into(), "1".into());
    let mut watched = begin(&data, settings).await;
    for _ in 0..5 {
        watched.started().await;
        let (_, _, ending) = watched.ended().await;
        let names: Vec<&str> =
            ending.last_lines.iter().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        // PWD, OLDPWD, SHLVL and _ are the shell's own.
        let allowed = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "LOG_LEVEL", "SET", "PWD", "OLDPWD", "SHLVL", "_"];
        assert!(names.contains(&"SET") && names.iter().all(|name| allowed.contains(name)), "{names:?}");
    }
    let ledger = watched.close().await;
    let runs = Launcher::new(data.0.path().to_owned(), Mode::Up).runs("web").unwrap().list();
    assert_eq!(runs.len(), 3);
    assert_eq!(runs[2].0, ledger.last().unwrap().id);
}
