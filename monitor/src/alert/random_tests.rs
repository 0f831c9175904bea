//! Random histories of everything that touches alerts: whatever happened, once it is calm everybody has been told what is
//! true, and on the way nobody was told what is not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;
use proptest::prelude::*;
use uuid::Uuid;

use super::matcher::Matcher;
use super::message::Severity;
use super::route::{Reminders, Route, Routes, Step};
use super::silence::{Silence, When, Window};
use super::world::{Truth, World};
use super::world_alerts::Death;
use super::world_receiver::Receiver;

/// Services of the world: the second needs the first.
const SERVICES: [&str; 4] = ["a", "b", "c", "d"];
/// What each of them is called when it is renamed.
const RENAMED: [&str; 4] = ["a2", "b2", "c2", "d2"];
const CHANNELS: [&str; 3] = ["ops", "chat", "boss"];
/// Alerts from elsewhere: two about watched services, one about none.
const ALERTS: [&[(&str, &str)]; 3] = [
    &[("alertname", "Slow"), ("service", "a"), ("severity", "warning")],
    &[("alertname", "Gone"), ("service", "b"), ("severity", "critical")],
    &[("alertname", "Smell"), ("severity", "critical")],
];
/// Longer than anything takes to calm down: ten minutes of calm after flapping, silences, back-off, escalation.
const CALM_SECS: u64 = 2400;

/// Longest that a group of [`routes`] collects: a reminder may wait for it.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Random worlds: few in everyday tests, many where time does not matter.
fn cases() -> u32 {
    testkit::at_scale(24, 3_000)
}

/// One thing that may happen.
#[derive(Debug, Clone)]
enum Act {
    Pass(u64),
    Set(usize, Truth),
    Flap(usize),
    Silence(usize, i64),
    Window(usize, i64, i64),
    Acknowledge(usize),
    Away(usize, bool),
    /// An alert is promised to be repeated within so many seconds; with 0 it is over.
    Post(usize, i64),
    Disk(bool),
    Restart,
    Die(Death),
    Reroute(usize),
    Watch(usize, bool),
    Rename(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let truths = vec![Truth::Up, Truth::Up, Truth::Down, Truth::Wrong, Truth::Slow, Truth::Slow, Truth::Hidden];
    let truth = prop::sample::select(truths);
    // What takes several steps seldom comes together unless some services are touched more than others.
    let service = || prop::sample::select(vec![0, 0, 0, 0, 1, 1, 2, 3usize]);
    let death = prop::sample::select(vec![Death::AfterLook, Death::BeforeSend, Death::BeforeMark]);
    prop_oneof![
        10 => (1..200u64).prop_map(Act::Pass),
        8 => (service(), truth).prop_map(|(service, truth)| Act::Set(service, truth)),
        1 => service().prop_map(Act::Flap),
        2 => (service(), 60..900i64).prop_map(|(service, secs)| Act::Silence(service, secs)),
        1 => (service(), 0..300i64, 60..900i64).prop_map(|(service, wait, secs)| Act::Window(service, wait, secs)),
        2 => (0..4usize).prop_map(Act::Acknowledge),
        3 => (0..3usize, any::<bool>()).prop_map(|(channel, is_away)| Act::Away(channel, is_away)),
        3 => (0..3usize, prop_oneof![Just(0), 30..900i64]).prop_map(|(alert, secs)| Act::Post(alert, secs)),
        2 => any::<bool>().prop_map(Act::Disk),
        2 => Just(Act::Restart),
        3 => death.prop_map(Act::Die),
        1 => (0..3usize).prop_map(Act::Reroute),
        1 => (service(), any::<bool>()).prop_map(|(service, is_watched)| Act::Watch(service, is_watched)),
        1 => service().prop_map(Act::Rename),
    ]
}

/// Ways to tell: pages to one channel and tickets in groups to another; one service to a channel of its own; everything
/// in groups.
fn routes(which: usize) -> Routes {
    let to = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let pages = || vec![Matcher::equal("severity", "page")];
    let boss = |secs| vec![Step { after: Duration::from_secs(secs), to: to(&["boss"]) }];
    let reminders = Some(Reminders { after: Duration::from_secs(600), every: Duration::from_secs(1200) });
    let grouped = |by: &[&str]| Route {
        group_by: Some(to(by)),
        group_wait: Duration::from_secs(20),
        group_interval: LONGEST_WAIT,
        ..Route::default()
    };
    let urgent = Route { matchers: pages(), to: to(&["ops"]), escalate: boss(300), reminders, ..Route::default() };
    Routes(match which {
        0 => vec![Route { continues: true, ..urgent }, Route { to: to(&["chat"]), ..grouped(&[]) }],
        1 => vec![
            Route { matchers: vec![Matcher::equal("service", "a")], to: to(&["chat"]), ..Route::default() },
            Route { to: to(&["ops", "chat"]), escalate: boss(600), ..urgent },
            Route { to: to(&["ops"]), ..grouped(&["severity"]) },
        ],
        _ => vec![Route { to: to(&["ops", "chat"]), escalate: boss(450), reminders, ..grouped(&["service"]) }],
    })
}

/// The world, and what its people and sources have in mind.
struct Play {
    world: World,
    fires: BTreeSet<usize>,
}

impl Play {
    fn new() -> Self {
        let mut world = World::new("a b:a c d");
        world.routes = routes(0);
        world.receivers = CHANNELS.iter().map(|name| ((*name).to_owned(), Receiver::default())).collect();
        Self { world, fires: BTreeSet::new() }
    }

