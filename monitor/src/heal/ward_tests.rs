//! Healing as stories on a simulated host: who falls ill, who is restarted, and what comes of it.

use proptest::prelude::*;

use super::super::clinic::{Clinic, at};
use super::super::record::{HealAction, HealRecord, HealResult, Pause};
use super::super::settings::{HealSettings, HostHealSettings};
use super::{PatientCard, Ward};
use crate::judge::{Board, WorkloadState};
use crate::probe::{CheckId, ReasonCode};
use crate::supervise::Who;

fn one() -> Clinic {
    Clinic::new(&[("web", &[])], HealSettings::default())
}

fn results(clinic: &Clinic, name: &str) -> Vec<HealResult> {
    clinic.ward.patient(name).unwrap().record.heals.iter().map(|heal| heal.result).collect()
}

#[test]
fn what_hangs_or_refuses_is_restarted_once_and_found_well() {
    for code in [ReasonCode::Timeout, ReasonCode::Refused, ReasonCode::Reset] {
        let mut clinic = one();
        clinic.fall_ill("web", code, Some(1));
        clinic.run_until(1000);
        assert_eq!(results(&clinic, "web"), [HealResult::Worked], "{code:?}");
        assert_eq!(clinic.stands("web"), "up");
        let run = clinic.board.service("web").unwrap().workload.as_ref().unwrap().ledger.last().unwrap().clone();
        assert_eq!(run.started_by, Who::Us);
    }
}

#[test]
fn what_ended_and_is_not_started_again_is_started_unless_that_is_hopeless() {
    for (code, expected) in
        [(1, "up"), (137, "up"), (127, "down, incurable"), (126, "down, incurable"), (78, "down, incurable")]
    {
        let mut clinic = one();
        clinic.crash("web", code);
        clinic.run_until(400);
        assert_eq!(clinic.stands("web"), expected, "exit {code}");
        assert_eq!(clinic.heals.len(), usize::from(expected == "up"), "exit {code}");
    }
}

#[test]
fn what_no_restart_cures_is_left_alone() {
    for code in [
        ReasonCode::Dns,
        ReasonCode::Unreachable,
        ReasonCode::Tls,
        ReasonCode::Certificate,
        ReasonCode::Auth,
        ReasonCode::Rejected,
        ReasonCode::Status,
        ReasonCode::Body,
        ReasonCode::Json,
        ReasonCode::Exit,
    ] {
        let mut clinic = one();
        clinic.fall_ill("web", code, Some(1));
        clinic.run_until(2000);
        assert_eq!(clinic.stands("web"), "down, incurable", "{code:?}");
        assert!(clinic.heals.is_empty(), "{code:?}: {:?}", clinic.heals);
    }
}

#[test]
fn what_a_person_stopped_and_what_takes_its_time_is_left_alone() {
    let mut clinic = one();
    clinic.stop("web");
    clinic.run_until(2000);
    assert_eq!((clinic.stands("web").as_str(), clinic.heals.len()), ("stopped, stopped_by_hand", 0));
    let mut clinic = one();
    clinic.start_slowly("web", 50);
    clinic.stop("web");
    clinic.start("web", Who::Announced);
    clinic.run_until(150);
    assert_eq!(clinic.stands("web"), "starting, starting");
    clinic.run_until(1000);
    assert_eq!((clinic.stands("web").as_str(), clinic.heals.len()), ("up", 0));
}

#[test]
fn a_slow_starter_that_was_healed_gets_its_whole_grace() {
    let mut clinic = one();
    clinic.start_slowly("web", 50);
    clinic.fall_ill("web", ReasonCode::Timeout, Some(1));
    clinic.run_until(1000);
    assert_eq!(results(&clinic, "web"), [HealResult::Worked]);
}

