//! The first message about a service that ended or fails: what stands in its first line, by the real board, desk and
//! writer of messages.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use kit::clock::{Moment, Stamp};
use monitor::alert::{
    Context, Delivery, DeliveryState, Desk, Elsewhere, EvidenceLevel, Incident, Look, Message, Route, Routes,
    ServiceAlerts, Suppression, Telling, compose, conditions,
};
use monitor::judge::{Board, CheckSpec, Policy, ServiceSpec};
use monitor::probe::Observation;
use monitor::supervise::cause::{Cause, Exit};
use monitor::supervise::process::Ending;
use monitor::supervise::{Event, Rest, Who};
use testkit::{Authority, Certificate, Target};
use uuid::Uuid;

use crate::{SHORT, ask_within, trusting};

/// The service, as the checks of these tests name it.
const SERVICE: &str = "shop";
/// Exits within ten minutes that are a crash loop (DESIGN section 7).
const LOOP_EXITS: i64 = 3;

/// Returns the first line of the first message about a service whose runs end like this: once, with nobody to start it
/// again, or again and again.
pub(crate) fn told_of_an_end(exit: Exit, cause: Cause, last_lines: &[String], is_started_again: bool) -> String {
    let mut board = Board::default();
    board.configure(vec![spec(Vec::new(), true)], at(0), |_| None);
    let runs = if is_started_again { LOOP_EXITS } else { 1 };
    for secs in 1..=runs {
        end_a_run(&mut board, at(secs), exit, cause, last_lines);
    }
    if !is_started_again {
        let resting = Event::Resting { service: SERVICE.to_owned(), rest: Rest::Failed, why: None };
        board.runtime(&resting, at(runs));
    }
    first_line(&board, at(runs))
}

/// Returns the same of a service whose only check finds this again and again.
fn told_of_a_fail(observation: Observation) -> String {
    let check =
        CheckSpec { name: observation.check.check.clone(), policy: Policy::STANDARD, pushed: false, generation: 1 };
    let (now, observation) = (observation.started, Arc::new(observation));
    let mut board = Board::default();
    board.configure(vec![spec(vec![check], false)], now, |_| None);
    for _ in 0..3 {
        let started = board.next_sequence();
        board.observe(observation.clone(), started, now);
    }
    first_line(&board, now)
}

/// A target that fails, the check that asks it, and what the first line must say.
type Fault<'a> = (Target, &'a dyn Fn(&Target) -> String, &'a str);

