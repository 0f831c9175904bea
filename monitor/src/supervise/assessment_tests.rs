//! Tables and properties of the assessment: histories in, verdicts out.

use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{Moment, Stamp};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::supervise::cause::Exit;
use crate::supervise::ledger::{Excuse, RUNS_KEPT};

/// One run of a story: seconds of waiting before it, seconds of running, and how it ended.
#[derive(Debug, Clone, Copy)]
struct Life {
    wait: u64,
    run: u64,
    exit: Exit,
    ended_by: Who,
    planned: bool,
    excuse: Option<Excuse>,
}

const fn life(wait: u64, run: u64, exit: Exit) -> Life {
    Life { wait, run, exit, ended_by: Who::Runtime, planned: false, excuse: None }
}

const fn crash(wait: u64, run: u64) -> Life {
    life(wait, run, Exit::Code(1))
}

struct Story {
    ledger: Ledger,
    now: Stamp,
}

impl Story {
    fn new() -> Self {
        let now = Stamp { at: Moment::from_ms(0), wall: Timestamp::from_second(1_800_000_000).unwrap() };
        Self { ledger: Ledger::default(), now }
    }

    fn pass(&mut self, secs: u64) {
        let at = self.now.at + Duration::from_secs(secs);
        self.now = Stamp { at, wall: self.now.wall_of(at) };
    }

    fn start(&mut self, by: Who) -> Uuid {
        let id = Uuid::now_v7();
        self.ledger.record_start(id, self.now, by);
        id
    }

    fn live(&mut self, life: Life) -> Assessment {
        self.pass(life.wait);
        let id = self.start(Who::Us);
        self.pass(life.run);
        let cause = Cause::of(life.exit, false, "");
        let (by, planned, excuse) = (life.ended_by, life.planned, life.excuse);
        assert!(self.ledger.record_end(id, End { at: self.now, by, exit: life.exit, cause, planned, excuse }));
        self.assess()
    }

    fn assess(&self) -> Assessment {
        self.ledger.assess(self.now.at)
    }
}

fn after(lives: impl IntoIterator<Item = Life>) -> Assessment {
    let mut story = Story::new();
    for life in lives {
        story.live(life);
    }
    story.assess()
}

/// Lives `life` again and again, each time after the wait the ledger asks for; returns those waits in seconds.
fn obey(story: &mut Story, life: Life, times: usize) -> Vec<u64> {
    let mut waits = Vec::new();
    let mut wait = 0;
    for _ in 0..times {
        wait = story.live(Life { wait, ..life }).next_delay.unwrap().as_secs();
        waits.push(wait);
    }
    waits
}

#[test]
fn the_third_exit_in_ten_minutes_is_a_loop_and_ten_quiet_minutes_end_it() {
    assert!(!after([crash(0, 200); 2]).crash_looping);
    let mut story = Story::new();
    for _ in 0..3 {
        story.live(crash(0, 200));
    }
    assert!(story.assess().crash_looping);
    assert_eq!(story.assess().exits_10m, 3);
    story.start(Who::Us);
    story.pass(599);
    assert!(story.assess().crash_looping);
    story.pass(1);
    assert!(!story.assess().crash_looping);
    assert_eq!(story.assess().exits_10m, 1, "the exit at the very edge of the window still counts");
}

#[test]
fn dying_just_past_every_peers_cliff_is_a_loop_all_the_same() {
    for secs in [1, 3, 11, 60, 299] {
        assert!(after([crash(0, secs); 3]).crash_looping, "dies every {secs} s");
    }
}

#[test]
fn a_crash_at_once_waits_longer_and_longer_then_gives_up_and_tries_every_15_30_60_minutes() {
    let mut story = Story::new();
    assert_eq!(obey(&mut story, crash(0, 0), 7), [1, 2, 4, 8, 16, 32, 64]);
    assert!(!story.assess().gave_up);
    assert_eq!(obey(&mut story, crash(64, 0), 6), [900, 1800, 3600, 7200, 14400, 14400]);
    let assessment = story.assess();
    assert!(assessment.gave_up);
    assert_eq!(assessment.failed_tries, 5);
}

#[test]
fn a_try_that_runs_is_on_probation_for_ten_minutes_and_its_level_is_not_forgiven() {
    let mut story = Story::new();
    obey(&mut story, crash(0, 0), 8);
    story.pass(900);
    story.start(Who::Us);
    story.pass(599);
    let assessment = story.assess();
    assert_eq!((assessment.gave_up, assessment.probation, assessment.next_delay), (true, true, None));
    story.pass(1);
    let assessment = story.assess();
    assert_eq!((assessment.gave_up, assessment.probation, assessment.level), (false, false, 3.0));
}

#[test]
fn a_try_that_dies_on_probation_waits_longer_even_if_its_level_leaked_below_the_limit() {
    let mut story = Story::new();
    obey(&mut story, crash(0, 0), 8);
    let assessment = story.live(crash(900, 500));
    assert!(assessment.gave_up && assessment.level < 8.0);
    assert_eq!(assessment.next_delay, Some(Duration::from_secs(1800)));
}

