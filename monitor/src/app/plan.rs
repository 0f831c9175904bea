//! The checked configuration: every section decoded by its owner, joined into one plan.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kit::config::{Cursor, Environment, Fields, Mistakes, Node, suggest};

use super::needs::{Needs, start_order};
use super::replicas;
use super::service::CheckDefaults;
use crate::alert::{AlertSettings, ChannelKinds, ServiceAlerts, decode_alerts};
use crate::config::{Config, ConfigError, MAKE_SECRETS};
use crate::doctor::footing::StandsOn;
use crate::doctor::{DoctorSettings, decode_doctor};
use crate::export::{AccessSettings, BlackboxSettings, decode_access, decode_blackbox};
use crate::heal::{HealSettings, HostHealSettings, decode_host_heal};
use crate::judge::{Policy, ReplicaOf, Replicas};
use crate::probe::{Kinds, Question};
use crate::schedule::Cadence;
use crate::supervise::discovery::{Discovery, Finds, FoundBy};
use crate::supervise::{Workload, WorkloadKinds};

/// Services that are read, at most: beyond this a plan is a mistake in a generator.
pub(super) const MAX_SERVICES: usize = 10_000;

/// Everything the daemon is told.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the API and the page listen. Default 127.0.0.1:8888.
    pub listen: SocketAddr,
    /// The folder of this monitor's own data. Default `data/monitor`.
    pub data_dir: PathBuf,
    /// Who may do what.
    pub access: AccessSettings,
    /// Addresses (host:port) that tell whether our own uplink works.
    pub anchors: Vec<String>,
    /// How long history is kept.
    pub retention: Retention,
    /// How much is healed at once.
    pub heal: HostHealSettings,
    /// Whom to tell what.
    pub alerts: AlertSettings,
    /// Where services are found by themselves.
    pub discoveries: Vec<Discovery>,
    /// What holds for checks that say nothing else.
    pub defaults: CheckDefaults,
    /// What is examined by itself.
    pub doctor: Arc<DoctorSettings>,
    /// What stands in for blackbox_exporter, if anything.
    pub blackbox: Option<BlackboxSettings>,
    /// What came of the discoveries.
    pub finds: Vec<Finds>,
    /// Every service, in file order; then those that were found.
    pub services: Vec<ServicePlan>,
    /// Their names so that each comes after what it needs.
    pub start_order: Vec<Arc<str>>,
}

/// How long history is kept, by grain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Single observations. Default 48 h.
    pub raw: Duration,
    /// Minute roll-ups. Default 30 d.
    pub minutes: Duration,
    /// Hour roll-ups. Default 400 d.
    pub hours: Duration,
}

impl Retention {
    /// DESIGN section 10.
    pub const STANDARD: Self = Self {
        raw: Duration::from_secs(48 * 3600),
        minutes: Duration::from_secs(30 * 86_400),
        hours: Duration::from_secs(400 * 86_400),
    };
}

/// One service.
#[derive(Debug, Clone)]
pub struct ServicePlan {
    /// Its key.
    pub name: Arc<str>,
    /// What it was called before, if it was renamed: its past is taken over.
    pub was: Option<Arc<str>>,
    /// What it is, for people.
    pub about: Option<String>,
    /// The heading it is listed under.
    pub group: Option<String>,
    /// Whether its failure makes the whole fail. Default true.
    pub critical: bool,
    /// What it needs.
    pub needs: Needs,
    /// What it asks of healing, if anything.
    pub heal: Option<HealSettings>,
    /// How it runs, if that is known.
    pub workload: Option<Workload>,
    /// What it is together, if it runs more than once: they follow it in the list.
    pub replicas: Option<Replicas>,
    /// The service that it is a replica of.
    pub replica_of: Option<ReplicaOf>,
    /// Its objectives.
    pub slo: Slo,
    /// What it wants of alerts.
    pub alerts: ServiceAlerts,
    /// Who found it, if nobody wrote it.
    pub found: Option<FoundBy>,
    /// Its checks, in file order.
    pub checks: Vec<CheckPlan>,
}

