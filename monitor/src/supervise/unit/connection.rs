//! Asks one systemd over its bus. It only reads, except for what is ordered; every question has a deadline.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;
use zbus::connection::Builder;
use zbus::fdo::{DBusProxy, NameOwnerChanged};
use zbus::message::{Message, Type};
use zbus::names::BusName;
use zbus::{DBusError as _, MatchRule, MessageStream, OwnedObjectPath, OwnedVariant};

use super::bus::Place;
use super::facts::Facts;
use super::history::ManagerIs;
use crate::supervise::message::Command;

/// What systemd answers within milliseconds, on a busy host too.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// How long a start or stop may take: systemd itself gives it 90 s (`DefaultTimeoutStopSec=`), and a restart is both.
const ACT_PATIENCE: Duration = Duration::from_secs(190);
/// Messages that wait to be taken. A stream that is full holds the bus up, which then shows as an answer that is late.
const MESSAGES_WAITING: NonZeroUsize = NonZeroUsize::new(4096).expect("it is more than 0");
const SYSTEMD: &str = "org.freedesktop.systemd1";
const BUS: &str = "org.freedesktop.DBus";
const PATH: &str = "/org/freedesktop/systemd1";
const PEER: &str = "org.freedesktop.DBus.Peer";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// What we ask of systemd (org.freedesktop.systemd1(5)).
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    #[zbus(signal)]
    fn reloading(&self, active: bool) -> zbus::Result<()>;
    #[zbus(signal)]
    fn job_removed(&self, id: u32, job: OwnedObjectPath, unit: String, result: String) -> zbus::Result<()>;
}

/// Why a systemd could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("systemd {place} cannot be asked: {why}")]
pub(super) struct Blind {
    place: String,
    why: String,
}