    fn name(&self, service: usize) -> String {
        self.world.services[service].name.to_string()
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Pass(secs) => self.world.pass(secs),
            Act::Set(service, truth) => self.world.services[service].truth = truth,
            Act::Flap(service) => {
                for _ in 0..6 {
                    self.world.services[service].truth = Truth::Down;
                    self.world.pass(11);
                    self.world.services[service].truth = Truth::Up;
                    self.world.pass(21);
                }
            }
            Act::Silence(service, secs) => self.silence(service, secs),
            Act::Window(service, wait, secs) => self.window(service, wait, secs),
            Act::Acknowledge(which) => self.world.acknowledge(which),
            Act::Away(channel, is_away) => {
                self.world.receivers.get_mut(CHANNELS[channel]).unwrap().is_away = is_away;
            }
            Act::Post(alert, secs) => self.post(alert, secs),
            Act::Disk(true) => self.world.mend_disk(),
            Act::Disk(false) => self.world.disk.breaks(),
            Act::Restart => self.world.restart(),
            Act::Die(place) => self.world.death = Some(place),
            Act::Reroute(which) => self.world.routes = routes(which),
            Act::Watch(service, is_watched) => self.world.watch(&self.name(service), is_watched),
            Act::Rename(service) => {
                let old = self.name(service);
                let new = if old == SERVICES[service] { RENAMED[service] } else { SERVICES[service] };
                self.world.rename(&old, new);
            }
        }
    }

    fn silence(&mut self, service: usize, secs: i64) {
        let from = self.world.stamp().wall;
        self.world.suppression.silences.push(Silence {
            id: Uuid::from_u128(9),
            matchers: vec![Matcher::equal("service", &self.name(service))],
            from,
            until: from + SignedDuration::from_secs(secs),
            by: "ada".to_owned(),
            comment: String::new(),
        });
    }

    fn window(&mut self, service: usize, wait: i64, secs: i64) {
        let from = self.world.stamp().wall + SignedDuration::from_secs(wait);
        self.world.suppression.windows.push(Window {
            name: "patching".to_owned(),
            when: When::Once { from, until: from + SignedDuration::from_secs(secs) },
            services: vec![self.name(service)],
            by: "ada".to_owned(),
            id: Some(Uuid::from_u128(10)),
        });
    }

    fn post(&mut self, alert: usize, secs: i64) {
        self.world.post(ALERTS[alert], secs);
        if secs > 0 {
            self.fires.insert(alert)
        } else {
            self.fires.remove(&alert)
        };
    }

