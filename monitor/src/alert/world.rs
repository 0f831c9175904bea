//! For tests: a whole monitor in simulated time. A true state of services, probes that see it, the real board, desk and
//! outbox, a disk that outlives restarts, and a receiver that can be away.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kit::clock::{Moment, Stamp};

use super::desk::Desk;
use super::external::Externals;
use super::incident::Incident;
use super::message::{Happening, Message, Severity};
use super::outbox::Outbox;
use super::route::{Reminders, Route, Routes};
use super::silence::Suppression;
use super::verdicts::{ServiceAlerts, ServicesAlerts};
use super::world_alerts::{Death, Minutes};
use super::world_disk::{Disk, Row};
use super::world_receiver::Receiver;
use crate::judge::{Board, CheckSpec, Effects, Policy, ServiceSpec};
use crate::probe::{CheckId, Observation, Outcome, Reason, ReasonCode, Seen, Why};
use crate::record::Ticket;

const CHECK: &str = "web";

/// What is true of a service, whoever looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    Up,
    Slow,
    Down,
    /// It fails for another cause.
    Wrong,
    /// Nobody can ask.
    Hidden,
}

/// One service of the world.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) name: Arc<str>,
    pub(super) needs: Vec<Arc<str>>,
    pub(super) every: Duration,
    pub(super) truth: Truth,
    /// Whether the configuration names it.
    pub(super) is_watched: bool,
    due: Moment,
}

/// Everything.
pub(super) struct World {
    pub(super) now: Moment,
    pub(super) services: Vec<Service>,
    pub(super) suppression: Suppression,
    pub(super) routes: Routes,
    pub(super) receivers: BTreeMap<String, Receiver>,
    pub(super) board: Board,
    pub(super) desk: Desk,
    pub(super) outbox: Outbox,
    pub(super) externals: Externals,
    pub(super) settings: ServicesAlerts,
    pub(super) disk: Disk,
    pub(super) minutes: Minutes,
    /// Where the monitor dies next, if it is to.
    pub(super) death: Option<Death>,
    /// Old and new names of services, as the configuration has them.
    renames: Vec<(Arc<str>, Arc<str>)>,
    pub(super) next_id: u128,
    pub(super) random: u64,
    /// How far somebody has set the wall clock ahead.
    pub(super) clock_ahead: SignedDuration,
    /// The grace of services that have a workload; none has one without.
    pub(super) start_grace: Option<Duration>,
}

const BEGIN_SECS: i64 = 1_800_000_000;

impl World {
    /// Services as `name`, `name:need,need` or `name@60` (seconds between probes; 10 by default), told to `ops`.
    pub(super) fn new(services: &str) -> Self {
        let mut world = Self {
            now: Moment::from_ms(0),
            services: services.split_whitespace().map(service).collect(),
            suppression: Suppression::default(),
            routes: Routes(vec![Route {
                to: vec!["ops".to_owned()],
                reminders: Some(Reminders::STANDARD),
                group_interval: Duration::from_secs(30),
                ..Route::default()
            }]),
            receivers: [("ops".to_owned(), Receiver::default())].into(),
            board: Board::default(),
            desk: Desk::default(),
            outbox: Outbox::default(),
            externals: Externals::default(),
            settings: HashMap::new(),
            disk: Disk::default(),
            minutes: Minutes::default(),
            death: None,
            renames: Vec::new(),
            next_id: 1,
            random: 7,
            clock_ahead: SignedDuration::ZERO,
            start_grace: None,
        };
        world.configure();
        world
    }

    /// Takes the services as they are now, as a reload does.
    pub(super) fn configure(&mut self) {
        let watched = || self.services.iter().filter(|service| service.is_watched);
        let specs = watched().map(|service| ServiceSpec {
            name: service.name.clone(),
            hard_needs: service.needs.clone(),
            checks: vec![CheckSpec {
                name: CHECK.into(),
                policy: Policy { every: service.every, ..Policy::STANDARD },
                pushed: false,
                generation: 1,
            }],
            start_grace: self.start_grace,
            ready: None,
            runtime: None,
            replicas: None,
            replica_of: None,
        });
        let checks = &self.disk.checks;
        self.board.configure(specs.collect(), self.stamp(), |id| checks.get(id).copied());
        self.settings = watched().map(|service| (service.name.clone(), ServiceAlerts::standard(true))).collect();
    }

