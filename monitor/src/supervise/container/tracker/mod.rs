//! Translates what an engine says of one service's container into our events. Pure: news and time come in.
//!
//! It never trusts the engine's count of restarts, which every restart through the API sets back to 0. A run is known by
//! its container and the moment it began, so whatever is seen twice, by an event and by looking, changes nothing.

mod rest;

use std::sync::Arc;

use jiff::Timestamp;
use kit::clock::{Stamp, elapsed};

use super::facts::{Facts, Happening, RestartPolicy, What};
use super::known::{Known, START_EVENT_LATE, run_id};
use super::log_slice::LogSlice;
use super::stopping::{ASKED_FOR, KILLED_CODE, Stopping};
use crate::supervise::cause::{Cause, Exit};
use crate::supervise::described::Described;
use crate::supervise::following::{OpenOrder, Settling, Told, began_by, ended_by};
use crate::supervise::ledger::{End, Ledger, Who};
use crate::supervise::message::{Command, Event};
use crate::supervise::process::Ending;
use crate::supervise::workload::{Sought, Subject};

/// What is new of a container: an event, how it stands, or both, and what the run that ended had written.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) happening: Option<Happening>,
    pub(super) facts: Option<Facts>,
    pub(super) last_lines: Vec<String>,
}

/// What one piece of news is taken with, and what follows from it.
struct Turn {
    now: Stamp,
    /// What the run that ended had written.
    lines: Vec<String>,
    events: Vec<Event>,
}

/// One service's container, through all its runs.
#[derive(Debug)]
pub(super) struct Tracker {
    service: Arc<str>,
    sought: Sought,
    ledger: Ledger,
    /// When we began to look: what is older was not begun before our eyes.
    since: Timestamp,
    /// The container that is followed.
    container: Option<String>,
    /// The latest run that is known.
    latest: Option<Known>,
    /// When somebody asked the latest run to end.
    asked: Option<Timestamp>,
    /// What we asked the engine for.
    order: OpenOrder,
    /// Memory ran out in the latest run.
    oom: bool,
    policy: RestartPolicy,
    stopping: Stopping,
    /// A hash of the settings that its runs have, if that is known.
    settings: Option<String>,
    /// What was last told of what is declared.
    described: Option<Described>,
    /// What was told last.
    told: Told,
    /// When to look again whether it really rests.
    settles: Settling,
}

impl Tracker {
    /// Begins with what is known of earlier runs.
    pub(super) fn new(subject: Subject, now: Stamp) -> Self {
        let latest = subject.ledger.last().map(|run| Known {
            run: run.id,
            began: run.started.wall,
            ended: run.end.as_ref().map(|end| end.at.wall),
        });
        let end = subject.ledger.last().and_then(|run| run.end.as_ref());
        let asked = end.filter(|end| end.by != Who::Runtime).map(|end| end.at.wall);
        Self {
            service: subject.service,
            sought: subject.sought,
            ledger: subject.ledger,
            since: now.wall,
            container: None,
            latest,
            asked,
            order: OpenOrder::left(subject.ordered, latest.map(|latest| latest.began)),
            oom: false,
            policy: RestartPolicy::default(),
            stopping: Stopping::default(),
            settings: None,
            described: None,
            told: Told::Nothing,
            settles: Settling::default(),
        }
    }

    /// Returns the service's id.
    pub(super) fn service(&self) -> &Arc<str> {
        &self.service
    }

    /// Returns how its container is found.
    pub(super) fn sought(&self) -> &Sought {
        &self.sought
    }

    /// Returns the id of the container that is followed.
    pub(super) fn container(&self) -> Option<&str> {
        self.container.as_deref()
    }

    /// Returns when the last thing happened that is known.
    pub(super) fn known_until(&self) -> Option<Timestamp> {
        self.latest.map(|latest| latest.ended.unwrap_or(latest.began))
    }

    /// Notes what we are about to ask the engine for: what follows from that is not an anonymous hand's.
    pub(super) fn order(&mut self, command: Command, now: Stamp) {
        self.order.note(command, now);
        if matches!(command, Command::Stop(_)) && self.told.is_between() {
            self.asked = Some(now.wall);
        }
    }

