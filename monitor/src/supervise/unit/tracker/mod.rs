//! Translates what systemd says of one service into our events. Pure: facts and time come in.
//!
//! A run is known by its invocation, which systemd gives no second run; so whatever is seen twice, in a signal, by looking
//! and in the journal, changes nothing. systemd's count of restarts tells only who began a run: any start by hand resets it.

mod rest;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::Stamp;
use uuid::Uuid;

use super::ending::cause_of;
use super::facts::Facts;
use super::history::Past;
use super::version::Made;
use crate::supervise::cause::{Cause, Exit};
use crate::supervise::described::Described;
use crate::supervise::following::{OpenOrder, Settling, Told, began_by, ended_by};
use crate::supervise::ledger::{End, Ledger, Run, Who};
use crate::supervise::message::{Command, Event};
use crate::supervise::process::Ending;
use crate::supervise::workload::{Sought, Subject};

/// What we ordered this long ago may be why something happens now: systemd itself waits 90 s for a stop
/// (`DefaultTimeoutStopSec=`), and as long for a start.
const ORDERED_FOR: Duration = Duration::from_secs(200);

/// How a run ended, with what the journal knows of it.
struct Ended<'a> {
    at: Timestamp,
    exit: Exit,
    result: &'a str,
    asked: bool,
    lines: Vec<String>,
}

/// The latest run that is known.
#[derive(Debug, Clone, Copy)]
struct Latest {
    run: Uuid,
    began: Timestamp,
    ended: Option<Timestamp>,
}

/// One service, through all its runs.
#[derive(Debug)]
pub(super) struct Tracker {
    service: Arc<str>,
    sought: Sought,
    ledger: Ledger,
    /// When we began to look: what is older was not begun before our eyes.
    since: Timestamp,
    latest: Option<Latest>,
    /// How often systemd had started it again when the latest run began.
    restarts: u32,
    /// What the latest run was made from, if it was seen to begin or found running.
    made: Made,
    /// Somebody asked the latest run to end.
    asked: bool,
    order: OpenOrder,
    /// How it stood when it was last looked at.
    facts: Option<Facts>,
    described: Option<Described>,
    told: Told,
    /// When to look again whether it really rests.
    settles: Settling,
}

impl Tracker {
    /// Begins with what is known of earlier runs.
    pub(super) fn new(subject: Subject, now: Stamp) -> Self {
        let latest = subject.ledger.last().map(|run| Latest {
            run: run.id,
            began: run.started.wall,
            ended: run.end.as_ref().map(|end| end.at.wall),
        });
        let end = subject.ledger.last().and_then(|run| run.end.as_ref());
        let asked = end.is_some_and(|end| end.by != Who::Runtime);
        Self {
            service: subject.service,
            sought: subject.sought,
            ledger: subject.ledger,
            since: now.wall,
            latest,
            restarts: 0,
            made: Made::default(),
            asked,
            order: OpenOrder::left(subject.ordered, latest.map(|latest| latest.began)),
            facts: None,
            described: None,
            told: Told::Nothing,
            settles: Settling::default(),
        }
    }

    /// Returns the service's id.
    pub(super) fn service(&self) -> &Arc<str> {
        &self.service
    }

    /// Returns how its unit is found.
    pub(super) fn sought(&self) -> &Sought {
        &self.sought
    }

    /// Returns when it wants to be looked at again.
    pub(super) fn settles(&self) -> Option<Stamp> {
        self.settles.at()
    }

    /// Notes that what systemd says next may begin anew: another connection, or another systemd.
    pub(super) fn forget_order_of_states(&mut self) {
        self.facts = None;
    }

    /// Notes what we are about to ask systemd for: what follows from that is not an anonymous hand's.
    pub(super) fn order(&mut self, command: Command, now: Stamp) {
        self.order.note(command, now);
        if matches!(command, Command::Stop(_)) && self.told.is_between() {
            self.asked = true;
        }
    }

    /// Notes that systemd did not do what we asked for: what follows is not ours.
    pub(super) fn refused(&mut self, command: Command) {
        if self.order.refused(command).is_some() && self.told.is_between() {
            self.asked = false;
        }
    }