    /// Everything works again, what cannot be seen is well, and sources say once more what they think.
    fn calm_down(&mut self) {
        self.world.death = None;
        self.world.mend_disk();
        self.world.receivers.values_mut().for_each(|receiver| receiver.is_away = false);
        let hidden = self.world.services.iter_mut().filter(|service| service.truth == Truth::Hidden);
        hidden.for_each(|service| service.truth = Truth::Up);
        for (alert, labels) in ALERTS.iter().enumerate() {
            self.world.post(labels, if self.fires.contains(&alert) { 7200 } else { 0 });
        }
        self.world.pass(CALM_SECS);
    }

    /// Returns what is wrong, and how urgent; true if it may be part of what it needs.
    fn wrong(&self) -> BTreeMap<String, (Severity, bool)> {
        let mut wrong: BTreeMap<String, (Severity, bool)> = BTreeMap::new();
        let is_down = |truth| matches!(truth, Truth::Down | Truth::Wrong);
        let watched = || self.world.services.iter().filter(|service| service.is_watched);
        for service in watched() {
            let severity = match service.truth {
                Truth::Down | Truth::Wrong => Severity::Page,
                Truth::Slow => Severity::Ticket,
                Truth::Up | Truth::Hidden => continue,
            };
            wrong.insert(service.name.to_string(), (severity, false));
        }
        for alert in &self.fires {
            let label = |name| ALERTS[*alert].iter().find(|(label, _)| *label == name).map(|(_, value)| *value);
            let severity = if label("severity") == Some("critical") { Severity::Page } else { Severity::Ticket };
            let service = label("service").filter(|name| watched().any(|service| &*service.name == *name));
            let about = service.or(label("alertname")).unwrap();
            let known = wrong.entry(about.to_owned()).or_insert((severity, false));
            known.0 = known.0.max(severity);
        }
        for service in watched() {
            let root_is_down = watched().any(|root| service.needs.contains(&root.name) && is_down(root.truth));
            if let Some(known) = wrong.get_mut(&*service.name) {
                known.1 = root_is_down;
            }
        }
        wrong
    }

    /// What is open is what is wrong.
    fn assert_incidents_are_true(&self) {
        let wrong = self.wrong();
        let open: BTreeMap<String, Severity> = self
            .world
            .desk
            .open()
            .map(|incident| (incident.service.clone().unwrap_or_else(|| incident.name.clone()), incident.severity))
            .collect();
        for (about, severity) in &open {
            assert_eq!(wrong.get(about).map(|(severity, _)| severity), Some(severity), "{about} is open: {open:?}");
        }
        for (about, (severity, may_be_part)) in &wrong {
            assert!(*may_be_part || open.contains_key(about), "{about} is wrong ({severity:?}) and not open: {open:?}");
        }
    }

    /// Each channel shows what is open and routed to it, and nothing that is over.
    fn assert_everybody_knows(&self) {
        let now = self.world.stamp().wall;
        for incident in self.world.desk.open() {
            let waited = Some(Duration::from_secs(600)).filter(|_| incident.acknowledged.is_none());
            for target in self.world.routes.targets(&incident.labels, waited, now) {
                let receiver = &self.world.receivers[&target.channel];
                let shown = receiver.open.get(&incident.id).map(|(_, severity)| *severity);
                let is_known = shown == Some(incident.severity) || receiver.uncertain.contains(&incident.id);
                assert!(is_known, "{} shows {shown:?} of {incident:#?}", target.channel);
            }
        }
        for (name, receiver) in &self.world.receivers {
            for (id, about) in &receiver.open {
                let is_open = self.world.desk.open().any(|incident| incident.id == *id);
                assert!(is_open || receiver.uncertain.contains(id), "{name} still shows {about:?} {id}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(), max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_everybody_is_told_what_is_true_and_when_it_is_over(acts in prop::collection::vec(act(), 1..40)) {
        let mut play = Play::new();
        play.world.pass(30);
        acts.into_iter().for_each(|act| play.act(act));
        play.calm_down();
        play.assert_incidents_are_true();
        play.assert_everybody_knows();
        prop_assert_eq!(play.world.untold(LONGEST_WAIT), Vec::new());
    }
}