/// Why a systemd did not do what was ordered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// We may only look.
    #[error(
        "systemd {place} does not let us {verb} it: {why}; allow it with a polkit rule on \
         org.freedesktop.systemd1.manage-units for the monitor's user"
    )]
    NotAllowed { place: String, verb: &'static str, why: String },
    /// Something else.
    #[error("systemd {place} did not {verb} it: {why}")]
    Failed { place: String, verb: &'static str, why: String },
}

/// What systemd tells by itself.
pub(super) enum Signal {
    /// Properties of the unit at this path.
    Changed(String, HashMap<String, OwnedVariant>, IsWhole),
    /// It has read its files anew, or is another process: everything may be different.
    Anew,
}

/// Of each change systemd tells what it knows of the service, and then what it knows of the unit; only then is it whole.
pub(super) type IsWhole = bool;

/// A connection to the bus of a systemd.
pub(super) struct Connection {
    place: String,
    bus: zbus::Connection,
    manager: ManagerProxy<'static>,
    /// Whose it is.
    pub(super) manager_is: ManagerIs,
    /// Its files are those that we see too.
    pub(super) is_here: bool,
    /// Its name on the bus at present: anybody there may send signals that look like its own.
    owner: Mutex<String>,
}

impl Connection {
    /// Connects, and asks systemd to tell what happens.
    pub(super) async fn open(place: &Place) -> Result<(Self, MessageStream), Blind> {
        let blind = |why: String| Blind { place: place.shown.clone(), why };
        let address = place.address(|name| std::env::var(name).ok()).map_err(blind)?;
        let builder = Builder::address(address.as_str()).method_timeout(ANSWER_PATIENCE).max_queued(MESSAGES_WAITING);
        let bus = match timeout(ANSWER_PATIENCE, builder.build()).await {
            Ok(Ok(bus)) => bus,
            Ok(Err(error)) => return Err(blind(format!("{address}: {error}"))),
            Err(_elapsed) => return Err(blind(late())),
        };
        let messages = MessageStream::from(&bus);
        let opened = async {
            let manager = ManagerProxy::new(&bus).await?;
            let daemon = DBusProxy::new(&bus).await?;
            let signals = || MatchRule::builder().msg_type(Type::Signal);
            let bus_signals = signals().interface("org.freedesktop.DBus").member("NameOwnerChanged");
            daemon.add_match_rule(bus_signals.arg(0, SYSTEMD).build()?).await?;
            daemon.add_match_rule(signals().sender(SYSTEMD).member("Reloading").build()?).await?;
            manager.subscribe().await?;
            let name = || BusName::try_from(SYSTEMD);
            let owner = daemon.get_name_owner(name()?).await?.to_string();
            let pid = daemon.get_connection_unix_process_id(name()?).await?;
            let user = daemon.get_connection_unix_user(name()?).await?;
            // Everybody's first process is the machine's systemd.
            let manager_is = if pid == 1 { ManagerIs::System } else { ManagerIs::OfUser(user) };
            let is_ours = pid == 1 || user == nix::unistd::geteuid().as_raw();
            let is_here = is_ours && is_here(&bus).await;
            Ok::<_, zbus::Error>((manager, manager_is, owner, is_here))
        };
        let (manager, manager_is, owner, is_here) = opened.await.map_err(|error| blind(words(&error)))?;
        let (place, owner) = (place.shown.clone(), Mutex::new(owner));
        Ok((Self { place, bus, manager, manager_is, is_here, owner }, messages))
    }

    /// Returns what a message tells; none if it is of no use to us, or not systemd's own.
    pub(super) fn signal_of(&self, message: &Message) -> Option<Signal> {
        let header = message.header();
        if header.message_type() != Type::Signal {
            return None;
        }
        let sender = header.sender()?.as_str();
        let is_systemds = || sender == *self.owner.lock().unwrap_or_else(PoisonError::into_inner);
        match header.member()?.as_str() {
            "PropertiesChanged" if is_systemds() => {
                let body = message.body();
                type Change = (String, HashMap<String, OwnedVariant>, Vec<String>);
                let (interface, changed, _) = body.deserialize::<Change>().ok()?;
                let is_whole = interface == "org.freedesktop.systemd1.Unit";
                Some(Signal::Changed(header.path()?.to_string(), changed, is_whole))
            }
            "Reloading" if is_systemds() => {
                message.body().deserialize::<bool>().ok().filter(|active| !active).map(|_| Signal::Anew)
            }
            // The bus speaks for itself.
            "NameOwnerChanged" if sender == BUS => {
                let change = NameOwnerChanged::from_message(message.clone())?;
                let arguments = change.args().ok().filter(|arguments| arguments.name() == SYSTEMD)?;
                let owner = arguments.new_owner().as_ref()?.to_string();
                *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = owner;
                Some(Signal::Anew)
            }
            _ => None,
        }
    }

    /// Finds out whether systemd answers.
    pub(super) async fn ping(&self) -> Result<(), Blind> {
        let answer = self.bus.call_method(Some(SYSTEMD), PATH, Some(PEER), "Ping", &()).await;
        answer.map(drop).map_err(|error| self.blind(&error))
    }

    /// Finds a unit, and has its changes told from now on; returns its path, or why it can be none.
    pub(super) async fn follow(&self, unit: &str) -> Result<Result<String, String>, Blind> {
        let found = async {
            let path = self.manager.load_unit(unit).await?;
            let signals = MatchRule::builder().msg_type(Type::Signal).sender(SYSTEMD);
            let changes = signals.interface(PROPERTIES).member("PropertiesChanged").path(path.as_str()).build()?;
            DBusProxy::new(&self.bus).await?.add_match_rule(changes).await?;
            Ok::<_, zbus::Error>(path.to_string())
        };
        match found.await {
            Ok(path) => Ok(Ok(path)),
            Err(error) if is_about_the_unit(&error) => Ok(Err(words(&error))),
            Err(error) => Err(self.blind(&error)),
        }
    }

    /// Asks to be told what happens, also after systemd has become another process.
    pub(super) async fn subscribe(&self) -> Result<(), Blind> {
        match self.manager.subscribe().await {
            Err(zbus::Error::MethodError(name, ..)) if name.ends_with("AlreadySubscribed") => Ok(()),
            answer => answer.map_err(|error| self.blind(&error)),
        }
    }

    /// Looks at the unit at a path.
    pub(super) async fn look(&self, path: &str) -> Result<Facts, Blind> {
        // Without an interface it tells those of all, in one answer and of one moment.
        let answer = self.bus.call_method(Some(SYSTEMD), path, Some(PROPERTIES), "GetAll", &"").await;
        let answer = answer.and_then(|answer| answer.body().deserialize::<HashMap<String, OwnedVariant>>());
        let mut facts = Facts::default();
        facts.take(answer.map_err(|error| self.blind(&error))?);
        Ok(facts)
    }

    /// Does what is ordered to a unit, and waits until it is done.
    pub(super) fn act(
        &self,
        command: Command,
        unit: String,
        hit_its_limit: bool,
    ) -> impl Future<Output = Result<(), Refusal>> + Send + use<> {
        let (place, manager) = (self.place.clone(), self.manager.clone());
        async move {
            let verb = match command {
                Command::Start(_) => "start",
                Command::Stop(_) => "stop",
                Command::Restart(_) | Command::Heal => "restart",
                Command::Excuse(..) => return Ok(()),
            };
            let why = match timeout(ACT_PATIENCE, carry_out(&manager, verb, &unit, hit_its_limit)).await {
                Ok(Ok(result)) if ["done", "skipped"].contains(&result.as_str()) => return Ok(()),
                // It was started, and what came of that is told as every end is.
                Ok(Ok(result)) if verb != "stop" && ["failed", "timeout"].contains(&result.as_str()) => return Ok(()),
                Ok(Ok(result)) => result_in_words(&result),
                Ok(Err(error)) if is_forbidden(&error) => {
                    return Err(Refusal::NotAllowed { place, verb, why: words(&error) });
                }
                Ok(Err(error)) => words(&error),
                Err(_elapsed) => format!("it is not done after {} s", ACT_PATIENCE.as_secs()),
            };
            Err(Refusal::Failed { place, verb, why })
        }
    }

    /// Makes the error of a stream that ended.
    pub(super) fn hung_up(&self) -> Blind {
        Blind { place: self.place.clone(), why: "the bus hung up".to_owned() }
    }

    fn blind(&self, error: &zbus::Error) -> Blind {
        Blind { place: self.place.clone(), why: words(error) }
    }
}

/// Returns whether systemd's files are ours: it is the system that we are part of (sd_booted(3)), of the same number
/// (machine-id(5)). A container may be given that number, to read its host's journal, and has another first process.
async fn is_here(bus: &zbus::Connection) -> bool {
    let first = tokio::fs::read_to_string("/proc/1/comm").await;
    let is_booted = tokio::fs::try_exists("/run/systemd/system").await.unwrap_or(false);
    if !is_booted || first.is_ok_and(|first| first.trim() != "systemd") {
        return false;
    }
    let answer = bus.call_method(Some(SYSTEMD), PATH, Some(PEER), "GetMachineId", &()).await;
    let theirs = answer.and_then(|answer| answer.body().deserialize::<String>());
    let ours = tokio::fs::read_to_string("/etc/machine-id").await;
    theirs.ok().zip(ours.ok()).is_some_and(|(theirs, ours)| theirs == ours.trim())
}

async fn carry_out(manager: &ManagerProxy<'_>, verb: &str, unit: &str, hit_its_limit: bool) -> zbus::Result<String> {
    let mut removed = manager.receive_job_removed().await?;
    if hit_its_limit && verb != "stop" {
        manager.reset_failed_unit(unit).await?;
    }
    let job = match verb {
        "start" => manager.start_unit(unit, "replace").await?,
        "stop" => manager.stop_unit(unit, "replace").await?,
        _ => manager.restart_unit(unit, "replace").await?,
    };
    while let Some(signal) = removed.next().await {
        let arguments = signal.args()?;
        if arguments.job() == &job {
            return Ok(arguments.result().clone());
        }
    }
    Err(zbus::Error::InputOutput(std::sync::Arc::new(std::io::ErrorKind::UnexpectedEof.into())))
}

/// What became of a job (org.freedesktop.systemd1(5), `JobRemoved`).
fn result_in_words(result: &str) -> String {
    match result {
        "failed" => "its start or stop failed; `systemctl status` says more".to_owned(),
        "dependency" => "something that it depends on did not start".to_owned(),
        "timeout" => "it took longer than its unit allows".to_owned(),
        "canceled" => "somebody ordered something else meanwhile".to_owned(),
        other => format!("the job ended as {other:?}"),
    }
}

/// systemd answered, and does not like the name.
fn is_about_the_unit(error: &zbus::Error) -> bool {
    match error {
        zbus::Error::FDO(error) => matches!(**error, zbus::fdo::Error::InvalidArgs(_)),
        zbus::Error::MethodError(name, ..) => name.starts_with("org.freedesktop.systemd1."),
        _ => false,
    }
}

fn is_forbidden(error: &zbus::Error) -> bool {
    use zbus::fdo::Error::{AccessDenied, InteractiveAuthorizationRequired};
    match error {
        zbus::Error::FDO(error) => matches!(**error, AccessDenied(_) | InteractiveAuthorizationRequired(_)),
        zbus::Error::MethodError(name, ..) => {
            name.ends_with("AccessDenied") || name.ends_with("InteractiveAuthorizationRequired")
        }
        _ => false,
    }
}

fn late() -> String {
    format!("no answer within {} s", ANSWER_PATIENCE.as_secs())
}

fn words(error: &zbus::Error) -> String {
    match error {
        zbus::Error::InputOutput(error) if error.kind() == std::io::ErrorKind::TimedOut => late(),
        zbus::Error::FDO(error) => error.description().map_or_else(|| error.to_string(), str::to_owned),
        error => error.description().map_or_else(|| error.to_string(), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_does_not_let_us_do_is_said_with_what_to_do() {
        let denied = zbus::Error::FDO(Box::new(zbus::fdo::Error::AccessDenied("Access denied".to_owned())));
        assert!(is_forbidden(&denied));
        let refusal =
            Refusal::NotAllowed { place: "on the system bus".to_owned(), verb: "restart", why: words(&denied) };
        assert_eq!(
            refusal.to_string(),
            "systemd on the system bus does not let us restart it: Access denied; allow it with a polkit rule on \
             org.freedesktop.systemd1.manage-units for the monitor's user"
        );
    }

    #[tokio::test]
    async fn a_bus_that_is_not_there_is_named() {
        let place = Place::socket("unix:path=/no/such/bus");
        let blind = Connection::open(&place).await.err().unwrap().to_string();
        assert!(blind.starts_with("systemd at unix:path=/no/such/bus cannot be asked: "), "{blind}");
        assert!(blind.contains("No such file or directory"), "{blind}");
    }
}