    /// Notes that the engine did not do what we asked for: what follows is not ours.
    pub(super) fn refused(&mut self, command: Command) {
        let taken_back = self.order.refused(command);
        self.asked.take_if(|asked| taken_back == Some(*asked));
    }

    /// Returns when it wants to be looked at again.
    pub(super) fn settles(&self) -> Option<Stamp> {
        self.settles.at()
    }

    /// Returns whether an event may be of its container.
    pub(super) fn concerns(&self, happening: &Happening) -> bool {
        self.container.as_ref() == Some(&happening.container) || happening.is_of(&self.sought)
    }

    /// Returns whether `facts` tell of a run that began after the one we believe to be running: its end is news that
    /// may still be on its way.
    pub(super) fn is_behind(&self, facts: &Facts) -> bool {
        let began = facts.started;
        self.running().is_some_and(|latest| began.is_some_and(|began| !latest.is(began)))
    }

    /// Returns whether somebody has asked the run that goes on to end.
    pub(super) fn is_asked(&self) -> bool {
        self.running().is_some() && self.asked.is_some()
    }

    /// Returns whether the run that goes on was killed and nobody asked for it: memory may have run out, which the engine
    /// notes a moment later.
    pub(super) fn was_killed(&self, happening: &Happening) -> bool {
        happening.what == What::Died(KILLED_CODE) && self.asked.is_none() && !self.oom && self.runs_at(happening.at)
    }

    /// Returns the log of the run whose end `happening` or `facts` tell, if it is news.
    pub(super) fn lines_wanted(&self, happening: Option<&Happening>, facts: Option<&Facts>) -> Option<LogSlice> {
        if let Some(Happening { what: What::Died(_), container, at, .. }) = happening {
            let latest = self.running().filter(|latest| latest.began <= *at)?;
            return Some(LogSlice::of_run(container, latest.began, *at, &self.ledger));
        }
        let facts = facts.filter(|facts| !facts.running)?;
        let (began, ended) = (facts.started?, facts.finished?);
        let is_news = self.latest.is_none_or(|latest| latest.began < began || latest.ended.is_none());
        (is_news && ended >= began).then(|| LogSlice::of_run(&facts.id, began, ended, &self.ledger))
    }

    /// Takes news and returns what follows from it.
    pub(super) fn take(&mut self, news: News, now: Stamp) -> Vec<Event> {
        let News { happening, facts, last_lines } = news;
        let mut turn = Turn { now, lines: last_lines, events: Vec::new() };
        if let Some(happening) = &happening {
            self.happened(happening, facts.as_ref(), &mut turn);
        }
        // An answer may be ahead of the events, whose turn comes: a run that was never heard of is theirs to tell.
        let is_in_step = |facts: &Facts| {
            let is_ours = self.container.as_ref().is_none_or(|container| *container == facts.id);
            is_ours && facts.started.is_none_or(|began| self.latest.is_some_and(|run| run.is(began)))
        };
        if let Some(facts) = facts.filter(|facts| happening.is_none() || is_in_step(facts)) {
            self.looked(&facts, &mut turn);
        }
        turn.events
    }

    fn happened(&mut self, happening: &Happening, facts: Option<&Facts>, turn: &mut Turn) {
        let at = happening.at;
        let is_ours = self.container.as_ref().is_none_or(|container| *container == happening.container);
        // Of several that are alike one is followed until it has ended; another one may then begin in its place.
        if !is_ours && (happening.what != What::Started || self.running().is_some()) {
            return;
        }
        let stopping = facts.map(|facts| facts.stopping).unwrap_or_default();
        match happening.what {
            What::Started => self.started(happening, facts, turn),
            What::Died(code) => self.died(at, code, facts, turn),
            What::Killed(signal) if self.runs_at(at) && stopping.is_meant_by(signal) => self.asked = Some(at),
            What::OutOfMemory if self.runs_at(at) => self.oom = true,
            // Of one that waits for its restart this is all that is told. In the middle of a restart it is told too.
            What::Stopped if self.latest.is_none_or(|latest| latest.began < at) => {
                self.asked = self.asked.or(Some(at));
                if self.told.is_between() {
                    self.settles.begin(turn.now);
                }
            }
            What::Destroyed => {
                self.container = None;
                self.settles.begin(turn.now);
            }
            What::Killed(_) | What::OutOfMemory | What::Stopped | What::HealthChanged => {}
        }
    }

