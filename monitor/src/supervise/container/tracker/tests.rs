//! The translation as tables: what an engine tells in, what we make of it out.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::models::{EventActor, EventMessage};
use proptest::prelude::*;

use super::super::facts::{Facts, Happening, RestartPolicy};
use super::super::stopping::Stopping;
use super::{News, Tracker};
use crate::supervise::described::Described;
use crate::supervise::ledger::Ledger;
use crate::supervise::script::{command, said, stamp, time};
use crate::supervise::workload::{Ordered, Sought, Subject};

fn tracker(ledger: Ledger, ordered: Option<Ordered>, now: f64) -> Tracker {
    let subject = Subject { service: Arc::from("web"), sought: Sought::Name("web".to_owned()), ledger, ordered };
    Tracker::new(subject, stamp(now))
}

/// An engine with one container called `web`: it keeps the facts as Docker does, and words tell it what happens.
struct Engine {
    facts: Facts,
    /// Whoever kills a container through Docker's API, or stops it, does not want it back.
    is_stopped: bool,
    tracker: Tracker,
    /// What was ordered last, through all monitors.
    ordered: Option<Ordered>,
}

impl Engine {
    fn new(policy: RestartPolicy) -> Self {
        let facts = Facts {
            settings: None,
            id: "a4e2".to_owned(),
            name: "web".to_owned(),
            started: None,
            finished: None,
            running: false,
            restarting: false,
            exit_code: 0,
            oom_killed: false,
            created: Some(time(0.9)),
            start_error: None,
            policy,
            stopping: Stopping::default(),
            image: Some("115b".to_owned()),
            described: Described::default(),
        };
        Self { facts, is_stopped: false, tracker: tracker(Ledger::default(), None, 0.5), ordered: None }
    }

    /// Changes the facts, which an event then tells or not: `start`, `die:CODE`, `kill:SIGNAL`, `stop`, `oom`, `image`.
    fn do_it(&mut self, word: &str, value: &str, at: f64) {
        match word {
            "start" => {
                // Docker notes the start a few milliseconds before it tells of it.
                self.facts.started = Some(time(at - 0.004));
                (self.facts.running, self.facts.restarting, self.facts.oom_killed) = (true, false, false);
                self.is_stopped = false;
            }
            "die" => {
                self.facts.exit_code = value.parse().unwrap();
                self.facts.finished = Some(time(at));
                self.facts.running = false;
                self.facts.restarting = match self.facts.policy {
                    _ if self.is_stopped => false,
                    RestartPolicy::Always => true,
                    RestartPolicy::OnFailure => self.facts.exit_code != 0,
                    RestartPolicy::OnFailureAtMost => self.facts.exit_code != 0 && value != "9",
                    RestartPolicy::No => false,
                };
            }
            "kill" => self.is_stopped = true,
            "stop" => self.facts.restarting = false,
            "oom" => self.facts.oom_killed = true,
            "image" => self.facts.image = Some(value.to_owned()),
            "refuse" => (self.facts.start_error, self.facts.exit_code) = (Some("no such file".to_owned()), 127),
            "id" => self.facts.id = value.to_owned(),
            _ => {}
        }
    }

    /// Plays `WORD[:VALUE]@SECOND …` and returns what was told. `look` looks, `absent` finds nothing, `restart` begins
    /// with another monitor, `order:COMMAND` is our own order; a word with `~` happens unseen, one with `?` is told without an answer on how it stands.
    fn play(&mut self, script: &str) -> String {
        let mut told = Vec::new();
        for word in script.split_whitespace() {
            let (word, at) = word.split_once('@').unwrap();
            let at: f64 = at.parse().unwrap();
            let (bare, value) =
                word.trim_matches(['~', '?']).split_once(':').unwrap_or((word.trim_matches(['~', '?']), ""));
            self.do_it(bare, value, at);
            let events = match bare {
                _ if word.starts_with('~') => Vec::new(),
                "image" | "id" | "refuse" => Vec::new(),
                "look" => self.tracker.take(News { facts: Some(self.facts.clone()), ..News::default() }, stamp(at)),
                "absent" => self.tracker.absent(stamp(at)),
                "restart" => {
                    // What was ordered is on the disk before the engine is asked.
                    self.tracker = tracker(self.tracker.ledger.clone(), self.ordered, at);
                    Vec::new()
                }
                "refused" => {
                    self.tracker.refused(command(value));
                    Vec::new()
                }
                "order" => {
                    self.ordered = Some(Ordered { at: time(at), command: command(value) });
                    self.tracker.order(command(value), stamp(at));
                    Vec::new()
                }
                _ => {
                    let facts = (!word.ends_with('?')).then(|| self.facts.clone());
                    let happening = Some(happening(&self.facts.id, bare, value, at));
                    self.tracker.take(News { happening, facts, ..News::default() }, stamp(at))
                }
            };
            told.extend(events.iter().filter_map(said));
        }
        told.join(", ")
    }
}