#[test]
fn who_needs_something_broken_is_not_restarted_and_the_root_is() {
    let mut clinic = Clinic::new(&[("store", &[]), ("api", &["store"]), ("web", &["api"])], HealSettings::default());
    for name in ["store", "api", "web"] {
        clinic.fall_ill(name, ReasonCode::Timeout, Some(1));
    }
    while clinic.heals.is_empty() && clinic.now < 300 {
        clinic.run_until(clinic.now + 1);
    }
    assert_eq!(clinic.stands("web"), "down, need_down");
    clinic.run_until(900);
    let order: Vec<&str> = clinic.heals.iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(order, ["store", "api", "web"]);
}

#[test]
fn what_keeps_data_is_restarted_only_if_told_so() {
    for (stateful, expected) in [(false, "down, stateful"), (true, "up")] {
        let mut clinic = Clinic::new(&[("postgres", &[])], HealSettings { stateful, quarantine: false });
        clinic.fall_ill("postgres", ReasonCode::Timeout, Some(1));
        clinic.run_until(600);
        assert_eq!(clinic.stands("postgres"), expected);
    }
}

#[test]
fn two_heals_in_vain_are_given_up_and_slow_tries_go_on_until_it_is_mended() {
    let mut clinic = one();
    clinic.fall_ill("web", ReasonCode::Timeout, None);
    clinic.run_until(6 * 3600);
    let times: Vec<i64> = clinic.heals.iter().map(|(at, ..)| *at).collect();
    let waits: Vec<i64> = times.iter().zip(times.iter().skip(1)).map(|(one, next)| next - one).collect();
    assert!((4..=12).contains(&times.len()), "{times:?}");
    assert!(waits.is_sorted(), "{waits:?}");
    let minutes: Vec<i64> = waits.iter().skip(1).map(|wait| wait / 60).collect();
    // Each try has a minute of grace, and is then found in vain.
    assert_eq!(minutes, [16, 31, 61, 121], "{waits:?}");
    assert_eq!(clinic.stands("web"), "gave_up, gave_up");
    clinic.recover("web");
    clinic.run_until(clinic.now + 60);
    assert_eq!(clinic.stands("web"), "up");
    // Ten good minutes later it begins anew.
    clinic.run_until(clinic.now + 1200);
    clinic.fall_ill("web", ReasonCode::Timeout, Some(1));
    clinic.run_until(clinic.now + 120);
    assert_eq!(clinic.stands("web"), "up");
}

#[test]
fn a_half_open_try_that_helps_ends_it() {
    let mut clinic = one();
    clinic.fall_ill("web", ReasonCode::Refused, Some(3));
    clinic.run_until(3600);
    use HealResult::{Failed, Worked};
    assert_eq!(results(&clinic, "web"), [Failed, Failed, Worked]);
    assert_eq!(clinic.stands("web"), "up");
}

#[test]
fn what_breaks_again_soon_was_not_healed() {
    let mut clinic = one();
    for _ in 0..2 {
        clinic.fall_ill("web", ReasonCode::Timeout, Some(1));
        clinic.run_until(clinic.now + 200);
    }
    clinic.fall_ill("web", ReasonCode::Timeout, Some(1));
    clinic.run_until(clinic.now + 60);
    assert_eq!(clinic.stands("web"), "gave_up, gave_up");
    assert_eq!(results(&clinic, "web"), [HealResult::Relapsed, HealResult::Relapsed]);
}

#[test]
fn fifty_that_break_at_once_are_restarted_three_a_minute() {
    let names: Vec<String> = (0..50).map(|index| format!("unit-{index}")).collect();
    let services: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), [].as_slice())).collect();
    let mut clinic = Clinic::new(&services, HealSettings::default());
    for name in &names {
        clinic.fall_ill(name, ReasonCode::Timeout, Some(1));
    }
    clinic.run_until(1500);
    for (from, ..) in &clinic.heals {
        let within = clinic.heals.iter().filter(|(at, ..)| (*from..*from + 60).contains(at)).count();
        assert!(within <= 3, "{within} heals in the minute from {from}");
    }
    assert_eq!(clinic.heals.len(), 50);
    assert!(names.iter().all(|name| clinic.stands(name) == "up"));
}

