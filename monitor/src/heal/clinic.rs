//! A simulated host for tests: services that fall ill, probes that find it, and a ward whose orders are carried out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{Moment, Stamp};
use uuid::Uuid;

use super::elsewhere::{Inquired, Inquiry, Stop};
use super::hold::Hold;
use super::record::{HealAction, HealRecord};
use super::settings::{HealSettings, HostHealSettings};
use super::ward::{PatientCard, Ward};
use crate::judge::{Board, CheckSpec, Policy, ServiceSpec};
use crate::probe::{Address, CheckId, Observation, Outcome, ReasonCode, Seen, Why};
use crate::supervise::cause::{Cause, Exit};
use crate::supervise::process::Ending;
use crate::supervise::{Described, Event, Rest, Way, Who};

pub(super) const GRACE_SECS: i64 = 60;

/// Both clocks at a second.
pub(super) fn at(secs: i64) -> Stamp {
    Stamp { at: Moment::from_ms(secs * 1000), wall: Timestamp::from_second(1_800_000_000 + secs).unwrap() }
}

/// What a service suffers from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Illness {
    pub(super) code: ReasonCode,
    /// How many restarts cure it; none: no restart does.
    pub(super) restarts: Option<u32>,
}

/// One service.
#[derive(Debug, Default)]
struct Actor {
    illness: Option<Illness>,
    run: Option<Uuid>,
    began: i64,
    /// Seconds until it answers after a start.
    slow: i64,
}

pub(super) struct Clinic {
    pub(super) board: Board,
    pub(super) ward: Ward,
    pub(super) now: i64,
    /// When whom what was done.
    pub(super) heals: Vec<(i64, String, HealAction)>,
    names: Vec<Arc<str>>,
    actors: HashMap<Arc<str>, Actor>,
    random: u64,
    due: Vec<(Arc<str>, HealAction)>,
    /// The maintenance window that covers everybody.
    pub(super) window: Option<String>,
    /// Why nobody does what is ordered.
    pub(super) refusal: Option<&'static str>,
    /// Orders are still being written down.
    pub(super) holds_orders: bool,
    /// What is found by another way, and after how many seconds; none: no answer comes.
    pub(super) by_another_way: (Option<Outcome>, i64),
    /// When whoever was asked by another way.
    pub(super) inquiries: Vec<(i64, String)>,
    asked: Vec<(i64, Inquiry)>,
}

impl Clinic {
    /// Makes a host of services, each with its hard needs; all work, and ask to be healed as `settings` says.
    pub(super) fn new(services: &[(&str, &[&str])], settings: HealSettings) -> Self {
        let names: Vec<Arc<str>> = services.iter().map(|(name, _)| Arc::from(*name)).collect();
        let spec = |(name, needs): &(&str, &[&str])| ServiceSpec {
            name: (*name).into(),
            hard_needs: needs.iter().map(|need| Arc::from(*need)).collect(),
            checks: vec![CheckSpec { name: "web".into(), policy: Policy::STANDARD, pushed: false, generation: 1 }],
            start_grace: Some(Duration::from_secs(GRACE_SECS.unsigned_abs())),
            ready: None,
            runtime: None,
            replicas: None,
            replica_of: None,
        };
        let mut board = Board::starting_at(100);
        board.configure(services.iter().map(spec).collect(), at(0), |_| None);
        let mut ward = Ward::default();
        let card = |name: &Arc<str>| PatientCard {
            service: name.clone(),
            settings: Some(settings),
            runs: vec![format!("/usr/bin/{name}")],
            stops: vec![Stop {
                check: "web".into(),
                address: Address::parse("127.0.0.1:8080").unwrap(),
                timeout: Duration::from_secs(3),
            }],
        };
        ward.configure(names.iter().map(card).collect(), HostHealSettings::default(), |_| HealRecord::default());
        let actors = names.iter().map(|name| (name.clone(), Actor::default())).collect();
        let mut clinic = Self {
            board,
            ward,
            now: 0,
            heals: Vec::new(),
            names,
            actors,
            random: 1,
            due: Vec::new(),
            window: None,
            refusal: None,
            holds_orders: false,
            by_another_way: (Some(Outcome::fail(ReasonCode::Timeout, "no answer")), 1),
            inquiries: Vec::new(),
            asked: Vec::new(),
        };
        for name in clinic.names.clone() {
            clinic.start(&name, Who::Runtime);
        }
        clinic.run_until(120);
        clinic
    }

