//! The first message about a service that ended: what stands in its first line, by the real board, desk and writer of
//! messages, in simulated time.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use kit::clock::{Moment, Stamp};
use monitor::alert::{
    Context, Delivery, DeliveryState, Desk, EvidenceLevel, Incident, Look, Message, Route, Routes, ServiceAlerts,
    Suppression, Telling, compose, conditions,
};
use monitor::judge::{Board, ServiceSpec};
use monitor::supervise::cause::{Cause, Exit};
use monitor::supervise::process::Ending;
use monitor::supervise::{Event, Rest, Who};
use uuid::Uuid;

/// Exits within ten minutes that are a crash loop (DESIGN section 7).
const LOOP_EXITS: i64 = 3;

/// Returns the first message about a service whose runs end like this: once, with nobody to start it again, or again and
/// again.
pub(crate) fn first_message(exit: Exit, cause: Cause, last_lines: &[String], is_started_again: bool) -> Message {
    let mut board = Board::default();
    board.configure(vec![spec()], at(0), |_| None);
    let runs = if is_started_again { LOOP_EXITS } else { 1 };
    for secs in 1..=runs {
        end_a_run(&mut board, at(secs), exit, cause, last_lines);
    }
    let now = at(runs);
    if !is_started_again {
        let resting = Event::Resting { service: "web".to_owned(), rest: Rest::Failed, why: None };
        board.runtime(&resting, now);
    }
    let settings = HashMap::from([(Arc::from("web"), ServiceAlerts::standard(true))]);
    let found = conditions(&board, &settings, &[], &HashMap::new(), now);
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

/// A service that nothing asks but how its runs end.
fn spec() -> ServiceSpec {
    ServiceSpec {
        name: "web".into(),
        hard_needs: Vec::new(),
        checks: Vec::new(),
        start_grace: Some(std::time::Duration::from_secs(60)),
        ready: None,
        runtime: None,
        replicas: None,
        replica_of: None,
    }
}

fn end_a_run(board: &mut Board, stamp: Stamp, exit: Exit, cause: Cause, last_lines: &[String]) {
    let (service, run) = ("web".to_owned(), Uuid::now_v7());
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
        acknowledge_token: &|_| String::new(),
    };
    compose(&[(delivery, incident)], &context).unwrap()
}