#[test]
fn while_a_person_pauses_it_nothing_is_healed_and_afterwards_it_is() {
    for whom in [Some("web"), None] {
        let mut clinic = one();
        let pause = Pause { at: at(0).wall, until: None, by: "ops".to_owned(), why: String::new() };
        clinic.ward.set_pause(whom, Some(pause));
        clinic.fall_ill("web", ReasonCode::Timeout, Some(1));
        clinic.run_until(600);
        assert_eq!((clinic.stands("web").as_str(), clinic.heals.len()), ("down, paused", 0));
        clinic.ward.set_pause(whom, None);
        clinic.run_until(700);
        assert_eq!(clinic.stands("web"), "up");
        let short = Pause { at: at(700).wall, until: Some(at(800).wall), by: "ops".to_owned(), why: String::new() };
        clinic.ward.set_pause(whom, Some(short));
        clinic.run_until(1500);
        clinic.fall_ill("web", ReasonCode::Timeout, Some(1));
        clinic.run_until(1600);
        assert_eq!((clinic.stands("web").as_str(), clinic.heals.len()), ("up", 2));
    }
}

#[test]
fn what_loops_is_held_in_quarantine_if_wanted_and_released_by_a_person() {
    let mut clinic = Clinic::new(&[("web", &[])], HealSettings { stateful: false, quarantine: true });
    clinic.loop_for(10);
    let actions: Vec<HealAction> = clinic.heals.iter().map(|(.., action)| *action).collect();
    assert_eq!(actions, [HealAction::Quarantine]);
    assert_eq!(clinic.stands("web"), "gave_up, quarantined");
    clinic.run_until(clinic.now + 4 * 3600);
    assert_eq!(clinic.heals.len(), 1);
    clinic.ward.set_pause(Some("web"), None);
    clinic.start_slowly("web", 30);
    clinic.start("web", Who::Announced);
    clinic.run_until(clinic.now + 120);
    // It is given its time, and then it works; that it had been given up is forgotten after ten good minutes.
    assert_eq!((clinic.stands("web").as_str(), clinic.heals.len()), ("gave_up", 1));
    clinic.run_until(clinic.now + 600);
    assert_eq!((clinic.stands("web").as_str(), clinic.heals.len()), ("up", 1));
}

#[test]
fn what_was_healed_three_times_within_minutes_is_looping_and_left_alone_until_that_is_over() {
    let mut clinic = one();
    for _ in 0..2 {
        clinic.fall_ill("web", ReasonCode::Timeout, Some(1));
        clinic.run_until(clinic.now + 120);
    }
    clinic.crash("web", 1);
    clinic.run_until(clinic.now + 120);
    // Nobody but us has started it.
    assert_eq!((clinic.stands("web").as_str(), clinic.heals.len()), ("crash_looping, looping", 3));
    clinic.run_until(clinic.now + 600);
    assert_eq!(clinic.stands("web"), "up");
}

#[test]
fn what_may_not_be_restarted_is_asked_for_ever_more_seldom_and_is_not_called_tried_in_vain() {
    let mut clinic = one();
    clinic.fall_ill("web", ReasonCode::Timeout, Some(1));
    clinic.refusal = Some("only reading is allowed");
    clinic.run_until(clinic.now + 60);
    let hold = clinic.ward.patient("web").unwrap().hold.as_ref().unwrap().to_string();
    assert!(hold.starts_with("a restart was refused: only reading is allowed; asked again in "), "{hold}");
    clinic.run_until(clinic.now + 3 * 3600);
    let waits: Vec<i64> = clinic.heals.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(waits.is_sorted() && (4..=9).contains(&clinic.heals.len()), "{waits:?}");
    assert_eq!(clinic.stands("web"), "down, refused", "nothing was tried, so nothing was given up");
    clinic.refusal = None;
    clinic.run_until(clinic.now + 3700);
    assert_eq!((clinic.stands("web").as_str(), results(&clinic, "web").pop()), ("up", Some(HealResult::Worked)));
}