    pub(super) fn fall_ill(&mut self, name: &str, code: ReasonCode, restarts: Option<u32>) {
        self.actor(name).illness = Some(Illness { code, restarts });
    }

    pub(super) fn recover(&mut self, name: &str) {
        self.actor(name).illness = None;
    }

    pub(super) fn start_slowly(&mut self, name: &str, secs: i64) {
        self.actor(name).slow = secs;
    }

    /// It turns out that there is another way to it, inside of what is published.
    pub(super) fn publish(&mut self, name: &str, outside: &str, inside: &str) {
        let way = Way { outside: outside.parse().unwrap(), inside: inside.parse().unwrap() };
        let described = Box::new(Described { ways: vec![way], ..Described::default() });
        self.board.runtime(&Event::Described { service: name.to_owned(), described }, at(self.now));
    }

    /// It ends by itself, and nobody starts it again.
    pub(super) fn crash(&mut self, name: &str, code: i32) {
        self.end(name, Who::Runtime, false, Exit::Code(code));
        self.rest(name, Rest::Failed);
    }

    /// It dies this often, and each time is started again.
    pub(super) fn loop_for(&mut self, times: u32) {
        for _ in 0..times {
            if self.actor("web").run.is_none() {
                return;
            }
            self.end("web", Who::Runtime, false, Exit::Code(1));
            let waiting = Event::Waiting {
                service: "web".to_owned(),
                delay: Duration::from_secs(1),
                assessment: self.board.service("web").unwrap().workload.as_ref().unwrap().assessment(at(self.now).at),
            };
            self.board.runtime(&waiting, at(self.now));
            self.run_until(self.now + 5);
            if self.ward.patient("web").is_some_and(|patient| patient.hold == Some(Hold::Quarantined)) {
                return;
            }
            self.start("web", Who::Runtime);
            self.run_until(self.now + 1);
        }
    }

    /// Somebody stops it.
    pub(super) fn stop(&mut self, name: &str) {
        self.end(name, Who::Announced, true, Exit::Signal(15));
        self.rest(name, Rest::Stopped);
    }

    pub(super) fn start(&mut self, name: &str, by: Who) {
        let (run, stamp) = (Uuid::now_v7(), at(self.now));
        let now = self.now;
        let actor = self.actor(name);
        (actor.run, actor.began) = (Some(run), now);
        let event = Event::Started { service: name.to_owned(), run, pid: Some(7), by, adopted: false, stamp };
        self.board.runtime(&event, stamp);
    }

    /// Lets time pass.
    pub(super) fn run_until(&mut self, until: i64) {
        while self.now < until {
            self.now += 1;
            for (name, action) in std::mem::take(&mut self.due) {
                match self.refusal {
                    _ if self.holds_orders => {}
                    Some(why) => {
                        self.ward.refused(&name, action.command(), why, at(self.now).wall);
                    }
                    None => self.obey(&name, action),
                }
            }
            for (index, name) in (0..).zip(self.names.clone()) {
                let id = CheckId::new(&name, "web");
                let is_suspect = self.board.check(&id).is_some_and(|check| check.state.is_suspect());
                let every = if is_suspect { 2 } else { 10 };
                if (self.now + index) % every == 0 {
                    self.probe(&name, id);
                }
            }
            let now = at(self.now);
            self.board.tick(now);
            let mut random = self.random;
            let rounds = self.ward.look(
                &self.board,
                |_| self.window.clone(),
                now,
                || {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    f64::from(u32::try_from(random >> 33).unwrap()) / f64::from(1u32 << 31)
                },
            );
            self.random = random;
            for (service, why) in rounds.given_up {
                self.board.give_up(&service, why, now);
            }
            self.heals.extend(rounds.orders.iter().map(|(name, action)| (self.now, name.to_string(), *action)));
            self.due = rounds.orders;
            self.ask(rounds.inquiries);
        }
    }