#[test]
fn an_announced_start_begins_the_tries_again_but_keeps_the_level() {
    let mut story = Story::new();
    obey(&mut story, crash(0, 0), 11);
    let level = story.assess().level;
    let id = story.start(Who::Announced);
    assert_eq!((story.assess().failed_tries, story.assess().level), (0, level));
    let end = End {
        at: story.now,
        by: Who::Runtime,
        exit: Exit::Code(1),
        cause: Cause::Crashed { code: 1 },
        planned: false,
        excuse: None,
    };
    story.ledger.record_end(id, end);
    assert_eq!(story.assess().next_delay, Some(Duration::from_secs(1800)));
}

#[test]
fn what_no_restart_can_cure_gets_one_second_look_and_is_then_given_up() {
    for code in [78, 126, 127] {
        let mut story = Story::new();
        assert_eq!(obey(&mut story, life(0, 0, Exit::Code(code)), 4), [30, 900, 1800, 3600], "code {code}");
        assert!(story.assess().gave_up);
    }
}

#[test]
fn a_cure_in_between_starts_the_count_of_hopeless_exits_again() {
    let missing = life(0, 0, Exit::Code(127));
    assert!(!after([missing, crash(0, 0), missing]).gave_up);
}

#[test]
fn dying_every_22_minutes_is_recurring_at_the_fourth_exit_and_says_so() {
    let oom = Cause::Oom;
    let mut story = Story::new();
    for count in 1..=4 {
        let id = story.start(Who::Us);
        story.pass(22 * 60);
        let end =
            End { at: story.now, by: Who::Runtime, exit: Exit::Signal(9), cause: oom, planned: false, excuse: None };
        story.ledger.record_end(id, end);
        assert_eq!(story.assess().recurring_crash.is_some(), count == 4);
        assert!(!story.assess().crash_looping);
    }
    let recurring = story.assess().recurring_crash.unwrap();
    assert_eq!(recurring.to_string(), "dies every ~22 min, out of memory");
    story.pass(6 * 3600);
    assert_eq!(story.assess().recurring_crash, None);
}

#[test]
fn six_exits_a_week_are_recurring_but_six_of_unlike_causes_or_one_burst_are_not() {
    let daily = |exit| life(0, 24 * 3600, exit);
    assert!(after([daily(Exit::Code(1)); 5]).recurring_crash.is_none());
    let recurring = after([daily(Exit::Code(1)); 6]).recurring_crash.unwrap();
    assert_eq!((recurring.exits, recurring.to_string().as_str()), (6, "dies every ~24 h, crashed with code 1"));
    let mixed = [Exit::Code(1), Exit::Signal(11), Exit::Spawn(11)].map(daily);
    assert!(after(mixed.into_iter().chain(mixed)).recurring_crash.is_none());
    assert!(after([crash(0, 1); 6]).recurring_crash.is_none());
}

#[test]
fn excused_ends_and_anonymous_ends_spend_nothing_and_restart_soon() {
    for (ended_by, excuse, secs) in [
        (Who::Runtime, Some(Excuse::HostEvent), 1),
        (Who::Runtime, Some(Excuse::DependencyDown), 30),
        (Who::Anonymous, None, 1),
    ] {
        let assessment = after([Life { ended_by, excuse, ..crash(0, 0) }; 20]);
        assert_eq!((assessment.level, assessment.exits_10m, assessment.crash_looping), (0.0, 0, false));
        assert_eq!(assessment.next_delay, Some(Duration::from_secs(secs)), "{excuse:?}");
    }
}

#[test]
fn an_excuse_that_comes_late_takes_the_exit_off_the_budget() {
    let mut story = Story::new();
    story.live(crash(0, 0));
    let id = story.ledger.last().unwrap().id;
    assert!(story.ledger.excuse(id, Excuse::HostEvent));
    assert_eq!(story.assess().level, 0.0);
    assert!(!story.ledger.excuse(Uuid::nil(), Excuse::HostEvent));
}

#[test]
fn what_is_counted_across_a_gap_is_the_least() {
    let mut story = Story::new();
    story.live(crash(0, 5));
    assert_eq!(story.live(crash(1, 5)).counted_exits(), "2");
    let id = story.ledger.last().unwrap().id;
    story.ledger.record_gap(id);
    assert_eq!(story.assess().counted_exits(), "≥ 2");
    let rows = story.ledger.rows();
    assert!(Ledger::restore(Policy::default(), &rows, &story.now).assess(story.now.at).is_at_least);
    story.pass(601);
    assert_eq!(story.assess().counted_exits(), "0");
}