    fn started(&mut self, happening: &Happening, facts: Option<&Facts>, turn: &mut Turn) {
        let at = happening.at;
        // If it is of a later run already, this one has ended: its own event is on its way.
        let noted = facts.filter(|facts| facts.id == happening.container).and_then(|facts| facts.started);
        let noted = noted.filter(|noted| *noted <= at);
        let is_known = self.latest.is_some_and(|latest| match noted {
            Some(began) => began <= latest.began || latest.is(began),
            // The next run begins after the end of this one, however late the start of this one is told.
            None if latest.ended.is_some_and(|ended| at <= ended) => true,
            None if latest.ended.is_some() => false,
            None => at <= latest.began || elapsed(latest.began, at) < START_EVENT_LATE,
        });
        if !is_known {
            self.learn(facts);
            let by = self.starter(facts, at);
            // Its end, and perhaps more, was never told.
            let is_gap = self.running().is_some();
            self.begin(&happening.container, noted.unwrap_or(at), by, facts, turn);
            self.tell_gap(is_gap, turn);
        }
    }

    fn died(&mut self, at: Timestamp, code: i32, facts: Option<&Facts>, turn: &mut Turn) {
        let Some(latest) = self.running().filter(|latest| latest.began <= at) else { return };
        self.learn(facts);
        let of_this_run = facts.filter(|facts| facts.started.is_some_and(|began| latest.is(began)));
        let oom = of_this_run.is_some_and(|facts| facts.oom_killed);
        self.end(latest, at, Exit::Code(code), oom, turn);
    }

    fn learn(&mut self, facts: Option<&Facts>) {
        let Some(facts) = facts else { return };
        self.policy = facts.policy;
        self.stopping = facts.stopping;
    }

    /// Takes how it stands; says what no event has said.
    fn looked(&mut self, facts: &Facts, turn: &mut Turn) {
        let Some(began) = facts.started else { return self.never_ran(facts, turn) };
        if self.latest.is_some_and(|latest| began < latest.began && !latest.is(began)) {
            // It is of an earlier run: news was faster than the answer.
            return;
        }
        self.learn(Some(facts));
        if self.described.as_ref() != Some(&facts.described) {
            self.described = Some(facts.described.clone());
            let (service, described) = (self.service.to_string(), Box::new(facts.described.clone()));
            turn.events.push(Event::Described { service, described });
        }
        if !self.latest.is_some_and(|latest| latest.is(began)) {
            let (by, is_gap) = (self.finder(facts, began), self.latest.is_some());
            self.begin(&facts.id, began, by, Some(facts), turn);
            self.tell_gap(is_gap, turn);
        }
        self.container = Some(facts.id.clone());
        if facts.running {
            self.runs(facts, turn);
            return;
        }
        let ended = |latest: &Known| facts.finished.filter(|ended| *ended >= latest.began);
        if let Some((latest, ended)) = self.running().and_then(|latest| Some((latest, ended(&latest)?))) {
            self.end(latest, ended, Exit::Code(facts.exit_code), facts.oom_killed, turn);
        }
        self.what_next(facts, turn);
    }

    fn runs(&mut self, facts: &Facts, turn: &mut Turn) {
        let Some(latest) = self.running() else { return };
        self.settles.clear();
        if self.told != Told::Running {
            self.tell_start(latest, Who::Runtime, Some(facts), turn);
        }
    }

    fn begin(&mut self, container: &str, began: Timestamp, by: Who, facts: Option<&Facts>, turn: &mut Turn) {
        let run = run_id(container, began);
        self.ledger.record_start(run, turn.now.stamp_of(began), by);
        self.container = Some(container.to_owned());
        self.settings = facts.and_then(|facts| facts.settings.clone()).or(self.settings.take());
        let latest = Known { run, began, ended: None };
        self.latest = Some(latest);
        (self.asked, self.oom) = (None, false);
        self.order.begun(began);
        self.settles.clear();
        self.tell_start(latest, by, facts, turn);
    }

