//! The translation as tables: what systemd tells in, what we make of it out.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;
use zbus::{Array, OwnedVariant, Structure, Variant};

use super::super::facts::Facts;
use super::super::history::{self, Past};
use super::Tracker;
use crate::supervise::ledger::Ledger;
use crate::supervise::message::Event;
use crate::supervise::script::{command, said, stamp, time};
use crate::supervise::workload::{Ordered, Sought, Subject};

fn micros(secs: f64) -> u64 {
    u64::try_from(time(secs).as_microsecond()).unwrap()
}

fn tracker(ledger: Ledger, ordered: Option<Ordered>, now: f64) -> Tracker {
    let sought = Sought::Name("web.service".to_owned());
    Tracker::new(Subject { service: Arc::from("web"), sought, ledger, ordered }, stamp(now))
}

fn owned(value: impl Into<Variant<'static>>) -> OwnedVariant {
    OwnedVariant::try_from(value.into()).unwrap()
}

/// A systemd with one service `web.service`: it keeps what it says as systemd 252 does, and words tell it what happens.
struct Systemd {
    facts: Facts,
    restart: &'static str,
    runs: u32,
    restarts: u32,
    /// What the journal would tell.
    journal: Vec<String>,
    /// Something happened that nobody told.
    is_behind: bool,
    tracker: Tracker,
    /// What was ordered last, through all monitors.
    ordered: Option<Ordered>,
}

impl Systemd {
    fn new(restart: &'static str) -> Self {
        let tracker = tracker(Ledger::default(), None, 0.5);
        let (facts, journal) = (Facts::default(), Vec::new());
        let mut systemd =
            Self { facts, restart, runs: 0, restarts: 0, journal, is_behind: true, tracker, ordered: None };
        systemd.set(&[
            ("Id", owned("web.service")),
            ("LoadState", owned("loaded")),
            ("ActiveState", owned("inactive")),
            ("SubState", owned("dead")),
            ("Restart", owned(restart)),
            ("RestartUSec", owned(100_000_u64)),
            ("Result", owned("success")),
            ("ConditionResult", owned(true)),
        ]);
        systemd
    }

