//! How a service runs, and the registry of the kinds of that.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use kit::config::{Cursor, suggest};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::discovery::Scout;
use super::ledger::Ledger;
use super::message::{Command, Event};
use super::settings::ProcessSettings;

/// How a service runs.
#[derive(Debug, Clone)]
pub enum Workload {
    /// We run it ourselves.
    Run(ProcessSettings),
    /// A runtime of its own does, and we watch.
    Watch(Watched),
}

impl Workload {
    /// Returns how long a start may take until the checks decide.
    pub fn ready_timeout(&self) -> Duration {
        match self {
            Self::Run(settings) => settings.ready_timeout,
            Self::Watch(watched) => watched.ready_timeout,
        }
    }

    /// Returns the check whose first pass ends its start, if one is named.
    pub fn ready(&self) -> Option<&str> {
        self.as_run()?.ready.as_deref()
    }

    /// Returns the process, if we run it ourselves.
    pub fn as_run(&self) -> Option<&ProcessSettings> {
        match self {
            Self::Run(settings) => Some(settings),
            Self::Watch(_) => None,
        }
    }

    /// Returns what we watch, if a runtime of its own runs it.
    pub fn as_watch(&self) -> Option<&Watched> {
        match self {
            Self::Run(_) => None,
            Self::Watch(watched) => Some(watched),
        }
    }
}

/// A workload that a runtime runs.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Who runs it.
    pub runtime: Arc<dyn Runtime>,
    /// Which of the runtime's it is.
    pub sought: Sought,
    /// How long a start may take until the checks decide.
    pub ready_timeout: Duration,
}

impl Watched {
    /// Returns whether what is found like `other` is found like this too, such as one container of a service.
    pub fn covers(&self, other: &Self) -> bool {
        let is_within = match (&self.sought, &other.sought) {
            (Sought::Labels(own), Sought::Labels(more)) => own.iter().all(|label| more.contains(label)),
            (own, other) => own == other,
        };
        is_within && self.runtime.address() == other.runtime.address()
    }

    /// Returns whether both are found in the same way at the same place, whatever else is said of them.
    pub fn is_found_like(&self, other: &Self) -> bool {
        self.runtime.address() == other.runtime.address() && self.sought == other.sought
    }
}

/// How to find one workload among those of a runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sought {
    /// By its name.
    Name(String),
    /// By labels, each with its value.
    Labels(Vec<(String, String)>),
}

impl fmt::Display for Sought {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(formatter, "named {name:?}"),
            Self::Labels(labels) => {
                let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(formatter, "with the label {}", pairs.join(" and "))
            }
        }
    }
}

/// One service to watch.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The service's id.
    pub service: Arc<str>,
    /// What runs it.
    pub sought: Sought,
    /// What is known of earlier runs.
    pub ledger: Ledger,
    /// What this monitor, or one before it, last asked for: what happens right after it happens because of it.
    pub ordered: Option<Ordered>,
}

impl Subject {
    /// Returns whether both are the same service, found in the same way; what is known of it is the watcher's by then.
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.service, &self.sought) == (&other.service, &other.sought)
    }
}

/// Something that we asked a runtime to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ordered {
    /// When.
    pub at: Timestamp,
    /// What.
    pub command: Command,
}

/// Something to ask a runtime for.
#[derive(Debug, Clone)]
pub struct Order {
    /// The service's id.
    pub service: Arc<str>,
    /// What to do to its workload. Of a workload that is not listed nothing is done.
    pub command: Command,
}

/// What a watcher works with.
#[derive(Debug)]
pub struct Assignment {
    /// The services to watch, as the list stands at each time. Whose sender is gone ends the watcher.
    pub subjects: watch::Receiver<Vec<Subject>>,
    /// What to ask the runtime for. It must not hold up watching; what the runtime refuses is told as
    /// [`Event::Refused`].
    pub orders: mpsc::Receiver<Order>,
    /// Whom to tell.
    pub events: mpsc::Sender<Event>,
}

/// Runs workloads by itself and tells of them.
pub trait Runtime: fmt::Debug + Send + Sync {
    /// Returns where it is reached: workloads of one address are watched over one connection.
    fn address(&self) -> &str;

    /// Finds out whether it can be asked from here.
    ///
    /// # Errors
    /// A sentence that names it and says why not.
    fn reach(&self) -> BoxFuture<'static, Result<(), String>>;

    /// Tells of the subjects and does what is ordered, until the list's sender is gone.
    fn watch(&self, assignment: Assignment) -> BoxFuture<'static, ()>;
}

/// A kind of workload.
pub trait WorkloadKind: Send + Sync + 'static {
    /// Returns the key under `workload:`.
    fn name(&self) -> &'static str;

    /// Checks its settings; reports every mistake through the cursor.
    fn decode(&self, cursor: &Cursor<'_>) -> Option<Workload>;

    /// Returns whether workloads of this kind can be found by themselves.
    fn discovers(&self) -> bool {
        false
    }

    /// Checks where and how they are looked for; reports every mistake through the cursor.
    fn scout(&self, _cursor: &Cursor<'_>) -> Option<Arc<dyn Scout>> {
        None
    }
}

/// The kinds of workload that a configuration may use.
#[derive(Clone)]
pub struct WorkloadKinds {
    kinds: Vec<Arc<dyn WorkloadKind>>,
}

impl WorkloadKinds {
    /// Returns the kinds that every monitor has.
    pub fn standard() -> Self {
        let kinds = Self { kinds: Vec::new() };
        kinds.with(super::decode::Process).with(super::container::Container).with(super::unit::Unit)
    }

    /// Adds a kind; one of the same name is replaced.
    #[must_use]
    pub fn with(mut self, kind: impl WorkloadKind) -> Self {
        self.kinds.retain(|known| known.name() != kind.name());
        self.kinds.push(Arc::new(kind));
        self
    }

    /// Checks `workload: { KIND: … }`; reports every mistake through the cursor.
    pub fn decode(&self, cursor: &Cursor<'_>) -> Option<Workload> {
        let (name, _, settings) = cursor.tag()?;
        if let Some(kind) = self.kinds.iter().find(|kind| kind.name() == name) {
            return kind.decode(&settings);
        }
        let names: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        let near = suggest(name, names.iter().copied());
        cursor.mistake(format!("unknown workload {name:?}{near}; there is {}", names.join(", ")));
        None
    }

    /// Returns the kinds whose workloads can be found by themselves.
    pub(super) fn that_discover(&self) -> Vec<&dyn WorkloadKind> {
        self.kinds.iter().map(AsRef::as_ref).filter(|kind| kind.discovers()).collect()
    }
}

impl fmt::Debug for WorkloadKinds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.kinds.iter().map(|kind| kind.name())).finish()
    }
}
