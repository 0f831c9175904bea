//! For tests: a whole monitor in simulated time. A true state of services, probes that see it, the real board, desk and
//! outbox, a disk that outlives restarts, and a receiver that can be away.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kit::backoff::Backoff;
use kit::clock::{Moment, Stamp};
use uuid::Uuid;

use super::channel::EvidenceLevel;
use super::compose::{Context, compose};
use super::delivery::{Delivery, DeliveryId, DeliveryState};
use super::desk::{Desk, Look};
use super::incident::Incident;
use super::message::{Happening, Message, Severity};
use super::outbox::{Outbox, Pick};
use super::route::{Reminders, Route, Routes};
use super::silence::Suppression;
use super::tell::{Changes, Telling};
use super::verdicts::{ServiceAlerts, ServicesAlerts, conditions};
use crate::judge::{Board, CheckSpec, CheckState, Effects, Policy, ServiceSpec, Verdict};
use crate::probe::{CheckId, Observation, Outcome, Reason, ReasonCode, Seen, Why};
use crate::record::Ticket;

const RETRY: Backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(60) };
const CHECK: &str = "web";

/// What is true of a service, whoever looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    Up,
    Slow,
    Down,
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
    due: Moment,
}

/// A channel's other side.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    /// Whether it takes anything.
    pub(super) is_away: bool,
    /// Whether it refuses for good.
    pub(super) refuses: bool,
    /// What it would show as open, by incident: the service and how urgent.
    pub(super) open: BTreeMap<Uuid, (String, Severity)>,
    pub(super) keys: BTreeSet<String>,
    /// Every message that was accepted, without repeats.
    pub(super) messages: Vec<Message>,
}