fn happening(id: &str, action: &str, value: &str, at: f64) -> Happening {
    let key = if action == "die" { "exitCode" } else { "signal" };
    let attributes = HashMap::from([("name".to_owned(), "web".to_owned()), (key.to_owned(), value.to_owned())]);
    let actor = EventActor { id: Some(id.to_owned()), attributes: Some(attributes) };
    let time_nano = i64::try_from(time(at).as_nanosecond()).ok();
    let message =
        EventMessage { action: Some(action.to_owned()), actor: Some(actor), time_nano, ..EventMessage::default() };
    Happening::of(message).unwrap()
}

fn check(policy: RestartPolicy, script: &str, expected: &str) {
    assert_eq!(Engine::new(policy).play(script), expected, "{policy:?}: {script}");
}

#[test]
fn what_dies_under_a_restart_policy_is_the_runtimes_and_waits_twice_as_long_each_time() {
    check(
        RestartPolicy::Always,
        "start@1 die:3@1.2 start@1.3 die:3@1.5 start@1.7 die:0@1.9",
        "runs (anonymous), crashed (runtime), waits 100 ms, runs (runtime), crashed (runtime), waits 200 ms, \
         runs (runtime), clean (runtime), waits 400 ms",
    );
    check(
        RestartPolicy::OnFailure,
        "start@1 die:3@1.2 start@1.3 die:0@1.5",
        "runs (anonymous), crashed (runtime), waits 100 ms, runs (runtime), clean (runtime, planned), completed",
    );
}

#[test]
fn what_ends_without_a_restart_policy_has_completed_or_failed() {
    check(
        RestartPolicy::OnFailureAtMost,
        "start@1 die:1@2 start@3 die:9@4",
        "runs (anonymous), crashed (runtime), waits 100 ms, runs (runtime), crashed (runtime), gave_up",
    );
    check(RestartPolicy::No, "start@1 die:0@2", "runs (anonymous), clean (runtime, planned), completed");
    check(RestartPolicy::No, "start@1 die:1@2", "runs (anonymous), crashed (runtime), failed");
    check(RestartPolicy::No, "start@1 oom@1.9 die:137@2", "runs (anonymous), oom (runtime), failed");
    // Memory ran out for another process of the container: that is not what ended it.
    check(RestartPolicy::No, "start@1 oom@1.5 die:1@2", "runs (anonymous), crashed (runtime), failed");
    check(RestartPolicy::No, "look@1 look@4", "stopped");
}

#[test]
fn what_could_not_be_started_has_failed_with_the_engines_words_once() {
    check(RestartPolicy::Always, "look@1 look@4", "stopped");
    check(
        RestartPolicy::Always,
        "refuse@1 look@1 look@4 look@9 restart@20 look@21 look@24",
        "runs (anonymous), not_found (runtime), failed, failed",
    );
}

#[test]
fn what_a_hand_ends_rests_only_after_it_had_time_to_start_again() {
    let (runs, killed) = ("runs (anonymous)", "killed (anonymous)");
    check(
        RestartPolicy::Always,
        "start@1 kill:15@5 kill:9@6 die:137@6 stop@6.1 look@7 look@8.2 look@60",
        &format!("{runs}, {killed}, stopped"),
    );
    check(
        RestartPolicy::No,
        "start@1 kill:15@5 die:143@5.1 stop@5.1 start@5.4 kill:9@9 die:137@9 start@9.2",
        &format!("{runs}, {killed}, {runs}, {killed}, {runs}"),
    );
}

#[test]
fn a_signal_that_only_tells_a_program_something_is_no_hand_and_one_long_ago_neither() {
    check(RestartPolicy::No, "start@1 kill:1@5 die:1@5.1", "runs (anonymous), crashed (runtime), failed");
    check(RestartPolicy::No, "start@1 kill:15@5 die:1@500", "runs (anonymous), crashed (runtime), failed");
}