#[test]
fn what_is_refused_takes_nobody_elses_turn() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut clinic = Clinic::new(&names.map(|name| (name, &[] as &[&str])), HealSettings::default());
    clinic.refusal = Some("only reading is allowed");
    for name in names {
        clinic.fall_ill(name, ReasonCode::Timeout, Some(1));
    }
    clinic.run_until(clinic.now + 50);
    for name in names {
        assert_eq!(clinic.stands(name), "down, refused", "{name}");
    }
}

#[test]
fn while_people_work_on_it_nothing_is_healed_and_afterwards_it_is() {
    let mut clinic = one();
    clinic.window = Some("maintenance \"patching\"".to_owned());
    clinic.fall_ill("web", ReasonCode::Timeout, Some(1));
    clinic.run_until(clinic.now + 600);
    assert_eq!((clinic.stands("web").as_str(), clinic.heals.len()), ("down, maintenance", 0));
    clinic.window = None;
    clinic.run_until(clinic.now + 60);
    assert_eq!((clinic.stands("web").as_str(), clinic.heals.len()), ("up", 1));
}

#[test]
fn what_was_paused_or_recovered_before_the_order_went_out_is_taken_back() {
    for is_paused in [true, false] {
        let mut clinic = one();
        clinic.fall_ill("web", ReasonCode::Timeout, None);
        clinic.holds_orders = true;
        clinic.run_until(clinic.now + 60);
        let (now, nobody) = (at(clinic.now), |_: &str| None);
        assert!(clinic.ward.is_still_due(&clinic.board, "web", HealAction::Restart, nobody, now));
        assert_eq!(results(&clinic, "web"), [HealResult::Pending]);
        if is_paused {
            let pause = Pause { at: at(0).wall, until: None, by: "ops".to_owned(), why: String::new() };
            clinic.ward.set_pause(None, Some(pause));
        } else {
            clinic.recover("web");
        }
        clinic.run_until(clinic.now + 60);
        let now = at(clinic.now);
        assert!(!clinic.ward.is_still_due(&clinic.board, "web", HealAction::Restart, nobody, now));
        assert_eq!(results(&clinic, "web"), [], "nobody was restarted");
    }
}

#[test]
fn what_an_earlier_monitor_wrote_down_and_never_ordered_is_done_by_the_next_one() {
    let mut clinic = one();
    clinic.fall_ill("web", ReasonCode::Timeout, Some(1));
    clinic.holds_orders = true;
    clinic.run_until(clinic.now + 60);
    let record = clinic.ward.patient("web").unwrap().record.clone();
    clinic.holds_orders = false;
    clinic.heals.clear();
    clinic.ward = Ward::default();
    let card = PatientCard {
        service: "web".into(),
        settings: Some(HealSettings::default()),
        runs: Vec::new(),
        stops: Vec::new(),
    };
    clinic.ward.configure(vec![card], HostHealSettings::default(), |_| record.clone());
    clinic.run_until(clinic.now + 15);
    assert_eq!(clinic.stands("web"), "down, pending", "it may be on its way");
    clinic.run_until(clinic.now + 45);
    assert_eq!((clinic.stands("web").as_str(), clinic.heals.len()), ("up", 1));
    assert_eq!(results(&clinic, "web"), [HealResult::Worked]);
}

#[test]
fn a_monitor_that_starts_during_a_heal_waits_until_it_knows_what_runs() {
    let mut clinic = one();
    clinic.start_slowly("web", 30);
    clinic.fall_ill("web", ReasonCode::Timeout, Some(1));
    let check = CheckId::new("web", "web");
    let mut down = clinic.board.check(&check).unwrap().state;
    while clinic.heals.is_empty() {
        down = clinic.board.check(&check).unwrap().state;
        clinic.run_until(clinic.now + 1);
    }
    clinic.run_until(clinic.now + 2);
    let web = clinic.board.service("web").unwrap();
    let (spec, ledger) = (web.spec.clone(), web.workload.as_ref().unwrap().ledger.clone());
    assert!(ledger.last().unwrap().end.is_none(), "it was started, and has not answered yet");
    // What is on the disk by then: the run, and the check as it was before.
    let (mut board, now) = (Board::starting_at(500), at(clinic.now));
    board.configure(vec![spec], now, |_| Some(down));
    board.restore_workload("web", WorkloadState::restored(ledger, Default::default()));
    clinic.ward.look(&board, |_| None, now, || 0.5);
    assert_eq!(results(&clinic, "web"), [HealResult::Pending]);
}