#[tokio::test]
async fn the_first_line_names_the_true_cause_of_whatever_a_check_finds() {
    let ask = |scheme: &str, target: &Target, more: &str| {
        format!("http: {{ url: '{scheme}://{}/health'{more} }}", target.addr())
    };
    let http = |target: &Target| ask("http", target, "");
    let tcp = |target: &Target| format!("tcp: {{ address: '{}' }}", target.addr());
    let json = "\nexpect: { json: { status: healthy } }";
    let (authority, stranger) = (Authority::new(), Certificate::self_signed());
    let (_file, trust) = trusting(&authority);
    let https = |target: &Target| ask("https", target, &format!(", tls: {{ {trust} }}"));
    let faults: [Fault<'_>; 16] = [
        (Target::refuse(), &tcp, "connection refused by 127.0.0.1:"),
        (Target::blackhole(), &tcp, "no answer within 300ms"),
        (Target::stall(), &http, "no answer within 300ms"),
        (Target::reset(), &http, "connection reset"),
        (Target::close(), &http, "without an answer"),
        (Target::garbage(), &http, "not HTTP"),
        (Target::half_body(), &http, "the answer ended after 29 of 1000 bytes"),
        (Target::answer(503, &[], "busy"), &http, "status 503, expected 2xx"),
        (
            Target::ok("{\"status\": \"broken\"}"),
            &|target| http(target) + json,
            "json status is \"broken\", expected \"healthy\"",
        ),
        (Target::ok("{\"state\": 1}"), &|target| http(target) + json, "json status is missing in {\"state\":1}"),
        (Target::ok("<html>"), &|target| http(target) + json, "the body is not JSON"),
        (
            Target::ok("nothing"),
            &|target| http(target) + "\nexpect: { body_contains: pong }",
            "\"pong\" is not in the answer: nothing",
        ),
        (Target::https(&stranger, "ok"), &https, "certificate is self-signed"),
        (Target::https(&authority.expired(), "ok"), &https, "certificate expired 3 days ago"),
        (Target::https(&authority.wrong_name(), "ok"), &https, "certificate is for wrong.example"),
        (Target::say("220 ready\r\n", &[]), &https, "does not speak TLS"),
    ];
    let mut wrong = Vec::new();
    for (target, check, needed) in &faults {
        let check = check(target);
        let line = told_of_a_fail(ask_within(SHORT, &check).await);
        if !(line.starts_with("shop is down: web: ") && line.contains(needed)) {
            wrong.push(format!("{check}: {line:?} lacks {needed:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_first_line_names_the_true_cause_of_an_end_that_no_program_tells_of() {
    for (exit, oom, needed) in [
        (Exit::Code(137), true, "exited with code 137: out of memory"),
        (Exit::Code(137), false, "exited with code 137: killed by SIGKILL"),
        (Exit::Signal(11), false, "killed by SIGSEGV"),
        (Exit::Spawn(2), false, "could not be started (No such file or directory)"),
        (Exit::Prepare(2), false, "user or working directory refused (No such file or directory)"),
        (Exit::Lost, false, "ended unseen"),
    ] {
        for is_started_again in [false, true] {
            let line = told_of_an_end(exit, Cause::of(exit, oom, ""), &[], is_started_again);
            assert!(line.contains(needed), "{line:?} lacks {needed:?}");
        }
    }
}

fn first_line(board: &Board, now: Stamp) -> String {
    let message = first_message(board, now);
    message.title.lines().next().unwrap_or_default().to_owned()
}

fn first_message(board: &Board, now: Stamp) -> Message {
    let settings = HashMap::from([(Arc::from(SERVICE), ServiceAlerts::standard(true))]);
    let found = conditions(board, &settings, &[], &HashMap::new(), now);
    let routes = Routes(vec![Route { to: vec!["ops".to_owned()], ..Route::default() }]);
    let (channels, suppression) = (["ops".to_owned()], Suppression::default());
    let telling = Telling { routes: &routes, channels: &channels, suppression: &suppression, now };
    let mut desk = Desk::default();
    let mut look = Look { telling, new_id: &mut Uuid::now_v7, is_known: &|_| true };
    let changes = desk.look(&found, &mut look);
    let delivery = changes.deliveries.iter().find(|delivery| delivery.state == DeliveryState::Due);
    let delivery = delivery.unwrap_or_else(|| panic!("nobody is told: {found:?}"));
    message(delivery, desk.find(delivery.incident).unwrap(), now)
}

fn at(secs: i64) -> Stamp {
    let wall = Timestamp::from_second(1_800_000_000 + secs).unwrap();
    Stamp { at: Moment::from_ms(secs * 1000), wall }
}

fn spec(checks: Vec<CheckSpec>, is_run: bool) -> ServiceSpec {
    ServiceSpec {
        name: SERVICE.into(),
        hard_needs: Vec::new(),
        checks,
        start_grace: is_run.then_some(std::time::Duration::from_secs(60)),
        ready: None,
        runtime: None,
        replicas: None,
        replica_of: None,
    }
}

fn end_a_run(board: &mut Board, stamp: Stamp, exit: Exit, cause: Cause, last_lines: &[String]) {
    let (service, run) = (SERVICE.to_owned(), Uuid::now_v7());
    let started = Event::Started { service: service.clone(), run, pid: Some(7), by: Who::Us, adopted: false, stamp };
    board.runtime(&started, stamp);
    let ending = Ending { exit, cause, at: stamp, stopped: None, last_lines: last_lines.to_owned(), record: None };
    board.runtime(&Event::Ended { service, run, by: Who::Runtime, planned: false, ending }, stamp);
}

fn message(delivery: &Delivery, incident: &Incident, now: Stamp) -> Message {
    let context = Context {
        channel: "ops",
        evidence: EvidenceLevel::Full,
        now: now.wall,
        durable: true,
        public_url: None,
        elsewhere: &Elsewhere::default(),
        acknowledge_token: &|_| String::new(),
    };
    compose(&[(delivery, incident)], &context).unwrap()
}