#[test]
fn whoever_takes_minutes_to_stop_was_stopped_all_the_same() {
    for end in ["kill:15@5 die:143@400", "kill:15@5 die:0@400", "kill:15@5 kill:9@600 die:137@600.1"] {
        let script = format!("start@1 {end} stop@700 look@710");
        let told = Engine::new(RestartPolicy::Always).play(&script);
        assert!(told.ends_with("(anonymous), stopped"), "{script}: {told}");
    }
}

#[test]
fn one_that_waits_for_its_restart_can_be_stopped_too() {
    check(
        RestartPolicy::Always,
        "start@1 die:3@1.2 stop@1.25 look@4",
        "runs (anonymous), crashed (runtime), waits 100 ms, stopped",
    );
}

#[test]
fn what_is_seen_twice_changes_nothing_and_what_was_found_was_there_before_us() {
    check(
        RestartPolicy::Always,
        "~start@0.2 look@1 look@61 die:1@70 look@70.05 start@70.1 look@70.2 look@130",
        "runs (adopted, runtime), crashed (runtime), waits 100 ms, runs (runtime)",
    );
    // The event of a start that a look has seen already.
    check(
        RestartPolicy::No,
        "~start@1.003 look@1.001 start@1.003 die:0@2",
        "runs (runtime), clean (runtime, planned), completed",
    );
}

#[test]
fn of_several_alike_one_is_followed_until_it_has_ended() {
    check(RestartPolicy::No, "start@1 id:b7f0@2 start@3 die:1@4", "runs (anonymous)");
    check(
        RestartPolicy::No,
        "start@1 die:1@2 id:b7f0@2 start@3 die:0@4",
        "runs (anonymous), crashed (runtime), failed, runs (anonymous), clean (runtime, planned), completed",
    );
}

#[test]
fn ends_that_no_event_told_are_found_by_looking() {
    check(RestartPolicy::No, "start@1 ~die:4@9 look@60", "runs (anonymous), crashed (runtime), failed");
    check(RestartPolicy::Always, "start@1 ~die:4@9 ~start@9.1 look@60", "runs (anonymous), runs (runtime), gap");
    check(RestartPolicy::No, "~start@1 ~die:0@2 look@60", "runs (runtime), clean (runtime, planned), completed");
}

#[test]
fn an_answer_that_is_ahead_of_the_events_takes_no_end_from_them() {
    let mut engine = Engine::new(RestartPolicy::Always);
    engine.play("start@1");
    // It has died and begun anew before the first answer is there.
    engine.do_it("die", "3", 1.2);
    engine.do_it("start", "", 1.3);
    let late = |action: &str, at: f64| Some(happening("a4e2", action, "3", at));
    let facts = Some(engine.facts.clone());
    let news = News { happening: late("die", 1.2), facts: facts.clone(), ..News::default() };
    let died = engine.tracker.take(news, stamp(1.4));
    let news = News { happening: late("start", 1.304), facts, ..News::default() };
    let started = engine.tracker.take(news, stamp(1.4));
    let told: Vec<String> = died.iter().chain(&started).filter_map(said).collect();
    assert_eq!(told, ["crashed (runtime)", "runs (runtime)"]);
    assert_eq!(engine.tracker.ledger.runs().count(), 2);
}

#[test]
fn a_start_that_is_told_again_after_its_run_ended_and_another_began_is_known() {
    let mut engine = Engine::new(RestartPolicy::No);
    engine.play("start@1 die:1@5");
    engine.tracker = tracker(engine.tracker.ledger.clone(), None, 20.0);
    engine.play("~start@10");
    // The engine tells of what was long ago, and how it stands now.
    for (what, value, at) in [("start", "", 1.05), ("die", "1", 5.0)] {
        let happening = Some(happening(&engine.facts.id, what, value, at));
        let news = News { happening, facts: Some(engine.facts.clone()), ..News::default() };
        assert_eq!(engine.tracker.take(news, stamp(20.1)).iter().filter_map(said).count(), 0, "{what}");
    }
    assert_eq!(engine.play("look@21"), "runs (adopted, anonymous), gap");
}