    /// Returns why a restart to heal it must not be now, if so.
    pub(super) fn why_not_heal(&self) -> Option<&'static str> {
        let facts = self.facts.as_ref()?;
        if facts.waits() {
            return Some("systemd starts it again by itself");
        }
        if facts.has_job || facts.active == "deactivating" {
            return Some("somebody is starting or stopping it");
        }
        (!facts.runs()).then_some("it does not run any more")
    }

    /// Returns whether `facts` are of a run that is not known yet.
    pub(super) fn is_new(&self, facts: &Facts) -> bool {
        self.latest.is_some_and(|latest| facts.invocation.is_some_and(|invocation| invocation != latest.run))
    }

    /// Returns whether it is not known yet what the run that `facts` are of was made from.
    pub(super) fn is_made_of_unknown(&self, facts: &Facts) -> bool {
        facts.invocation.is_some_and(|run| !self.made.is_of(run))
    }

    /// Returns whether the run that `facts` are of is not known by its program yet.
    pub(super) fn wants_digest(&self, facts: &Facts) -> bool {
        let is_known = |last: &Run| Some(last.id) == facts.invocation && last.digest.is_some();
        facts.invocation.is_some() && !self.ledger.last().is_some_and(is_known)
    }

    /// Returns since when the journal has to be asked before `facts` are taken: runs may have come and gone unseen, unless
    /// `is_told` says that systemd has told each step.
    pub(super) fn missed_since(&self, facts: &Facts, is_told: bool) -> Option<Timestamp> {
        let latest = self.latest?;
        let is_another = self.is_new(facts);
        let was_known = self.facts.as_ref().is_none_or(|before| before.invocation.is_some());
        let is_forgotten = facts.invocation.is_none() && (latest.ended.is_none() || was_known && !is_told);
        let is_next = is_told && latest.ended.is_some();
        (is_forgotten || is_another && !is_next).then_some(latest.began)
    }

    /// Returns the run whose end `facts` tell, if that is news.
    pub(super) fn ends(&self, facts: &Facts) -> Option<Uuid> {
        facts.ended()?;
        let is_known = self.ledger.runs().any(|run| Some(run.id) == facts.invocation && run.end.is_some());
        facts.invocation.filter(|_| !is_known)
    }

    /// Takes the runs that the journal tells of: those that came and went, and those before the one that `facts` are of.
    pub(super) fn recall(&mut self, past: Vec<Past>, facts: &Facts, now: Stamp) -> Vec<Event> {
        let (mut events, current) = (Vec::new(), facts.invocation);
        let restarts = facts.restarts_after_a_clean_end();
        // The journal may be ahead of what is told: what comes after the current run has its turn later.
        let last = past.iter().position(|run| current == Some(run.invocation)).unwrap_or(past.len());
        for run in past.into_iter().take(last.saturating_add(1)) {
            let known = self.ledger.runs().find(|known| known.id == run.invocation).map(|known| known.end.is_some());
            if known == Some(true) {
                continue;
            }
            if known.is_none() {
                let made_of = Some(facts).filter(|_| current == Some(run.invocation));
                let by = self.beginner(run.by_itself, run.began, made_of);
                self.begin(run.invocation, run.began, by, now, &mut events);
            }
            let (Some(at), false) = (run.ended, current == Some(run.invocation)) else { continue };
            let result = run.result.as_deref().unwrap_or_default();
            let exit = run.exit.unwrap_or(if result == "success" { Exit::Code(0) } else { Exit::Unstarted });
            let (exit, lines) = (run.explained(exit), run.last_lines());
            self.record_end(Ended { at, exit, result, asked: run.asked, lines }, restarts, now, &mut events);
        }
        events
    }

    /// Takes how it stands; `past` is what the journal knows of the run that [`Tracker::ends`] names.
    pub(super) fn look(&mut self, facts: Facts, past: Option<Past>, now: Stamp) -> Vec<Event> {
        let mut events = Vec::new();
        if self.facts.as_ref().is_some_and(|before| facts.changed_us < before.changed_us) {
            // It was on its way while something newer was asked for.
            return events;
        }
        self.describe(&facts, &mut events);
        self.notice_asking(&facts);
        if let (Some(began), Some(invocation)) = (facts.began(), facts.invocation) {
            self.follow(&facts, invocation, began, past.as_ref(), now, &mut events);
        }
        if facts.invocation.is_none() && facts.is_at_rest() {
            // systemd has forgotten it, and the journal does not know its end.
            self.lose(now, &mut events);
        }
        self.say_what_next(&facts, now, &mut events);
        self.facts = Some(facts);
        events
    }

    fn follow(
        &mut self,
        facts: &Facts,
        invocation: Uuid,
        began: Timestamp,
        past: Option<&Past>,
        now: Stamp,
        events: &mut Vec<Event>,
    ) {
        if self.latest.is_none_or(|latest| latest.run != invocation) {
            if self.ledger.runs().any(|run| run.id == invocation) {
                return;
            }
            let by = match past {
                Some(past) if facts.restarts == 0 => self.beginner(past.by_itself, began, Some(facts)),
                _ => self.starter(facts, began),
            };
            self.begin(invocation, began, by, now, events);
            self.restarts = facts.restarts;
        }
        let Some(latest) = self.running().filter(|latest| latest.run == invocation) else { return };
        self.identify(facts, latest.run, events);
        let Some(at) = facts.ended() else {
            self.settles.clear();
            self.restarts = facts.restarts;
            if self.told != Told::Running {
                self.tell_start(latest, Who::Runtime, now, events);
            }
            return;
        };
        let exit = facts.exit().or_else(|| past.and_then(|past| past.exit)).unwrap_or(match facts.result.as_str() {
            "success" => Exit::Code(0),
            _ => Exit::Unstarted,
        });
        let exit = past.map_or(exit, |past| past.explained(exit));
        let asked = self.asked || past.is_some_and(|past| past.asked);
        let lines = past.map(Past::last_lines).unwrap_or_default();
        // The verdict on a start is not that on the run before it.
        let result = if facts.result == "start-limit-hit" { "exit-code" } else { &facts.result };
        let result = past.and_then(|past| past.result.as_deref()).unwrap_or(result);
        self.end_of(facts, Ended { at, exit, result, asked, lines }, now, events);
    }

    fn describe(&mut self, facts: &Facts, events: &mut Vec<Event>) {
        let described = facts.described();
        if facts.exists() && self.described.as_ref() != Some(&described) {
            self.described = Some(described.clone());
            let (service, described) = (self.service.to_string(), Box::new(described));
            events.push(Event::Described { service, described });
        }
    }

    /// A job that ends it is somebody's: what fails by itself, or is killed by its watchdog, has none.
    fn notice_asking(&mut self, facts: &Facts) {
        let is_latest = self.latest.is_some_and(|latest| facts.invocation == Some(latest.run));
        let is_asked = facts.has_job && facts.active == "deactivating" && facts.result == "success";
        if is_latest && is_asked && self.running().is_some() && facts.ended().is_none() {
            self.asked = true;
        }
    }

    fn begin(&mut self, run: Uuid, began: Timestamp, by: Who, now: Stamp, events: &mut Vec<Event>) {
        self.ledger.record_start(run, now.stamp_of(began), by);
        let latest = Latest { run, began, ended: None };
        self.latest = Some(latest);
        self.asked = false;
        self.order.begun(began);
        self.settles.clear();
        self.tell_start(latest, by, now, events);
    }

    fn tell_start(&mut self, latest: Latest, by: Who, now: Stamp, events: &mut Vec<Event>) {
        self.told = Told::Running;
        let (service, run) = (self.service.to_string(), latest.run);
        let (adopted, stamp) = (latest.began < self.since, now.stamp_of(latest.began));
        // The process has its number on systemd's machine, which need not be ours.
        events.push(Event::Started { service, run, pid: None, by, adopted, stamp });
    }

    fn end_of(&mut self, facts: &Facts, ended: Ended<'_>, now: Stamp, events: &mut Vec<Event>) {
        let restarts = facts.restarts_after_a_clean_end() && !facts.is_done();
        self.record_end(ended, restarts, now, events);
    }

    fn record_end(&mut self, ended: Ended<'_>, restarts: bool, now: Stamp, events: &mut Vec<Event>) {
        let Some(latest) = self.running() else { return };
        let Ended { at, exit, result, asked, lines } = ended;
        let cause = match exit {
            Exit::Lost => Cause::Lost,
            _ => cause_of(exit, result, asked, &lines.join("\n")),
        };
        let (by, planned) = ended_by(asked, self.order.behind(at, ORDERED_FOR), cause, restarts);
        let stamp = now.stamp_of(at.max(latest.began));
        self.ledger.record_end(latest.run, End { at: stamp, by, exit, cause, planned, excuse: None });
        self.latest = Some(Latest { ended: Some(stamp.wall), ..latest });
        (self.asked, self.told) = (asked, Told::Ended);
        let ending = Ending { exit, cause, at: stamp, stopped: None, last_lines: lines, record: None };
        events.push(Event::Ended { service: self.service.to_string(), run: latest.run, by, planned, ending });
        self.settles.begin(now);
    }

    /// Returns who began a run that is found now.
    fn starter(&self, facts: &Facts, began: Timestamp) -> Who {
        let is_first = self.latest.is_none() && began < self.since;
        self.beginner(is_first || facts.restarts > self.restarts, began, Some(facts))
    }

    /// Returns who began a run, which is made of what `facts` say, if that is known.
    fn beginner(&self, by_itself: bool, began: Timestamp, made_of: Option<&Facts>) -> Who {
        let otherwise = match made_of {
            _ if by_itself => Who::Runtime,
            Some(facts) if self.made.is_outdated_by(facts, &self.ledger) => Who::Announced,
            _ => Who::Anonymous,
        };
        began_by(self.order.behind(began, ORDERED_FOR)).unwrap_or(otherwise)
    }

    /// Takes what a run is made of.
    fn identify(&mut self, facts: &Facts, run: Uuid, events: &mut Vec<Event>) {
        self.made.note(run, facts);
        let is_known = self.ledger.last().is_some_and(|last| last.id != run || last.digest.is_some());
        if let Some(digest) = facts.digest.clone().filter(|_| !is_known) {
            self.ledger.record_digest(run, digest.clone());
            events.push(Event::Identified { service: self.service.to_string(), run, digest });
        }
    }

    /// Returns the latest run if it goes on.
    fn running(&self) -> Option<Latest> {
        self.latest.filter(|latest| latest.ended.is_none())
    }
}

#[cfg(test)]
mod tests;
