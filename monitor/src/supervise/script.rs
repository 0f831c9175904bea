//! For tests of what watches a runtime: times, orders as words, and events as people read them.

use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{Moment, Stamp};

use super::ledger::Who;
use super::message::{Command, Event};

const ZERO_SECS: i64 = 1_800_000_000;

pub(super) fn time(secs: f64) -> Timestamp {
    Timestamp::from_second(ZERO_SECS).unwrap() + Duration::from_secs_f64(secs)
}

pub(super) fn stamp(secs: f64) -> Stamp {
    Stamp { at: Moment::default() + Duration::from_secs_f64(secs), wall: time(secs) }
}

pub(super) fn command(word: &str) -> Command {
    match word {
        "heal" => Command::Heal,
        "hold" => Command::Stop(Who::Us),
        "stop" => Command::Stop(Who::Announced),
        "start" => Command::Start(Who::Announced),
        _ => Command::Restart(Who::Announced),
    }
}

/// Returns what an event tells of how a service goes on.
pub(super) fn said(event: &Event) -> Option<String> {
    Some(match event {
        Event::Started { by, adopted, .. } => {
            let adopted = if *adopted { "adopted, " } else { "" };
            format!("runs ({adopted}{by:?})").to_lowercase()
        }
        Event::Ended { by, planned, ending, .. } => {
            let planned = if *planned { ", planned" } else { "" };
            format!("{} ({by:?}{planned})", ending.cause.name()).to_lowercase()
        }
        Event::Waiting { delay, .. } => format!("waits {} ms", delay.as_millis()),
        Event::Resting { rest, .. } => rest.as_str().to_owned(),
        Event::Identified { .. } | Event::Described { .. } => return None,
        Event::Missed { .. } => "gap".to_owned(),
        Event::Sight { .. } => "sight".to_owned(),
        Event::Refused { .. } => "refused".to_owned(),
    })
}
