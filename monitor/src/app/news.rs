//! What follows from news: what readers hear, what the log says, and what is written down.

use kit::clock::Stamp;

use super::restore;
use crate::export::{Change, Shared};
use crate::judge::Effects;
use crate::probe::{Observation, Outcome};
use crate::record::{Mark, Point, StateBatch, Transition};
use crate::supervise::{Event, redact};

/// Takes a workload's event while the monitor stops: the ledger is kept, verdicts stay what they were, since a stop that
/// was asked for is no news of the service.
pub(super) fn stopped(shared: &Shared, event: &Event) {
    let effects = shared.board().runtime(&redacted(event), Stamp::now());
    let Effects { changed_ledgers, ended, .. } = effects;
    let ledgers = Effects { changed_ledgers, ended, ..Effects::default() };
    let mut batch = StateBatch::default();
    follow(shared, ledgers, Stamp::now(), &mut batch);
    shared.stores.state.put(batch);
}

/// Takes a workload's event; returns what follows from it.
pub(super) fn happened(shared: &Shared, event: &Event, now: Stamp) -> Effects {
    let event = &redacted(event);
    match event {
        Event::Started { service, pid, .. } => tracing::info!(service.id = service, pid, "started"),
        Event::Ended { service, ending, planned, .. } => {
            let how = ending.cause.sentence(ending.exit);
            if *planned {
                tracing::info!(service.id = service, how, "ended as planned");
            } else {
                tracing::warn!(service.id = service, how, last_line = ending.last_lines.last(), "ended unplanned");
            }
        }
        Event::Waiting { service, delay, .. } => {
            tracing::info!(service.id = service, delay_ms = delay.as_millis(), "will be started again");
        }
        Event::Resting { service, rest, why } => {
            tracing::info!(
                service.id = service,
                rest = rest.as_str(),
                why = why.as_deref().unwrap_or_default(),
                "rests"
            );
        }
        Event::Identified { service, digest, .. } => tracing::debug!(service.id = service, digest, "identified"),
        Event::Missed { service, run } => {
            tracing::warn!(service.id = service, %run, "runs before this one may be missing: nobody told of them");
        }
        Event::Sight { service, lost: Some(why) } => {
            tracing::warn!(service.id = service, why, "nobody can say whether it runs");
        }
        Event::Described { service, described } => {
            let declared = described.health.as_ref().map(|health| health.state.as_str());
            tracing::debug!(service.id = service, declared, "described");
        }
        Event::Refused { service, command, why } => {
            tracing::error!(service.id = service, ?command, why, "whoever runs it did not do what was asked");
        }
        Event::Sight { service, lost: None } => tracing::info!(service.id = service, "it can be seen again"),
    }
    shared.board().runtime(event, now)
}

/// What a program wrote may hold secrets: they are taken out before anybody keeps or shows it.
fn redacted(event: &Event) -> Event {
    let mut event = event.clone();
    if let Event::Ended { ending, .. } = &mut event {
        ending.last_lines.iter_mut().for_each(|line| *line = redact(line));
    }
    event
}

/// Tells readers what follows from news, and adds what is to be written down to `batch`.
pub(super) fn follow(shared: &Shared, effects: Effects, now: Stamp, batch: &mut StateBatch) {
    {
        let board = shared.board();
        for id in &effects.changed_checks {
            if let Some(check) = board.check(id) {
                restore::keep_check(batch, id, &check.state, now);
            }
        }
        for name in &effects.changed_ledgers {
            if let Some(workload) = board.service(name).and_then(|service| service.workload.as_ref()) {
                restore::keep_ledger(batch, name, &workload.ledger);
            }
        }
        for name in &effects.ended {
            if let Some(workload) = board.service(name).and_then(|service| service.workload.as_ref()) {
                restore::keep_lines(batch, name, &workload.lines);
            }
        }
        shared.progress.send_replace(board.sequence());
    }
    for change in effects.verdicts {
        let (service, to) = (change.service.to_string(), change.to);
        let from = change.from.map(|verdict| verdict.as_str().to_owned());
        if to.is_bad() {
            tracing::error!(service.id = service, from, to = to.as_str(), why = change.why, "verdict");
        } else {
            tracing::info!(service.id = service, from, to = to.as_str(), why = change.why, "verdict");
        }
        restore::keep_verdict(batch, &service, to, &change.why, change.at.wall);
        let transition = Transition {
            service: service.clone(),
            from,
            to: to.as_str().to_owned(),
            reason: change.why.clone(),
            at: change.at.wall,
        };
        batch.transitions.push(transition);
        let _nobody_listens = shared.changes.send(Change::Verdict { service, verdict: to.as_str(), why: change.why });
    }
    for (id, health) in effects.healths {
        let (service, check) = (id.service.to_string(), id.check.to_string());
        let _nobody_listens = shared.changes.send(Change::Health { service, check, health: health.as_str() });
    }
}

pub(super) fn point(observation: &Observation, is_starting: bool) -> Point {
    let mark = match &observation.outcome {
        Outcome::Fail(_) if is_starting => Mark::Unknown,
        Outcome::Pass if observation.soft.is_empty() => Mark::Pass,
        Outcome::Pass => Mark::Slow,
        Outcome::Fail(_) => Mark::Fail,
        Outcome::Unknown(_) => Mark::Unknown,
    };
    let took_us = u32::try_from(observation.took.as_micros()).unwrap_or(u32::MAX);
    Point { at_ms: observation.started.wall.as_millisecond(), took_us, mark }
}