    fn set(&mut self, properties: &[(&str, OwnedVariant)]) {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), value.try_clone().unwrap()));
        self.facts.take(properties.collect::<HashMap<String, OwnedVariant>>());
    }

    fn state(&mut self, active: &'static str, sub: &'static str, at: f64) {
        let entered = match active {
            "active" => "ActiveEnterTimestamp",
            "inactive" | "failed" => "InactiveEnterTimestamp",
            _ => "InactiveExitTimestamp",
        };
        let changed = ("StateChangeTimestampMonotonic", owned(micros(at)));
        self.set(&[("ActiveState", owned(active)), ("SubState", owned(sub)), changed, (entered, owned(micros(at)))]);
    }

    fn job(&mut self, id: u32) {
        let job = Structure::builder().add_field(id).add_field("/").build().unwrap();
        self.set(&[("Job", OwnedVariant::try_from(Variant::Structure(job)).unwrap())]);
    }

    fn invocation(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.runs) + (4 << 100))
    }

    fn note(&mut self, at: f64, message: &str, more: &str) {
        let (id, at) = (self.invocation().simple(), micros(at));
        let head =
            format!(r#""_PID":"1","MESSAGE_ID":"{message}","INVOCATION_ID":"{id}","__REALTIME_TIMESTAMP":"{at}""#);
        self.journal.push(format!("{{{head}{more}}}"));
    }

    fn start(&mut self, at: f64) {
        self.runs += 1;
        self.note(at, "39f53479d3a045ac8e11786248231fbf", "");
        self.job(0);
        let id: Vec<u8> = self.invocation().into_bytes().to_vec();
        self.set(&[
            ("InvocationID", owned(id)),
            ("ConditionTimestamp", owned(micros(at - 0.002))),
            ("ExecMainStartTimestamp", owned(micros(at))),
            ("ExecMainExitTimestamp", owned(0_u64)),
            ("ExecMainCode", owned(0_i32)),
            ("Result", owned("success")),
            ("NRestarts", owned(self.restarts)),
            ("InactiveExitTimestamp", owned(micros(at + 0.001))),
        ]);
        self.state("active", "running", at + 0.001);
    }

    /// Ends the main process: `3` is a code, `s9` a signal, with systemd's result after a slash.
    fn exit(&mut self, how: &str, at: f64) {
        let (how, word) = how.split_once('/').unwrap_or((how, ""));
        let (code, status) = how.strip_prefix('s').map_or((1_i32, how), |signal| (2, signal));
        let status: i32 = status.parse().unwrap();
        let result = match (word, code, status) {
            ("", 1, 0) | ("", 2, 15) => "success",
            ("", 1, _) => "exit-code",
            ("", ..) => "signal",
            _ => Box::leak(word.to_owned().into_boxed_str()),
        };
        let exited = if code == 1 { "exited" } else { "killed" };
        let exit = format!(r#","EXIT_CODE":"{exited}","EXIT_STATUS":"{status}","COMMAND":"ExecStart""#);
        self.note(at, "98e322203f7a4ed290d09fe03c09fe15", &exit);
        self.note(at, "d9b373ed55a64feb8242e02dbe79a49c", &format!(r#","UNIT_RESULT":"{result}""#));
        self.set(&[
            ("ExecMainExitTimestamp", owned(micros(at))),
            ("ExecMainCode", owned(code)),
            ("ExecMainStatus", owned(status)),
            ("Result", owned(result)),
        ]);
        let is_clean = result == "success";
        self.state(if is_clean { "inactive" } else { "failed" }, if is_clean { "dead" } else { "failed" }, at);
    }

    /// Whether systemd starts it again after how it ended.
    fn wants_it_back(&self) -> bool {
        self.restart == "always" || self.restart == "on-failure" && self.facts.result != "success"
    }

    /// Does what a word says; each step is what a signal would tell.
    fn steps(&mut self, word: &str, value: &str, at: f64) -> Vec<Facts> {
        let mut seen = Vec::new();
        match word {
            // By a hand: a job of its own.
            "start" => {
                self.restarts = 0;
                self.start(at);
            }
            // By systemd, after the delay.
            "again" => {
                self.restarts += 1;
                self.note(at, "5eb03494b6584870a536b337290809b3", "");
                self.set(&[("NRestarts", owned(self.restarts))]);
                self.job(7);
                seen.push(self.facts.clone());
                self.start(at);
            }
            "die" => {
                self.exit(value, at);
                if self.wants_it_back() {
                    seen.push(self.facts.clone());
                    self.state("activating", "auto-restart", at + 0.0001);
                }
            }
            // Somebody asks systemd to stop it, and it ends like this.
            "stop" => {
                self.job(9);
                if self.facts.waits() {
                    self.state("inactive", "dead", at);
                } else {
                    self.note(at, "de5b426a63be47a7b6ac3eaac82e2f6f", r#","JOB_TYPE":"stop""#);
                    self.state("deactivating", "stop-sigterm", at);
                    seen.push(self.facts.clone());
                    self.exit(value, at + 0.01);
                }
                seen.push(self.facts.clone());
                self.job(0);
            }
            "restart" => {
                self.note(at, "de5b426a63be47a7b6ac3eaac82e2f6f", r#","JOB_TYPE":"stop""#);
                self.job(9);
                self.state("deactivating", "stop-sigterm", at);
                seen.push(self.facts.clone());
                self.exit(value, at + 0.01);
                seen.push(self.facts.clone());
                self.restarts = 0;
                self.start(at + 0.02);
            }
            // systemd was to start it again, and does not any more.
            "limit" => {
                self.state("failed", "failed", at);
                self.set(&[("ConditionTimestamp", owned(micros(at + 0.0001)))]);
            }
            "prepare" => {
                self.runs += 1;
                let id: Vec<u8> = self.invocation().into_bytes().to_vec();
                self.set(&[("InvocationID", owned(id)), ("ConditionTimestamp", owned(micros(at)))]);
                self.state("activating", "start-pre", at + 0.001);
                seen.push(self.facts.clone());
                self.set(&[("Result", owned(value.to_owned()))]);
                self.state("failed", "failed", at + 0.2);
            }
            // Somebody changes its file and has it read anew, or replaces its program.
            "edit" => {
                let environment = Array::from(vec![format!("MODE={value}")]);
                self.set(&[("Environment", OwnedVariant::try_from(Variant::Array(environment)).unwrap())]);
            }
            "program" => self.facts.digest = Some(value.to_owned()),
            "gone" => self.set(&[("LoadState", owned("not-found"))]),
            "forget" => self.set(&[("InvocationID", owned(Vec::<u8>::new()))]),
            _ => {}
        }
        seen.push(self.facts.clone());
        seen
    }

    fn look(&mut self, facts: Facts, at: f64, with_journal: bool) -> Vec<Event> {
        let journal = if with_journal { self.journal.join("\n") } else { String::new() };
        let mut events = Vec::new();
        let is_told = !std::mem::take(&mut self.is_behind);
        if let Some(since) = self.tracker.missed_since(&facts, is_told) {
            let mut past = history::runs(journal.as_bytes(), history::ManagerIs::System);
            past.retain(|run: &Past| run.began >= since);
            events.extend(self.tracker.recall(past, &facts, stamp(at)));
        }
        let past = self.tracker.ends(&facts).and_then(|run| {
            history::runs(journal.as_bytes(), history::ManagerIs::System)
                .into_iter()
                .find(|past| past.invocation == run)
        });
        events.extend(self.tracker.look(facts, past, stamp(at)));
        events
    }

    /// Plays `WORD[:VALUE]@SECOND …` and returns what was told. `look` looks, `monitor` begins with another monitor,
    /// `order:COMMAND` is our own order; a word with `~` happens unseen.
    fn play(&mut self, script: &str) -> String {
        let mut told = Vec::new();
        for word in script.split_whitespace() {
            let (word, at) = word.split_once('@').unwrap();
            let at: f64 = at.parse().unwrap();
            let (bare, value) = word.trim_matches('~').split_once(':').unwrap_or((word.trim_matches('~'), ""));
            let mut events = Vec::new();
            match bare {
                "order" => {
                    self.ordered = Some(Ordered { at: time(at), command: command(value) });
                    self.tracker.order(command(value), stamp(at));
                }
                // What was ordered is on the disk before systemd is asked.
                "monitor" => self.tracker = tracker(self.tracker.ledger.clone(), self.ordered, at),
                _ => {
                    let seen = self.steps(bare, value, at);
                    self.is_behind |= word.starts_with('~') || bare == "look";
                    if !word.starts_with('~') {
                        events = seen.into_iter().flat_map(|facts| self.look(facts, at + 0.02, true)).collect();
                    }
                }
            }
            told.extend(events.iter().filter_map(said));
        }
        told.join(", ")
    }
}

fn check(restart: &'static str, script: &str, expected: &str) {
    assert_eq!(Systemd::new(restart).play(script), expected, "{restart}: {script}");
}

#[test]
fn what_dies_and_is_started_again_is_systemds() {
    check(
        "always",
        "start@1 die:3@2 again@2.1 die:s9@3 again@3.1 die:0@4 look@9",
        "runs (anonymous), crashed (runtime), waits 100 ms, runs (runtime), killed (runtime), waits 100 ms, \
         runs (runtime), clean (runtime), waits 100 ms",
    );
    check(
        "on-failure",
        "start@1 die:3@2 again@2.1 die:0@3",
        "runs (anonymous), crashed (runtime), waits 100 ms, runs (runtime), clean (runtime, planned), completed",
    );
}

#[test]
fn what_is_not_started_again_has_completed_failed_or_was_given_up() {
    check("no", "start@1 die:0@2", "runs (anonymous), clean (runtime, planned), completed");
    check("no", "start@1 die:1@2", "runs (anonymous), crashed (runtime), failed");
    check("no", "start@1 die:s9/oom-kill@2", "runs (anonymous), oom (runtime), failed");
    check("no", "start@1 die:s6/watchdog@2", "runs (anonymous), watchdog (runtime), failed");
    check("no", "start@1 die:s15/timeout@2", "runs (anonymous), timeout (runtime), failed");
    // Nobody asked systemd, and it does not want it back: that is no stop.
    check("on-failure", "start@1 die:s15@2 look@5", "runs (anonymous), killed (runtime), failed");
    check(
        "always",
        "start@1 die:3@2 again@2.1 die:3@3 limit@3.1 look@9",
        "runs (anonymous), crashed (runtime), waits 100 ms, runs (runtime), crashed (runtime), waits 100 ms, gave_up",
    );
    check("no", "look@1 look@4", "stopped");
    check("no", "gone@1 look@2 look@3.1 look@60", "gone");
    check(
        "no",
        "prepare:exit-code@1 look@4",
        "config (anonymous), failed".replace("config (anonymous)", "runs (anonymous), config (runtime)").as_str(),
    );
}

#[test]
fn who_asks_systemd_to_stop_or_restart_it_is_somebody_who_did_not_say_so() {
    check("always", "start@1 stop:0@5 look@9", "runs (anonymous), clean (anonymous), stopped");
    check("always", "start@1 stop:s9/timeout@5", "runs (anonymous), killed (anonymous), stopped");
    check(
        "always",
        "start@1 restart:0@5 restart:1@9 die:1@12",
        "runs (anonymous), clean (anonymous), runs (anonymous), crashed (anonymous), runs (anonymous), \
         crashed (runtime), waits 100 ms",
    );
    check("always", "start@1 die:1@2 stop:0@2.05", "runs (anonymous), crashed (runtime), waits 100 ms, stopped");
}

#[test]
fn another_program_or_setting_announces_itself() {
    check(
        "always",
        "edit:a@0.5 start@1 edit:b@4 restart:0@5 restart:0@9",
        "stopped, runs (anonymous), clean (anonymous), runs (announced), clean (anonymous), runs (anonymous)",
    );
    check(
        "always",
        "program:old@0.5 start@1 program:new@4 restart:0@5 restart:0@9",
        "stopped, runs (anonymous), clean (anonymous), runs (announced), clean (anonymous), runs (anonymous)",
    );
    // What systemd starts again by itself is its own, however it looks now.
    check(
        "always",
        "edit:a@0.5 start@1 edit:b@4 die:1@5 again@5.1 restart:0@9",
        "stopped, runs (anonymous), crashed (runtime), waits 100 ms, runs (runtime), clean (anonymous), runs (anonymous)",
    );
    // Another monitor knows the program, and from the first look on the settings.
    check(
        "always",
        "edit:a@0.5 program:old@0.5 start@1 monitor@3 look@3.1 edit:b@4 restart:0@5 ~program:new@8 monitor@8 ~restart:0@9 look@10",
        "stopped, runs (anonymous), runs (adopted, runtime), clean (anonymous), runs (announced), clean (anonymous), \
         runs (announced)",
    );
}

#[test]
fn what_we_order_is_ours_and_what_follows_later_is_not() {
    check(
        "always",
        "start@1 order:heal@60 restart:0@60 die:1@70",
        "runs (anonymous), clean (us), runs (us), crashed (runtime), waits 100 ms",
    );
    check(
        "no",
        "start@1 order:restart@60 restart:0@60",
        "runs (anonymous), clean (announced, planned), runs (announced)",
    );
    check("always", "start@1 order:hold@60 stop:0@60 look@63", "runs (anonymous), clean (us, planned), quarantined");
    check(
        "always",
        "start@1 die:1@2 order:hold@2.05 stop:0@2.06",
        "runs (anonymous), crashed (runtime), waits 100 ms, quarantined",
    );
    // It is started again a moment before it is stopped.
    check(
        "always",
        "start@1 die:1@2 order:hold@2.05 again@2.1 stop:0@2.2 look@5",
        "runs (anonymous), crashed (runtime), waits 100 ms, runs (runtime), clean (us, planned), quarantined",
    );
    check(
        "no",
        "start@1 order:stop@60 stop:0@60 order:start@90 start@90.1",
        "runs (anonymous), clean (announced, planned), stopped, runs (announced)",
    );
    check("no", "start@1 order:heal@60 restart:0@900", "runs (anonymous), clean (anonymous), runs (anonymous)");
}

#[test]
fn what_was_ordered_and_done_before_another_monitor_explains_nothing_that_follows() {
    check(
        "always",
        "start@1 order:heal@60 restart:0@60 monitor@70 look@71 restart:0@80",
        "runs (anonymous), clean (us), runs (us), runs (adopted, runtime), clean (anonymous), runs (anonymous)",
    );
    check(
        "always",
        "start@1 order:heal@60 monitor@60.1 look@60.15 restart:0@60.2",
        "runs (anonymous), runs (adopted, runtime), clean (us), runs (us)",
    );
    check(
        "always",
        "start@1 order:hold@60 stop:0@60 look@63 start@70 monitor@75 look@76 stop:0@80 look@83",
        "runs (anonymous), clean (us, planned), quarantined, runs (anonymous), runs (adopted, runtime), clean (anonymous), stopped",
    );
}

#[test]
fn what_came_and_went_unseen_is_in_the_journal() {
    check(
        "always",
        "start@1 ~die:3@2 ~again@2.1 ~die:4@3 ~again@3.1 look@60",
        "runs (anonymous), crashed (runtime), runs (runtime), crashed (runtime), runs (runtime)",
    );
    check("always", "start@1 ~restart:0@5 look@60", "runs (anonymous), clean (anonymous), runs (anonymous)");
    // One that waits is stopped, and forgotten at once.
    check(
        "always",
        "start@1 die:3@2 ~again@2.1 ~die:3@3 ~stop:0@3.05 ~forget@3.06 look@9",
        "runs (anonymous), crashed (runtime), waits 100 ms, runs (runtime), crashed (runtime), stopped",
    );
    // systemd forgets what has ended well.
    check("no", "start@1 ~die:0@2 ~forget@3 look@60", "runs (anonymous), clean (runtime, planned), completed");
    check(
        "always",
        "start@1 monitor@5 look@5 ~die:3@6 ~again@6.1 monitor@9 ~die:3@10 ~again@10.1 look@11",
        "runs (anonymous), runs (adopted, runtime), crashed (runtime), runs (adopted, runtime), crashed (runtime), \
         runs (runtime)",
    );
}

#[test]
fn without_a_journal_nothing_is_counted_twice_and_what_nobody_saw_is_lost() {
    let mut systemd = Systemd::new("always");
    systemd.play("start@1 ~die:3@2 ~again@2.1 ~die:4@3 ~again@3.1");
    let facts = systemd.facts.clone();
    let told: Vec<String> = systemd.look(facts, 60.0, false).iter().filter_map(said).collect();
    assert_eq!(told, ["runs (runtime)"]);
    let ends: Vec<_> =
        systemd.tracker.ledger.runs().filter_map(|run| run.end.as_ref()).map(|end| end.cause.name()).collect();
    assert_eq!(ends, ["lost"]);
}

#[test]
fn an_answer_older_than_what_was_told_since_changes_nothing() {
    let mut systemd = Systemd::new("always");
    systemd.play("start@1");
    let old = systemd.facts.clone();
    systemd.play("die:3@2 again@2.1");
    assert_eq!(systemd.look(old, 2.2, true), []);
}

#[test]
fn a_heal_waits_for_nobody_who_is_about_to_start_it_anyway() {
    for (script, why) in [
        ("start@1", None),
        ("start@1 die:3@2", Some("systemd starts it again by itself")),
        ("start@1 stop:0@2", Some("it does not run any more")),
    ] {
        let mut systemd = Systemd::new("always");
        systemd.play(script);
        assert_eq!(systemd.tracker.why_not_heal(), why, "{script}");
    }
}

/// What systemd did at each turn, whether it was told, and whether it was looked at.
fn turns() -> impl Strategy<Value = Vec<(bool, u8, u16, bool, bool)>> {
    prop::collection::vec((any::<bool>(), 0..4_u8, 50..9_000_u16, any::<bool>(), any::<bool>()), 1..40)
}

proptest! {
    #[test]
    fn whatever_is_told_or_not_the_journal_has_every_run_and_each_is_counted_once(turns in turns()) {
        for restart in ["no", "on-failure", "always"] {
            let (mut systemd, mut at, mut script) = (Systemd::new(restart), 1.0, String::new());
            // A beginning that is known: what was before us is not asked for.
            systemd.play("start@1");
            for (by_hand, code, after_ms, is_told, is_looked_at) in &turns {
                at += f64::from(*after_ms) / 1000.0;
                let unseen = if *is_told { "" } else { "~" };
                let word = match (systemd.facts.runs(), systemd.facts.waits(), by_hand) {
                    (true, _, true) => format!("{unseen}restart:{code}@{at}"),
                    (true, ..) => format!("{unseen}die:{code}@{at}"),
                    (_, true, _) => format!("{unseen}again@{at}"),
                    _ => format!("{unseen}start@{at}"),
                };
                systemd.play(&word);
                script = format!("{script} {word}");
                if *is_looked_at {
                    systemd.play(&format!("look@{}", at + 0.03));
                }
            }
            systemd.play(&format!("look@{}", at + 0.04));
            let ledger = &systemd.tracker.ledger;
            prop_assert_eq!(ledger.runs().count(), systemd.runs as usize, "{}:{}", restart, script);
            let is_running = ledger.last().is_some_and(|run| run.end.is_none());
            prop_assert_eq!(is_running, systemd.facts.runs(), "{}:{}", restart, script);
            let is_lost = |run: &crate::supervise::Run| run.end.as_ref().is_some_and(|end| end.cause.name() == "lost");
            prop_assert!(!ledger.runs().any(is_lost), "{}:{}", restart, script);
        }
    }
}
