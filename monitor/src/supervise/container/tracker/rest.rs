//! Why nothing runs: the engine starts it again, somebody stopped it, it has done its work, or it never ran at all.

use kit::clock::Stamp;

use super::{Tracker, Turn};
use crate::supervise::cause::{Cause, Exit};
use crate::supervise::container::facts::{Facts, RestartPolicy};
use crate::supervise::container::known::restart_delay;
use crate::supervise::following::{Told, rest_of_the_absent, rest_of_the_stopped};
use crate::supervise::ledger::Who;
use crate::supervise::message::{Event, Rest};

impl Tracker {
    /// Takes that there is no such container.
    pub(in crate::supervise::container) fn absent(&mut self, now: Stamp) -> Vec<Event> {
        let mut turn = Turn { now, lines: Vec::new(), events: Vec::new() };
        self.container = None;
        if matches!(self.told, Told::Resting(_)) || !self.settles.is_over(now) {
            return turn.events;
        }
        if let Some(latest) = self.running() {
            self.end(latest, now.wall, Exit::Lost, false, &mut turn);
        }
        let rest = rest_of_the_absent(&self.ledger, self.order);
        self.rest(rest, &mut turn);
        turn.events
    }

    /// After an end: the engine starts it again, or somebody stopped it, or it has done what it had to do.
    pub(super) fn what_next(&mut self, facts: &Facts, turn: &mut Turn) {
        if facts.restarting {
            self.settles.clear();
            if self.told != Told::Waiting {
                self.told = Told::Waiting;
                let delay = restart_delay(&self.ledger);
                let assessment = self.ledger.assess(turn.now.at);
                turn.events.push(Event::Waiting { service: self.service.to_string(), delay, assessment });
            }
            return;
        }
        if matches!(self.told, Told::Resting(_)) {
            return;
        }
        let is_clean = self.ledger.last().and_then(|run| run.end.as_ref()).is_some_and(|end| end.cause == Cause::Clean);
        let rest = match (self.asked.is_some(), facts.policy) {
            // What is always started again and is not was stopped, or its engine is on its way down.
            (true, _) | (_, RestartPolicy::Always) => rest_of_the_stopped(&self.ledger, self.order),
            _ if is_clean => Rest::Completed,
            (false, RestartPolicy::OnFailureAtMost) if facts.start_error.is_none() => Rest::GaveUp,
            _ => Rest::Failed,
        };
        let may_go_on = matches!(rest, Rest::Stopped | Rest::Quarantined);
        if !may_go_on || self.settles.is_over(turn.now) {
            self.rest(rest, turn);
        }
    }

    pub(super) fn never_ran(&mut self, facts: &Facts, turn: &mut Turn) {
        let is_older = self.container.as_ref().is_some_and(|container| *container != facts.id);
        if is_older || matches!(self.told, Told::Resting(_)) || !self.settles.is_over(turn.now) {
            return;
        }
        self.container = Some(facts.id.clone());
        let (Some(error), Some(created)) = (&facts.start_error, facts.created) else {
            return self.rest(if facts.start_error.is_some() { Rest::Failed } else { Rest::Stopped }, turn);
        };
        // It is a run that ended before it began: the engine's words are all that it left.
        if !self.latest.is_some_and(|latest| latest.is(created)) {
            self.begin(&facts.id, created, Who::Anonymous, Some(facts), turn);
            turn.lines = vec![error.clone()];
        }
        if let Some(latest) = self.running() {
            self.end(latest, created, Exit::Code(facts.exit_code), false, turn);
        }
        self.rest(Rest::Failed, turn);
    }

    fn rest(&mut self, rest: Rest, turn: &mut Turn) {
        self.settles.clear();
        self.told = Told::Resting(rest);
        turn.events.push(Event::Resting { service: self.service.to_string(), rest, why: None });
    }
}