/// Objectives: shown, and alerted on when their budget is spent too fast.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Slo {
    /// Share of time that critical checks should pass, 0 to 1.
    pub availability: Option<f64>,
    /// 95 % of probes should take at most this.
    pub latency_p95: Option<Duration>,
}

/// One check.
#[derive(Debug, Clone)]
pub struct CheckPlan {
    /// Whom to ask what.
    pub question: Question,
    /// The kind's name.
    pub kind: &'static str,
    /// What it is, for people.
    pub about: Option<String>,
    /// How often.
    pub cadence: Cadence,
    /// How it is judged.
    pub policy: Policy,
    /// Stands for what is asked and expected: another value is another question.
    pub generation: u64,
}

impl Plan {
    /// Checks a configuration as a whole.
    ///
    /// # Errors
    /// Every mistake at once.
    pub fn of(config: &Config, kinds: &Kinds) -> Result<Self, ConfigError> {
        config.decode(|root, mistakes| decode(root, mistakes, kinds, config.environment()))
    }

    /// Finds a service by name.
    pub fn service(&self, name: &str) -> Option<&ServicePlan> {
        self.services.iter().find(|service| &*service.name == name)
    }

    /// Returns the services as people know them: without the replicas that some of them are.
    pub fn wholes(&self) -> impl Iterator<Item = &ServicePlan> {
        wholes(&self.services)
    }

    /// Returns old and new names of renamed services whose old name is not used by another.
    pub fn renames(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let renamed = self.services.iter().filter_map(|service| Some((service.was.clone()?, service.name.clone())));
        renamed.filter(|(old, _)| self.service(old).is_none()).collect()
    }

    /// Returns every check of every service.
    pub fn checks(&self) -> impl Iterator<Item = &CheckPlan> {
        self.services.iter().flat_map(|service| &service.checks)
    }
}

fn decode(root: &Node, mistakes: &Mistakes, kinds: &Kinds, environment: &Environment) -> Option<Plan> {
    let fields = Cursor::top(root, mistakes).fields()?;
    let listen = fields.get("listen").and_then(|c| c.parse::<SocketAddr>("an address like 127.0.0.1:8888"));
    let defaults = defaults(fields.get("defaults"));
    let discoveries = Discovery::decode_all(fields.get("discover"), &WorkloadKinds::standard());
    let mut services = Vec::new();
    let entries = fields.get("services").and_then(|c| c.entries()).unwrap_or_default();
    let written = entries.len();
    if written > MAX_SERVICES {
        fields.cursor().mistake(format!("{} services, more than {MAX_SERVICES}", entries.len()));
    }
    for (name, cursor) in entries {
        services.extend(replicas::services(name, &cursor, &defaults, kinds));
    }
    if services.len() > MAX_SERVICES.max(written) {
        fields.cursor().mistake(format!("{} services with their replicas, more than {MAX_SERVICES}", services.len()));
    }
    let start_order = check_needs(&fields, &services);
    let wanted = wholes(&services).map(|service| (service.name.clone(), service.alerts.clone())).collect();
    let alerts = decode_alerts(&fields, &ChannelKinds::standard(), wanted);
    // `monitor up` made them before this is read; here only their form is checked.
    let _made_already = fields.get(MAKE_SECRETS).map(|c| c.texts());
    refuse_postgres(&fields);
    let plan = Plan {
        listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8888))),
        data_dir: fields.get("data_dir").and_then(|c| c.text()).unwrap_or_else(|| "data/monitor".to_owned()).into(),
        access: decode_access(&fields),
        anchors: anchors(&fields),
        retention: retention(fields.get("history")),
        heal: decode_host_heal(&fields),
        alerts,
        blackbox: decode_blackbox(&fields, environment),
        doctor: Arc::new(decode_doctor(fields.get("doctor"), stands_on(&services, &discoveries))),
        discoveries,
        defaults,
        finds: Vec::new(),
        services,
        start_order,
    };
    fields.end();
    Some(plan)
}