#[test]
fn another_monitor_knows_the_runs_and_what_it_replays_changes_nothing() {
    let mut engine = Engine::new(RestartPolicy::Always);
    engine.play("start@1 die:3@1.2 start@1.3");
    assert_eq!(engine.play("restart@5 look@5"), "runs (adopted, runtime)");
    // It died while nobody looked, and the engine remembers how.
    assert_eq!(
        engine.play("restart@9 ~die:7@7 ~start@7.2 die:7@7 start@7.204 look@9"),
        "crashed (runtime), runs (adopted, runtime)"
    );
    let exits: Vec<_> = engine.tracker.ledger.runs().filter_map(|run| run.end.as_ref()).map(|end| end.exit).collect();
    assert_eq!(exits.len(), 2, "{exits:?}");
    let mut engine = Engine::new(RestartPolicy::No);
    engine.play("start@1 kill:15@2 die:143@2.1 look@5");
    assert_eq!(engine.play("restart@9 look@9 look@12"), "stopped");
    assert_eq!(engine.play("restart@20 absent@20 absent@23"), "stopped");
}

#[test]
fn what_is_removed_is_gone_unless_it_was_stopped_or_done_or_comes_back_as_another_container() {
    check(RestartPolicy::No, "absent@1 absent@2 absent@3.1 absent@60", "gone");
    check(RestartPolicy::No, "start@1 absent@60 absent@63", "runs (anonymous), lost (runtime), gone");
    check(
        RestartPolicy::No,
        "start@1 kill:9@5 die:137@5 destroy@5.1 absent@6 absent@7.2",
        "runs (anonymous), killed (anonymous), stopped",
    );
    check(
        RestartPolicy::No,
        "start@1 die:0?@5 destroy?@5.1 absent@6 absent@7.2",
        "runs (anonymous), clean (runtime, planned), completed",
    );
    check(
        RestartPolicy::No,
        "start@1 kill:15@5 die:0@5.2 destroy@5.3 id:b7f0@5.4 image:9c31@5.4 start@6 die:1@7",
        "runs (anonymous), clean (anonymous), runs (announced), crashed (runtime), failed",
    );
}

#[test]
fn what_we_order_is_ours_and_what_follows_later_is_not() {
    check(
        RestartPolicy::Always,
        "start@1 order:heal@60 kill:15@60 die:143@60.3 start@60.4 die:1@70 start@70.2",
        "runs (anonymous), killed (us), runs (us), crashed (runtime), waits 100 ms, runs (runtime)",
    );
    check(
        RestartPolicy::No,
        "start@1 die:1@5 order:heal@9 start@9.1 kill:15@20 die:143@20.1 start@20.2",
        "runs (anonymous), crashed (runtime), failed, runs (us), killed (anonymous), runs (anonymous)",
    );
    check(
        RestartPolicy::No,
        "start@1 order:restart@60 kill:15@60 die:0@60.3 start@60.4",
        "runs (anonymous), clean (announced, planned), runs (announced)",
    );
    // What the engine refused to do is not ours.
    check(
        RestartPolicy::No,
        "start@1 order:heal@60 refused:heal@60 kill:15@70 die:143@70.3 start@70.4",
        "runs (anonymous), killed (anonymous), runs (anonymous)",
    );
    // Somebody else's restart long after ours.
    check(
        RestartPolicy::No,
        "start@1 order:heal@60 kill:15@300 die:143@300.3 start@300.4",
        "runs (anonymous), killed (anonymous), runs (anonymous)",
    );
}

#[test]
fn what_we_stop_is_held_and_what_a_person_has_us_stop_is_stopped() {
    check(
        RestartPolicy::Always,
        "start@1 order:hold@60 kill:15@60 die:143@60.3 stop@60.4 look@63",
        "runs (anonymous), killed (us, planned), quarantined",
    );
    check(
        RestartPolicy::Always,
        "start@1 order:stop@60 kill:15@60 die:143@60.3 stop@60.4 look@63 order:start@70 start@70.1",
        "runs (anonymous), killed (announced, planned), stopped, runs (announced)",
    );
    // While it waits for its restart there is nothing to kill.
    check(
        RestartPolicy::Always,
        "start@1 die:1@2 order:hold@2.05 stop@2.06 look@5",
        "runs (anonymous), crashed (runtime), waits 100 ms, quarantined",
    );
    // It is started again a moment before it is stopped.
    check(
        RestartPolicy::Always,
        "start@1 die:1@2 order:hold@2.05 start@2.1 kill:15@2.12 die:143@2.2 stop@2.21 look@5",
        "runs (anonymous), crashed (runtime), waits 100 ms, runs (runtime), killed (us, planned), quarantined",
    );
}