#[test]
fn five_anonymous_restarts_in_an_hour_are_a_finding() {
    let mut story = Story::new();
    story.start(Who::Anonymous);
    for count in 1..=5 {
        story.start(Who::Anonymous);
        story.pass(600);
        assert_eq!(story.assess().something_keeps_restarting_this, count == 5);
    }
    story.pass(3600);
    assert!(!story.assess().something_keeps_restarting_this);
}

#[test]
fn restarts_that_are_more_than_are_kept_are_counted_as_at_least_so_many() {
    let mut story = Story::new();
    for count in 1..=RUNS_KEPT + 10 {
        story.start(Who::Anonymous);
        story.pass(5);
        let expected = if count < RUNS_KEPT { (count - 1).to_string() } else { format!("≥ {}", RUNS_KEPT - 1) };
        assert_eq!(story.assess().counted_restarts(), expected, "{count}");
    }
    story.pass(3600);
    assert_eq!(story.assess().counted_restarts(), "0");
}

#[test]
fn a_stored_ledger_comes_back_with_the_same_assessment_on_another_boots_clock() {
    let mut story = Story::new();
    obey(&mut story, crash(0, 20), 9);
    let json = serde_json::to_string(&story.ledger.rows()).unwrap();
    let reboot = Stamp { at: Moment::from_ms(12_345), wall: story.now.wall };
    let restored = Ledger::restore(Policy::default(), &serde_json::from_str::<Vec<_>>(&json).unwrap(), &reboot);
    assert_eq!(restored.assess(reboot.at), story.assess());
}

#[test]
fn a_start_without_an_end_before_it_counts_the_end_nobody_saw() {
    let mut story = Story::new();
    for _ in 0..3 {
        story.start(Who::Runtime);
        story.pass(60);
    }
    let assessment = story.assess();
    assert_eq!((assessment.exits_10m, assessment.last_cause), (2, Some(Cause::Lost)));
}

#[test]
fn a_second_end_and_an_unknown_run_change_nothing_and_the_list_is_bounded() {
    let mut story = Story::new();
    for _ in 0..RUNS_KEPT + 10 {
        story.live(crash(0, 0));
    }
    assert_eq!(story.ledger.runs().count(), RUNS_KEPT);
    let before = story.ledger.rows();
    let end = story.ledger.last().unwrap().end.clone().unwrap();
    let last = story.ledger.last().unwrap().id;
    assert!(!story.ledger.record_end(last, end.clone()) && !story.ledger.record_end(Uuid::nil(), end));
    assert_eq!(story.ledger.rows(), before);
}

fn any_life() -> impl Strategy<Value = Life> {
    (0u64..2_000, 0u64..2_000, prop::sample::select(vec![Exit::Code(1), Exit::Code(0), Exit::Signal(9)]))
        .prop_map(|(wait, run, exit)| life(wait, run, exit))
}

proptest! {
    #[test]
    fn planned_exits_never_raise_the_level(
        lives in prop::collection::vec(any_life(), 0..30), planned in prop::collection::vec(0u64..300, 1..10),
    ) {
        let mut story = Story::new();
        for life in lives {
            story.live(life);
        }
        for run in planned {
            let before = story.assess();
            let now = story.live(Life { planned: true, ended_by: Who::Announced, ..crash(0, run) });
            let leaked = Duration::from_secs(run).as_secs_f64() / 120.0;
            prop_assert!((now.level - (before.level - leaked).max(0.0)).abs() < 1e-9);
            prop_assert!(now.exits_10m <= before.exits_10m);
            prop_assert_eq!(now.next_delay, Some(Duration::ZERO));
        }
    }

    #[test]
    fn the_level_is_never_negative_and_every_end_has_a_wait(lives in prop::collection::vec(any_life(), 1..60)) {
        let mut story = Story::new();
        for life in lives {
            let assessment = story.live(life);
            prop_assert!((0.0..=10.0).contains(&assessment.level));
            prop_assert!(assessment.next_delay.unwrap() >= Duration::from_secs(1));
        }
    }

    #[test]
    fn once_given_up_the_waits_never_shrink_while_every_try_fails(runs in prop::collection::vec(0u64..599, 1..12)) {
        let mut story = Story::new();
        obey(&mut story, crash(0, 0), 8);
        let mut last = Duration::ZERO;
        for run in runs {
            let wait = story.live(crash(last.as_secs(), run)).next_delay.unwrap();
            prop_assert!(wait >= last && wait >= Duration::from_secs(900));
            last = wait;
        }
    }

    #[test]
    fn a_program_that_dies_every_11_seconds_is_given_up_and_one_that_dies_once_a_month_never(months in 1usize..60) {
        let mut story = Story::new();
        obey(&mut story, crash(0, 11), 9);
        prop_assert!(story.assess().gave_up);
        let monthly = after(vec![crash(0, 30 * 24 * 3600); months]);
        prop_assert!(!monthly.gave_up && !monthly.crash_looping);
        prop_assert_eq!(monthly.next_delay, Some(Duration::from_secs(1)));
    }
}