    fn tell_gap(&self, is_gap: bool, turn: &mut Turn) {
        if let Some(latest) = self.latest.filter(|_| is_gap) {
            turn.events.push(Event::Missed { service: self.service.to_string(), run: latest.run });
        }
    }

    fn tell_start(&mut self, latest: Known, by: Who, facts: Option<&Facts>, turn: &mut Turn) {
        self.told = Told::Running;
        let (service, run) = (self.service.to_string(), latest.run);
        let (adopted, stamp) = (latest.began < self.since, turn.now.stamp_of(latest.began));
        // The process has its number on the engine's host, which need not be ours.
        turn.events.push(Event::Started { service: service.clone(), run, pid: None, by, adopted, stamp });
        if let Some(digest) = facts.and_then(|facts| facts.image.clone()) {
            self.ledger.record_digest(run, digest.clone());
            turn.events.push(Event::Identified { service, run, digest });
        }
    }

    fn end(&mut self, latest: Known, at: Timestamp, exit: Exit, oom: bool, turn: &mut Turn) {
        let last_lines = std::mem::take(&mut turn.lines);
        let cause = Cause::of(exit, oom || self.oom, &last_lines.join("\n"));
        let was_asked = self.asked.is_some_and(|asked| elapsed(asked, at) <= self.stopping.patience(exit));
        if !was_asked {
            self.asked = None;
        }
        let comes_back = self.policy == RestartPolicy::Always;
        let (by, planned) = ended_by(was_asked, self.order.behind(at, ASKED_FOR), cause, comes_back);
        let stamp = turn.now.stamp_of(at);
        self.ledger.record_end(latest.run, End { at: stamp, by, exit, cause, planned, excuse: None });
        self.latest = Some(Known { ended: Some(at), ..latest });
        self.told = Told::Ended;
        let ending = Ending { exit, cause, at: stamp, stopped: None, last_lines, record: None };
        turn.events.push(Event::Ended { service: self.service.to_string(), run: latest.run, by, planned, ending });
        // Without an answer on how it stands, somebody has to look.
        self.settles.begin(turn.now);
    }

    /// Returns who began a run then, before our eyes.
    fn starter(&self, facts: Option<&Facts>, at: Timestamp) -> Who {
        if let Some(by) = began_by(self.order.behind(at, ASKED_FOR)) {
            return by;
        }
        if self.restarts_by_itself(at) {
            return Who::Runtime;
        }
        let before = self.ledger.runs().rev().find_map(|run| run.digest.as_ref());
        let image = facts.and_then(|facts| facts.image.as_ref());
        let settings = facts.and_then(|facts| facts.settings.as_ref());
        // Another image is a new version, and says so; so do other settings.
        let is_other =
            |one: Option<&String>, other: Option<&String>| one.zip(other).is_some_and(|(one, other)| one != other);
        let is_new = is_other(before, image) || is_other(self.settings.as_ref(), settings);
        if is_new { Who::Announced } else { Who::Anonymous }
    }

    /// Returns who began a run that was found running.
    fn finder(&self, facts: &Facts, began: Timestamp) -> Who {
        if self.latest.is_none() { Who::Runtime } else { self.starter(Some(facts), began) }
    }

    /// Returns whether the engine by itself began the run after the latest end.
    fn restarts_by_itself(&self, began: Timestamp) -> bool {
        let was_asked = self.asked.is_some() && !self.order.stops_what_began(began);
        if self.latest.is_none() || was_asked {
            return false;
        }
        let is_clean = self.ledger.last().and_then(|run| run.end.as_ref()).is_some_and(|end| end.cause == Cause::Clean);
        match self.policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure | RestartPolicy::OnFailureAtMost => !is_clean,
            RestartPolicy::No => false,
        }
    }

    /// Returns the latest run if it goes on.
    fn running(&self) -> Option<Known> {
        self.latest.filter(|latest| latest.ended.is_none())
    }

    /// Returns whether what happened then happened to the run that goes on.
    fn runs_at(&self, at: Timestamp) -> bool {
        self.running().is_some_and(|latest| latest.began <= at)
    }
}

#[cfg(test)]
mod tests;