    /// A service is in the configuration from now on, or is not.
    pub(super) fn watch(&mut self, name: &str, is_watched: bool) {
        let service = self.services.iter_mut().find(|service| &*service.name == name).unwrap();
        service.is_watched = is_watched;
        if !is_watched {
            let name = service.name.clone();
            self.disk.put(Row::Check(CheckId::new(&name, CHECK), None));
            self.disk.put(Row::Verdict(name, None));
        }
        self.configure();
    }

    /// A service has a new name in the configuration.
    pub(super) fn rename(&mut self, old: &str, new: &str) {
        let (now, renamed) = (self.stamp(), Arc::<str>::from(new));
        let service = self.services.iter_mut().find(|service| &*service.name == old).unwrap();
        let old = std::mem::replace(&mut service.name, renamed.clone());
        let needs = self.services.iter_mut().flat_map(|service| &mut service.needs);
        needs.filter(|need| **need == old).for_each(|need| *need = renamed.clone());
        self.board.rename(&old, &renamed);
        let changes = self.desk.rename(&old, new, now.wall);
        self.suppression.rename(&old, new);
        self.keep(changes);
        self.renames.retain(|(_, known)| *known != old);
        self.renames.push((old, renamed));
        self.rename_rows();
        self.configure();
    }

    /// The past of a service goes on under its new name.
    fn rename_rows(&mut self) {
        for (old, new) in self.renames.clone() {
            if let Some(state) = self.disk.checks.get(&CheckId::new(&old, CHECK)).copied() {
                self.disk.put(Row::Check(CheckId::new(&old, CHECK), None));
                self.disk.put(Row::Check(CheckId::new(&new, CHECK), Some(state)));
            }
            if let Some(verdict) = self.disk.verdicts.get(&old).cloned() {
                self.disk.put(Row::Verdict(old, None));
                self.disk.put(Row::Verdict(new, Some(verdict)));
            }
        }
    }

    /// Ends the monitor without warning and starts it again: only what is on the disk is left.
    pub(super) fn restart(&mut self) {
        if self.disk.lose_what_waits() {
            self.receivers.values_mut().for_each(Receiver::all_else_is_forgotten);
            self.minutes.taken.clear();
        }
        self.rename_rows();
        self.board = Board::starting_at(u64::try_from(self.now.as_ms()).unwrap() * 1000);
        self.configure();
        for (name, (verdict, why, since)) in self.disk.verdicts.clone() {
            self.board.restore_verdict(&name, verdict, why, since);
        }
        (self.desk, self.outbox, self.externals) = (Desk::default(), Outbox::default(), Externals::default());
        let now = self.stamp();
        for (old, new) in &self.renames {
            let _nothing_is_open = self.desk.rename(old, new, now.wall);
        }
        self.externals.adopt(self.disk.externals(), now.wall);
        let open = self.disk.open_deliveries();
        let is_wanted = |incident: &Incident| !incident.is_over() || open.iter().any(|row| row.incident == incident.id);
        let (ended, current) = self.disk.incidents().filter(is_wanted).partition(Incident::is_over);
        self.desk.adopt(current, ended);
        for mut delivery in open {
            delivery.due = delivery.due.min(now.wall);
            self.outbox.put(delivery, Ticket::default(), now);
        }
    }

    pub(super) fn stamp(&self) -> Stamp {
        let wall = Timestamp::from_millisecond(BEGIN_SECS * 1000 + self.now.as_ms()).unwrap();
        Stamp { at: self.now, wall: wall + self.clock_ahead }
    }

    pub(super) fn set(&mut self, name: &str, truth: Truth) {
        self.services.iter_mut().find(|service| &*service.name == name).unwrap().truth = truth;
    }

    pub(super) fn ops(&mut self) -> &mut Receiver {
        self.receivers.get_mut("ops").unwrap()
    }

    /// Lets seconds pass, one by one.
    pub(super) fn pass(&mut self, secs: u64) {
        let until = self.now + Duration::from_secs(secs);
        while self.now < until {
            self.now = self.now + Duration::from_secs(1);
            self.turn();
        }
    }