fn stands_on(services: &[ServicePlan], discoveries: &[Discovery]) -> StandsOn {
    let mut workloads = services.iter().filter_map(|service| service.workload.as_ref());
    let runs = workloads.clone().any(|workload| workload.as_run().is_some());
    StandsOn { runs, watches: !discoveries.is_empty() || workloads.any(|workload| workload.as_watch().is_some()) }
}

/// `store: postgres://…` lets monitors share the work one day; until then it must not look as if it did.
fn refuse_postgres(fields: &Fields<'_>) {
    if let Some(store) = fields.get("store") {
        let is_sqlite = store.node().scalar_text().is_some_and(|text| text == "sqlite");
        if !is_sqlite {
            store
                .mistake("only sqlite is there, in data_dir; several monitors on one PostgreSQL are not supported yet");
        }
    }
}

fn defaults(cursor: Option<Cursor<'_>>) -> CheckDefaults {
    let standard = CheckDefaults { policy: Policy::STANDARD, cadence: Cadence::STANDARD };
    let Some(fields) = cursor.and_then(|c| c.fields()) else { return standard };
    let policy = Policy::decode(&fields, &standard.policy);
    let cadence = Cadence::decode(&fields, policy.every, &standard.cadence);
    fields.end();
    CheckDefaults { policy, cadence }
}

fn anchors(fields: &Fields<'_>) -> Vec<String> {
    let items = fields.get("anchors").map(|c| c.items()).unwrap_or_default();
    let mut anchors = Vec::new();
    for item in items {
        let Some(text) = item.text() else { continue };
        match text.rsplit_once(':').map(|(host, port)| (!host.is_empty(), port.parse::<u16>())) {
            Some((true, Ok(port))) if port > 0 => anchors.push(text),
            _ => {
                item.mistake(format!("{} is not an address; write host:port, like 192.0.2.1:443", item.node().shown()))
            }
        }
    }
    if let (1, Some(cursor)) = (anchors.len(), fields.get("anchors")) {
        cursor.mistake("one anchor proves nothing; write at least two, or none");
    }
    anchors
}

fn retention(cursor: Option<Cursor<'_>>) -> Retention {
    let standard = Retention::STANDARD;
    let Some(fields) = cursor.and_then(|c| c.fields()) else { return standard };
    let hour = Duration::from_secs(3600);
    let years = Duration::from_secs(10 * 366 * 86_400);
    let length = |key, default| fields.get(key).and_then(|c| c.duration(hour..=years)).unwrap_or(default);
    let retention = Retention {
        raw: length("raw", standard.raw),
        minutes: length("minutes", standard.minutes),
        hours: length("hours", standard.hours),
    };
    fields.end();
    retention
}

fn check_needs(fields: &Fields<'_>, services: &[ServicePlan]) -> Vec<Arc<str>> {
    let names = || services.iter().map(|service| &**replicas::whole(service));
    let known: HashSet<&str> = names().collect();
    let written = fields.get("services").and_then(|c| c.entries()).unwrap_or_default();
    let written: HashMap<&str, Cursor<'_>> = written.into_iter().collect();
    for service in services {
        let Some(cursor) = written.get(&*service.name) else { continue };
        for need in service.needs.all() {
            if !known.contains(&**need) && !written.contains_key(&**need) {
                let near = suggest(need, names());
                cursor.mistake(format!("needs {need:?}, which is not a service{near}"));
            }
        }
    }
    let graph: Vec<(Arc<str>, Needs)> = services.iter().map(|s| (s.name.clone(), s.needs.clone())).collect();
    match start_order(&graph) {
        Ok(order) => order,
        Err(cycle) => {
            let first = cycle.first().cloned().unwrap_or_else(|| "".into());
            if let Some(cursor) = written.get(&*first) {
                cursor.mistake(format!("these services need each other in a circle: {}", cycle.join(" → ")));
            }
            Vec::new()
        }
    }
}

fn wholes(services: &[ServicePlan]) -> impl Iterator<Item = &ServicePlan> {
    services.iter().filter(|service| service.replica_of.is_none())
}