impl Receiver {
    fn take(&mut self, message: &Message) -> bool {
        if self.is_away {
            return false;
        }
        if !self.keys.insert(message.key.clone()) {
            return true;
        }
        for part in &message.alerts {
            match part.happening {
                Happening::Resolved => {
                    assert!(self.open.remove(&part.incident).is_some(), "an end without a beginning: {part:?}");
                }
                _ => {
                    let about = part.service.clone().unwrap_or_else(|| part.name.clone());
                    self.open.insert(part.incident, (about, part.severity));
                }
            }
        }
        self.messages.push(message.clone());
        true
    }
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
    outbox: Outbox,
    settings: ServicesAlerts,
    incidents: HashMap<Uuid, String>,
    deliveries: HashMap<DeliveryId, String>,
    checks: HashMap<CheckId, CheckState>,
    verdicts: HashMap<Arc<str>, (Verdict, String, Stamp)>,
    next_id: u128,
    random: u64,
    /// How far somebody has set the wall clock ahead.
    pub(super) clock_ahead: SignedDuration,
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
            settings: HashMap::new(),
            incidents: HashMap::new(),
            deliveries: HashMap::new(),
            checks: HashMap::new(),
            verdicts: HashMap::new(),
            next_id: 1,
            random: 7,
            clock_ahead: SignedDuration::ZERO,
        };
        world.configure();
        world
    }

    /// Takes the services as they are now, as a reload does.
    pub(super) fn configure(&mut self) {
        let specs = self.services.iter().map(|service| ServiceSpec {
            name: service.name.clone(),
            hard_needs: service.needs.clone(),
            checks: vec![CheckSpec {
                name: CHECK.into(),
                policy: Policy { every: service.every, ..Policy::STANDARD },
                pushed: false,
                generation: 1,
            }],
            start_grace: None,
        });
        let checks = &self.checks;
        self.board.configure(specs.collect(), self.stamp(), |id| checks.get(id).copied());
        let names = self.services.iter().map(|service| service.name.clone());
        self.settings = names.map(|name| (name, ServiceAlerts::standard(true))).collect();
    }

    /// A service has a new name in the configuration.
    pub(super) fn rename(&mut self, old: &str, new: &str) {
        let (now, renamed) = (self.stamp(), Arc::<str>::from(new));
        self.services.iter_mut().find(|service| &*service.name == old).unwrap().name = renamed.clone();
        self.board.rename(old, &renamed);
        let changes = self.desk.rename(old, new, now.wall);
        self.keep(changes);
        self.configure();
    }

    /// Ends the monitor without warning and starts it again: only what is on the disk is left.
    pub(super) fn restart(&mut self) {
        self.board = Board::starting_at(u64::try_from(self.now.as_ms()).unwrap() * 1000);
        self.configure();
        for (name, (verdict, why, since)) in self.verdicts.clone() {
            self.board.restore_verdict(&name, verdict, why, since);
        }
        self.desk = Desk::default();
        self.outbox = Outbox::default();
        let now = self.stamp();
        let deliveries: Vec<Delivery> =
            self.deliveries.values().map(|body| serde_json::from_str(body).unwrap()).collect();
        let open: Vec<Delivery> = deliveries.into_iter().filter(|delivery| delivery.state.is_open()).collect();
        let incidents = self.incidents.values().map(|body| serde_json::from_str::<Incident>(body).unwrap());
        let is_wanted = |incident: &Incident| !incident.is_over() || open.iter().any(|row| row.incident == incident.id);
        let (ended, current) = incidents.filter(is_wanted).partition(Incident::is_over);
        self.desk.adopt(current, ended);
        let mut open = open;
        open.sort_by_key(|delivery| (delivery.created, delivery.incident, delivery.event));
        for delivery in open {
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
        let due: Vec<usize> = (0..self.services.len()).filter(|index| self.services[*index].due <= self.now).collect();
        for index in due {
            self.probe(index);
        }
        let now = self.stamp();
        let effects = self.board.tick(now);
        self.follow(effects);
        self.look();
        self.send();
    }

    fn probe(&mut self, index: usize) {
        let (now, service) = (self.stamp(), self.services[index].clone());
        let id = CheckId::new(&service.name, CHECK);
        let slow = Reason::new(ReasonCode::Latency, "took 900 ms");
        let (outcome, soft) = match service.truth {
            Truth::Up => (Outcome::Pass, Vec::new()),
            Truth::Slow => (Outcome::Pass, vec![slow]),
            Truth::Down => (Outcome::fail(ReasonCode::Refused, "connection refused"), Vec::new()),
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
            self.checks.insert(id.clone(), self.board.check(id).unwrap().state);
        }
        for change in effects.verdicts {
            self.verdicts.insert(change.service, (change.to, change.why, change.at));
        }
    }

    fn look(&mut self) {
        let now = self.stamp();
        let found = conditions(&self.board, &self.settings, &HashMap::new(), now);
        let next_id = &mut self.next_id;
        let mut new_id = || {
            *next_id += 1;
            Uuid::from_u128(*next_id)
        };
        let channels: Vec<String> = self.receivers.keys().cloned().collect();
        let (routes, suppression) = (&self.routes, &self.suppression);
        let telling = Telling { routes, channels: &channels, suppression, now };
        let settings = &self.settings;
        let is_known = |service: &str| settings.contains_key(service);
        let mut look = Look { telling, new_id: &mut new_id, is_known: &is_known };
        let changes = self.desk.look(&found, &mut look);
        self.keep(changes);
    }

    fn keep(&mut self, changes: Changes) {
        let now = self.stamp();
        for incident in changes.incidents {
            self.incidents.insert(incident.id, serde_json::to_string(&incident).unwrap());
        }
        for delivery in changes.deliveries {
            self.deliveries.insert(delivery.id(), serde_json::to_string(&delivery).unwrap());
            self.outbox.put(delivery, Ticket::default(), now);
        }
    }

    fn send(&mut self) {
        let names: Vec<String> = self.receivers.keys().cloned().collect();
        for name in names {
            while let Pick::Send(mut members) = self.outbox.pick(&name, self.now, true) {
                if !members[0].delivery.attempted {
                    self.next_id += 1;
                    let batch = Some(Uuid::from_u128(self.next_id)).filter(|_| members.len() > 1);
                    self.outbox.bind(&mut members, batch);
                }
                let mut incidents: Vec<Incident> = Vec::new();
                for member in &members {
                    let stored = || serde_json::from_str(&self.incidents[&member.delivery.incident]).unwrap();
                    incidents.push(self.desk.find(member.delivery.incident).cloned().unwrap_or_else(stored));
                }
                let parts: Vec<_> = members.iter().map(|member| &member.delivery).zip(&incidents).collect();
                let now = self.stamp().wall;
                let context = Context {
                    channel: &name,
                    evidence: EvidenceLevel::None,
                    now,
                    durable: true,
                    public_url: None,
                    acknowledge_token: &|_| String::new(),
                };
                let message = compose(&parts, &context).unwrap();
                let receiver = self.receivers.get_mut(&name).unwrap();
                let refused = receiver.refuses;
                let accepted = !refused && receiver.take(&message);
                for mut member in members {
                    let delivery = &mut member.delivery;
                    delivery.tries += 1;
                    delivery.state = match (accepted, refused) {
                        (true, _) => DeliveryState::Sent,
                        (false, true) => DeliveryState::Dead,
                        (false, false) => DeliveryState::Due,
                    };
                    self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let share = f64::from(u32::try_from(self.random >> 40).unwrap()) / f64::from(1 << 24);
                    let wait = SignedDuration::try_from(RETRY.delay(delivery.tries, share)).unwrap();
                    delivery.due = now.checked_add(wait).unwrap();
                    self.deliveries.insert(delivery.id(), serde_json::to_string(&delivery).unwrap());
                    if delivery.state != DeliveryState::Due
                        && let Some(incident) = self.desk.outcome(&delivery.id(), accepted, now)
                    {
                        self.incidents.insert(incident.id, serde_json::to_string(&incident).unwrap());
                    }
                    self.outbox.put(member.delivery.clone(), Ticket::default(), self.stamp());
                }
            }
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
    Service { name: name.into(), needs, every, truth: Truth::Up, due: Moment::from_ms(1000) }
}