#[test]
fn what_refuses_and_hangs_in_turn_is_given_up_too() {
    let mut clinic = one();
    for turn in 0..60 {
        let code = if turn % 2 == 0 { ReasonCode::Timeout } else { ReasonCode::Refused };
        clinic.fall_ill("web", code, None);
        clinic.run_until(clinic.now + 60);
    }
    assert!(clinic.heals.len() <= 5, "{:?}", clinic.heals);
    assert!(clinic.stands("web").starts_with("gave_up"), "{}", clinic.stands("web"));
}

#[test]
fn a_record_is_kept_whole_and_joined_with_what_came_before() {
    let mut clinic = one();
    clinic.fall_ill("web", ReasonCode::Timeout, Some(2));
    clinic.run_until(600);
    let record = clinic.ward.patient("web").unwrap().record.clone();
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<HealRecord>(&text).unwrap(), record);
    let joined = record.clone().followed_by(record.clone());
    assert_eq!(joined, record);
}

/// A fault: what the probe says, and how many restarts cure it.
fn faults() -> impl Strategy<Value = Vec<(ReasonCode, Option<u32>, i64)>> {
    let curable =
        (prop::sample::select(vec![ReasonCode::Timeout, ReasonCode::Refused, ReasonCode::Reset]), Just(Some(1)));
    let not = (
        prop::sample::select(vec![
            ReasonCode::Dns,
            ReasonCode::Tls,
            ReasonCode::Status,
            ReasonCode::Body,
            ReasonCode::Json,
        ]),
        Just(None),
    );
    let fault = (prop_oneof![3 => curable, 2 => not], 700..3000i64);
    prop::collection::vec(fault.prop_map(|((code, restarts), length)| (code, restarts, length)), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(testkit::at_scale(15, 500)))]
    #[test]
    fn random_faults_are_healed_where_a_restart_helps_and_never_otherwise(faults in faults()) {
        let mut clinic = one();
        let mut curable = 0;
        for (code, restarts, length) in faults {
            clinic.fall_ill("web", code, restarts);
            curable += usize::from(restarts.is_some());
            clinic.run_until(clinic.now + length);
            prop_assert_eq!(clinic.heals.len(), curable, "{:?}", code);
            clinic.recover("web");
            clinic.run_until(clinic.now + 60);
        }
        prop_assert!(results(&clinic, "web").iter().all(|result| *result == HealResult::Worked));
    }
}

#[test]
fn a_reload_brings_no_pause_back_that_was_ended_since_the_start() {
    let pause = || Pause { at: at(0).wall, until: None, by: "ops".to_owned(), why: String::new() };
    let left = |_: &str| HealRecord { paused: Some(pause()), ..HealRecord::default() };
    let card = || PatientCard {
        service: "web".into(),
        settings: Some(HealSettings::default()),
        runs: Vec::new(),
        stops: Vec::new(),
    };
    let configure = |ward: &mut Ward| {
        ward.configure(vec![card()], HostHealSettings::default(), left);
        ward.restore_pause(Some(pause()));
    };
    let mut ward = Ward::default();
    configure(&mut ward);
    let is_paused =
        |ward: &Ward| (ward.patient("web").unwrap().record.paused.is_some(), ward.pause(at(1).wall).is_some());
    assert_eq!(is_paused(&ward), (true, true), "as the earlier monitor left it");
    ward.set_pause(Some("web"), None);
    ward.set_pause(None, None);
    configure(&mut ward);
    assert_eq!(is_paused(&ward), (false, false));
}