#[test]
fn what_was_ordered_and_done_before_another_monitor_explains_nothing_that_follows() {
    let mut engine = Engine::new(RestartPolicy::No);
    engine.play("start@1 order:heal@60 kill:15@60 die:143@60.3 start@60.4");
    assert_eq!(
        engine.play("restart@70 look@71 kill:15@80 die:143@80.3 start@80.4"),
        "runs (adopted, runtime), killed (anonymous), runs (anonymous)"
    );
}

#[test]
fn another_monitor_knows_what_was_ordered_before_it() {
    check(
        RestartPolicy::Always,
        "start@1 order:heal@60 restart@60.1 kill:15@60 die:143@60.3 start@60.4 look@62",
        "runs (anonymous), runs (adopted, runtime), killed (us), runs (us)",
    );
    check(
        RestartPolicy::Always,
        "start@1 order:hold@60 kill:15@60 die:143@60.3 restart@61 look@62 look@65",
        "runs (anonymous), killed (us, planned), quarantined",
    );
}

/// What an engine did: each turn its container begins, dies, or is stopped; each is told, or not, and looked at, or not.
#[derive(Debug, Clone, Copy)]
struct TurnOfEvents {
    by_hand: bool,
    code: u8,
    after_ms: u16,
    is_told: bool,
    is_looked_at: bool,
}

fn turns() -> impl Strategy<Value = Vec<TurnOfEvents>> {
    let turn = (any::<bool>(), any::<u8>(), 50..9_000u16, any::<bool>(), any::<bool>());
    let turn = turn.prop_map(|(by_hand, code, after_ms, is_told, is_looked_at)| TurnOfEvents {
        by_hand,
        code,
        after_ms,
        is_told,
        is_looked_at,
    });
    prop::collection::vec(turn, 1..40)
}

/// Plays the turns; returns the engine, how many runs it began, and the script.
fn play_all(turns: &[TurnOfEvents], policy: RestartPolicy, all_told: bool) -> (Engine, usize, String) {
    let (mut engine, mut at, mut script, mut begun) = (Engine::new(policy), 1.0, String::new(), 0);
    for turn in turns {
        at += f64::from(turn.after_ms) / 1000.0;
        let unseen = if turn.is_told || all_told { "" } else { "~" };
        let mut words = Vec::new();
        if engine.facts.running {
            if turn.by_hand {
                words.push(format!("{unseen}kill:15@{}", at - 0.02));
            }
            words.push(format!("{unseen}die:{}@{at}", turn.code));
        } else {
            begun += 1;
            words.push(format!("{unseen}start@{at}"));
        }
        if turn.is_looked_at {
            words.push(format!("look@{}", at + 0.01));
        }
        for word in words {
            engine.play(&word);
            script = format!("{script} {word}");
        }
    }
    engine.play(&format!("look@{}", at + 0.02));
    (engine, begun, script)
}

proptest! {
    #[test]
    fn whatever_is_looked_at_in_between_every_run_that_is_told_is_in_the_ledger_once(turns in turns()) {
        for policy in [RestartPolicy::No, RestartPolicy::OnFailure, RestartPolicy::Always] {
            let (engine, begun, script) = play_all(&turns, policy, true);
            prop_assert_eq!(engine.tracker.ledger.runs().count(), begun, "{}", script);
            let ends = engine.tracker.ledger.runs().filter(|run| run.end.is_some()).count();
            prop_assert_eq!(ends, begun - usize::from(engine.facts.running), "{}", script);
        }
    }

    #[test]
    fn whatever_goes_untold_no_run_is_counted_twice_and_how_it_stands_is_right_in_the_end(turns in turns()) {
        let (engine, begun, script) = play_all(&turns, RestartPolicy::Always, false);
        let ledger = &engine.tracker.ledger;
        prop_assert!(ledger.runs().count() <= begun, "{}", script);
        let is_running = ledger.last().is_some_and(|run| run.end.is_none());
        prop_assert_eq!(is_running, engine.facts.running, "{}", script);
    }
}
