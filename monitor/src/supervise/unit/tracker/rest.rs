//! Why nothing runs: systemd starts it again, somebody stopped it, it has done its work, or there is no such unit.

use kit::clock::Stamp;

use super::{Ended, Tracker};
use crate::supervise::cause::Exit;
use crate::supervise::following::{Told, rest_of_the_absent, rest_of_the_stopped};
use crate::supervise::ledger::Who;
use crate::supervise::message::{Event, Rest};
use crate::supervise::unit::facts::Facts;

impl Tracker {
    /// While nothing runs: systemd starts it again, or somebody stopped it, or it has done what it had to do.
    pub(super) fn say_what_next(&mut self, facts: &Facts, now: Stamp, events: &mut Vec<Event>) {
        if facts.runs() {
            return;
        }
        if facts.waits() && facts.exists() {
            self.settles.clear();
            if self.told != Told::Waiting {
                self.told = Told::Waiting;
                let assessment = self.ledger.assess(now.at);
                let (service, delay) = (self.service.to_string(), facts.delay());
                events.push(Event::Waiting { service, delay, assessment });
            }
            return;
        }
        if facts.has_job || !(facts.is_at_rest() || facts.is_done()) {
            return;
        }
        if !facts.exists() {
            if !matches!(self.told, Told::Resting(_)) && self.settles.is_over(now) {
                self.absent(facts, now, events);
            }
            return;
        }
        let rest = self.rest_of(facts);
        let is_news = match self.told {
            Told::Resting(told) => told != rest && rest == Rest::GaveUp,
            _ => true,
        };
        let may_go_on = rest == Rest::Failed && facts.restart != "no";
        if is_news && (!may_go_on || self.settles.is_over(now)) {
            self.rest(rest, None, events);
        }
    }

    /// Takes that there is no such unit, or that its file is of no use.
    fn absent(&mut self, facts: &Facts, now: Stamp, events: &mut Vec<Event>) {
        self.lose(now, events);
        let rest = rest_of_the_absent(&self.ledger, self.order);
        self.rest(rest, Some(facts.load_words().to_owned()), events);
    }

    fn rest_of(&self, facts: &Facts) -> Rest {
        let end = self.ledger.last().and_then(|run| run.end.as_ref());
        match end {
            _ if facts.hit_its_limit() => Rest::GaveUp,
            _ if self.asked => rest_of_the_stopped(&self.ledger, self.order),
            Some(end) if end.planned && end.by == Who::Runtime => Rest::Completed,
            // Who fails and waits for the next start, and is stopped then, has no run that could be asked to end. systemd
            // keeps what has failed as such; what it calls inactive, or has forgotten, was stopped.
            Some(_) if facts.active == "inactive" && self.is_stopped_waiting(facts) => {
                rest_of_the_stopped(&self.ledger, self.order)
            }
            Some(_) => Rest::Failed,
            None if facts.active == "failed" => Rest::Failed,
            None => Rest::Stopped,
        }
    }

    fn is_stopped_waiting(&self, facts: &Facts) -> bool {
        facts.result != "success" || facts.invocation.is_none() || self.told == Told::Waiting
    }

    pub(super) fn lose(&mut self, now: Stamp, events: &mut Vec<Event>) {
        let ended = Ended { at: now.wall, exit: Exit::Lost, result: "", asked: false, lines: Vec::new() };
        self.record_end(ended, false, now, events);
    }

    fn rest(&mut self, rest: Rest, why: Option<String>, events: &mut Vec<Event>) {
        self.settles.clear();
        self.told = Told::Resting(rest);
        events.push(Event::Resting { service: self.service.to_string(), rest, why });
    }
}