    /// Lets time pass in long steps while nothing is due, for replays of weeks.
    pub(super) fn pass_quickly(&mut self, secs: u64) {
        let until = self.now + Duration::from_secs(secs);
        while self.now < until {
            let due = self.services.iter().map(|service| service.due).min().unwrap_or(until);
            let is_calm = self.desk.open().next().is_none() && self.outbox.all().next().is_none();
            let next = if is_calm { due } else { self.now + Duration::from_secs(1) };
            self.now = next.max(self.now + Duration::from_secs(1)).min(until);
            self.turn();
        }
    }

    fn turn(&mut self) {
        let is_due = |service: &Service| service.is_watched && service.due <= self.now;
        let due: Vec<usize> = (0..self.services.len()).filter(|index| is_due(&self.services[*index])).collect();
        for index in due {
            self.probe(index);
        }
        let now = self.stamp();
        let effects = self.board.tick(now);
        self.follow(effects);
        self.look();
        if !self.dies_at(Death::AfterLook) {
            self.send();
        }
    }

    fn probe(&mut self, index: usize) {
        let (now, service) = (self.stamp(), self.services[index].clone());
        let id = CheckId::new(&service.name, CHECK);
        let slow = Reason::new(ReasonCode::Latency, "took 900 ms");
        let (outcome, soft) = match service.truth {
            Truth::Up => (Outcome::Pass, Vec::new()),
            Truth::Slow => (Outcome::Pass, vec![slow]),
            Truth::Down => (Outcome::fail(ReasonCode::Refused, "connection refused"), Vec::new()),
            Truth::Wrong => (Outcome::fail(ReasonCode::Status, "status 500"), Vec::new()),
            Truth::Hidden => (Outcome::local("no socket"), Vec::new()),
        };
        let observation = Observation {
            check: id.clone(),
            started: now,
            took: Duration::from_millis(5),
            phases: Vec::new(),
            outcome,
            soft,
            seen: Seen::default(),
            why: Why::Schedule,
            trace_id: String::new(),
            is_recorded: false,
        };
        let started = self.board.next_sequence();
        let effects = self.board.observe(Arc::new(observation), started, now);
        let is_suspect = self.board.check(&id).is_some_and(|check| check.state.is_suspect());
        let wait = if is_suspect { Duration::from_secs(2) } else { service.every };
        self.services[index].due = self.now + wait;
        for forced in &effects.force {
            let at = self.now + Duration::from_secs(1);
            let needed = self.services.iter_mut().find(|service| service.name == forced.service).unwrap();
            needed.due = needed.due.min(at);
        }
        self.follow(effects);
    }

    /// What the loop writes down.
    fn follow(&mut self, effects: Effects) {
        for id in &effects.changed_checks {
            self.disk.put(Row::Check(id.clone(), Some(self.board.check(id).unwrap().state)));
        }
        for change in effects.verdicts {
            self.disk.put(Row::Verdict(change.service, Some((change.to, change.why, change.at))));
        }
    }

    /// Every accepted message in short: `PAGE db`, `RESOLVED db`, several with `+`.
    pub(super) fn said(&self, receiver: &str) -> Vec<String> {
        let short = |message: &Message| {
            let parts = message.alerts.iter().map(|part| {
                let word = match part.happening {
                    Happening::Opened => part.severity.as_str().to_owned(),
                    other => other.as_str().to_owned(),
                };
                format!("{word} {}", part.service.as_deref().unwrap_or(&part.name))
            });
            parts.collect::<Vec<_>>().join(" + ")
        };
        self.receivers[receiver].messages.iter().map(short).collect()
    }

    /// Services that the receiver shows as open at page level.
    pub(super) fn paged(&self, receiver: &str) -> BTreeSet<String> {
        let open = self.receivers[receiver].open.values();
        open.filter(|(_, severity)| *severity == Severity::Page).map(|(service, _)| service.clone()).collect()
    }
}

fn service(text: &str) -> Service {
    let (text, every) = match text.split_once('@') {
        Some((text, secs)) => (text, Duration::from_secs(secs.parse().unwrap())),
        None => (text, Policy::STANDARD.every),
    };
    let (name, needs) = text.split_once(':').unwrap_or((text, ""));
    let needs = needs.split(',').filter(|need| !need.is_empty()).map(Into::into).collect();
    Service { name: name.into(), needs, every, truth: Truth::Up, is_watched: true, due: Moment::from_ms(1000) }
}