    /// Asks by another way, and hands on what comes of earlier questions.
    fn ask(&mut self, inquiries: Vec<Inquiry>) {
        let now = self.now;
        self.inquiries.extend(inquiries.iter().map(|inquiry| (now, inquiry.service.to_string())));
        self.asked.extend(inquiries.into_iter().map(|inquiry| (now, inquiry)));
        let (Some(outcome), takes) = self.by_another_way.clone() else { return };
        for (_, inquiry) in self.asked.extract_if(.., |(asked, _)| now - *asked >= takes) {
            let found = |inquired: &Inquired| Observation {
                seen: Seen { address: Some("172.18.0.3:80".parse().unwrap()), ..Seen::default() },
                ..observation(inquired.check.clone(), outcome.clone(), now)
            };
            let found: Vec<Observation> = inquiry.checks.iter().map(found).collect();
            self.ward.answered(&inquiry, &found, at(now).at);
        }
    }

    /// Returns the verdict and the veto of a service.
    pub(super) fn stands(&self, name: &str) -> String {
        let verdict = self.board.service(name).unwrap().verdict.as_str();
        let hold = self.ward.patient(name).and_then(|patient| patient.hold.as_ref()).map(|hold| hold.name());
        hold.map_or(verdict.to_owned(), |hold| format!("{verdict}, {hold}"))
    }

    fn obey(&mut self, name: &str, action: HealAction) {
        match action {
            HealAction::Restart => {
                self.end(name, Who::Us, false, Exit::Signal(15));
                self.start_again(name);
            }
            HealAction::Start => self.start_again(name),
            HealAction::Quarantine => {
                self.end(name, Who::Us, true, Exit::Signal(15));
                self.rest(name, Rest::Quarantined);
            }
        }
    }

    fn start_again(&mut self, name: &str) {
        let illness = self.actor(name).illness;
        self.actor(name).illness = match illness {
            Some(Illness { restarts: Some(0 | 1), .. }) => None,
            Some(Illness { code, restarts: Some(more) }) => Some(Illness { code, restarts: Some(more - 1) }),
            other => other,
        };
        self.start(name, Who::Us);
    }

    fn end(&mut self, name: &str, by: Who, planned: bool, exit: Exit) {
        let stamp = at(self.now);
        let Some(run) = self.actor(name).run.take() else { return };
        let cause = Cause::of(exit, false, "");
        let ending = Ending { exit, cause, at: stamp, stopped: None, last_lines: Vec::new(), record: None };
        self.board.runtime(&Event::Ended { service: name.to_owned(), run, by, planned, ending }, stamp);
    }

    fn rest(&mut self, name: &str, rest: Rest) {
        self.board.runtime(&Event::Resting { service: name.to_owned(), rest, why: None }, at(self.now));
    }

    fn probe(&mut self, name: &str, id: CheckId) {
        let now = self.now;
        let actor = self.actor(name);
        let outcome = match (actor.run, actor.illness) {
            (None, _) => Outcome::fail(ReasonCode::Refused, "connection refused"),
            (Some(_), _) if now - actor.began < actor.slow => Outcome::fail(ReasonCode::Refused, "connection refused"),
            (Some(_), Some(illness)) => Outcome::fail(illness.code, format!("{:?}", illness.code)),
            (Some(_), None) => Outcome::Pass,
        };
        let observation = observation(id, outcome, now);
        let started = self.board.next_sequence();
        self.board.observe(Arc::new(observation), started, at(now));
    }

    fn actor(&mut self, name: &str) -> &mut Actor {
        self.actors.get_mut(name).unwrap()
    }
}

pub(super) fn observation(check: CheckId, outcome: Outcome, now: i64) -> Observation {
    Observation {
        check,
        started: at(now),
        took: Duration::from_millis(5),
        phases: Vec::new(),
        outcome,
        soft: Vec::new(),
        seen: Seen::default(),
        why: Why::Schedule,
        trace_id: String::new(),
        is_recorded: false,
    }
}
