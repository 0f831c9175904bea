//! Taking a new configuration while everything runs: checked whole, refused if it would stop watching by accident.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, watch};

use super::discoveries::Discoveries;
use super::plan::{Plan, Retention};
use super::replicas;
use crate::config::Config;
use crate::doctor::DoctorSettings;
use crate::export::{Blackbox, Reception, ReloadWish, Shared};
use crate::judge::ServiceEntry;
use crate::probe::Kinds;
use crate::record::AuditRow;

/// A file beside the configuration is looked at this often, as the configuration itself is.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Reads, checks and hands over new configurations.
pub(super) struct Reloader {
    pub(super) shared: Arc<Shared>,
    pub(super) reception: Arc<Reception>,
    /// The stand-in for blackbox_exporter, if it was started.
    pub(super) blackbox: Option<Arc<Blackbox>>,
    pub(super) kinds: Kinds,
    pub(super) source: Arc<dyn Fn() -> Config + Send + Sync>,
    pub(super) plans: mpsc::Sender<Plan>,
    /// What only a restart changes, as it was at the start.
    pub(super) fixed: Fixed,
    /// What the configuration says, as it was taken last.
    pub(super) file: Plan,
    /// What is found beside it.
    pub(super) discoveries: Discoveries,
    /// What the doctor is to examine; whatever is sent makes it examine.
    pub(super) doctor: watch::Sender<Arc<DoctorSettings>>,
}

/// Settings that are taken once.
pub(super) struct Fixed {
    listen: SocketAddr,
    blackbox: Option<SocketAddr>,
    data_dir: PathBuf,
    retention: Retention,
}

impl Fixed {
    pub(super) fn of(plan: &Plan) -> Self {
        let blackbox = plan.blackbox.as_ref().map(|blackbox| blackbox.listen);
        Self { listen: plan.listen, blackbox, data_dir: plan.data_dir.clone(), retention: plan.retention }
    }

    /// Names what a plan would change.
    fn changes(&self, plan: &Plan) -> Vec<&'static str> {
        let new = Self::of(plan);
        let pairs = [
            ("listen", self.listen != new.listen),
            ("blackbox.listen", self.blackbox != new.blackbox),
            ("data_dir", self.data_dir != new.data_dir),
            ("history", self.retention != new.retention),
        ];
        pairs.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
    }
}

impl Reloader {
    /// Serves signals, wishes and finds until the monitor stops.
    pub(super) async fn run(mut self, mut signals: mpsc::Receiver<()>, mut wishes: mpsc::Receiver<ReloadWish>) {
        let mut beside = digest(self.beside()).await;
        loop {
            tokio::select! {
                Some(()) = signals.recv() => {
                    let result = self.reload(false).await;
                    self.note(result.as_deref().unwrap_or("refused"));
                }
                Some((force, answer)) = wishes.recv() => {
                    let _asker_has_gone = answer.send(self.reload(force).await);
                }
                () = tokio::time::sleep(LOOK_EVERY), if self.beside().is_some() => {
                    let found = digest(self.beside()).await;
                    if found != beside {
                        beside = found;
                        let result = self.reload(false).await;
                        self.note(result.as_deref().unwrap_or("refused"));
                    }
                }
                () = self.discoveries.changed() => {
                    if self.take_finds().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// The file beside the configuration that it names, if any.
    fn beside(&self) -> Option<PathBuf> {
        self.file.blackbox.as_ref().and_then(|blackbox| blackbox.modules.file.clone())
    }

    /// Finds change nothing of what is written, so nothing of it is read or judged again.
    async fn take_finds(&mut self) -> Result<(), SendError<Plan>> {
        self.discoveries.write_down(&self.shared.stores.state);
        let mut plan = self.file.with_found(self.discoveries.found(), &self.kinds);
        self.discoveries.tell(&mut plan);
        self.plans.send(plan).await
    }

    /// Writes down that the file or a signal has changed something; who asks over HTTP is known there.
    fn note(&self, detail: &str) {
        let row = AuditRow::new("the file or a signal", "config.reload", "configuration", detail);
        self.shared.stores.state.put(row.into());
    }

    /// A bad configuration changes nothing and is visible.
    async fn reload(&mut self, force: bool) -> Result<String, String> {
        let source = self.source.clone();
        let read = tokio::task::spawn_blocking(move || source()).await;
        let config = read.map_err(|panic| format!("reading the configuration broke: {panic}"))?;
        let planned = Plan::of(&config, &self.kinds).map_err(|error| error.to_string());
        let planned = match planned {
            Ok(file) => {
                let found = self.discoveries.found_by(&file).await;
                let plan = file.with_found(&found, &self.kinds);
                let is_safe = if force { Ok(()) } else { is_safe(&self.shared, &plan) };
                is_safe.map(|()| (file, found, plan))
            }
            Err(mistakes) => Err(mistakes),
        };
        match planned {
            Ok((file, found, mut plan)) => {
                self.shared.stores.rename(&plan.renames()).await;
                let waits = self.fixed.changes(&plan);
                self.shared.figures.restart_needed.store(!waits.is_empty(), Relaxed);
                let mut line = format!("{} services are watched", plan.wholes().count());
                if !waits.is_empty() {
                    line.push_str(&format!("; restart the monitor to take the changed {}", waits.join(", ")));
                    tracing::warn!(
                        settings = waits.join(", "),
                        "these settings changed and are only taken by a restart"
                    );
                }
                self.reception.configure(&plan.access, plan.alerts.public_url.as_deref());
                if let (Some(blackbox), Some(settings)) = (&self.blackbox, &plan.blackbox) {
                    blackbox.configure(settings);
                }
                self.discoveries.know(found);
                self.discoveries.configure(&file, &self.shared.stores.state);
                self.discoveries.write_down(&self.shared.stores.state);
                self.discoveries.tell(&mut plan);
                self.doctor.send_replace(file.doctor.clone());
                self.file = file;
                if self.plans.send(plan).await.is_err() {
                    return Err("the monitor is stopping".to_owned());
                }
                mark_reloaded(&self.shared, true);
                tracing::info!(result = line, "configuration reloaded");
                Ok(line)
            }
            Err(message) => {
                mark_reloaded(&self.shared, false);
                tracing::error!(mistakes = message, "the configuration on disk is not taken; the old one goes on");
                Err(message)
            }
        }
    }
}

/// Stands for what is in a file; a content hash sees what file events miss (swapped symbolic links).
async fn digest(file: Option<PathBuf>) -> u64 {
    let Some(file) = file else { return 0 };
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hasher = DefaultHasher::new();
        // A pipe would never end.
        if file.is_file() {
            std::fs::read(&file).unwrap_or_default().hash(&mut hasher);
        }
        hasher.finish()
    });
    hashed.await.unwrap_or(0)
}

/// Refuses a reload that would silently stop watching: an empty folder is more likely an accident than a wish.
/// What finds itself comes and goes without being counted here, unless the configuration stops looking for it.
fn is_safe(shared: &Shared, plan: &Plan) -> Result<(), String> {
    let catalogue = shared.catalogue.load();
    let board = shared.board();
    // Replicas come and go with the service that they are.
    let before: Vec<&ServiceEntry> = board.wholes().collect();
    let renames = plan.renames();
    let renamed: Vec<&str> = renames.iter().map(|(old, _)| &**old).collect();
    let dropped: Vec<&str> = before
        .iter()
        .map(|service| &*service.spec.name)
        .filter(|name| plan.service(name).is_none() && !renamed.contains(name))
        .collect();
    // DESIGN section 10: over 30 % of the services, or one that is broken now.
    let broken = before.iter().find(|service| service.verdict.is_bad() && dropped.contains(&&*service.spec.name));
    if let Some(broken) = broken {
        let (name, verdict) = (&broken.spec.name, broken.verdict.as_str().replace('_', " "));
        return Err(format!("it would drop {name:?}, which is {verdict} now; reload with force=true to drop it"));
    }
    let open = shared.alerts.desk().open().find_map(|incident| {
        let service = incident.service.clone()?;
        dropped.contains(&&*service).then_some(service)
    });
    if let Some(service) = open {
        return Err(format!(
            "it would drop {service:?}, which has an open incident; reload with force=true to drop it"
        ));
    }
    let channels = shared.alerts.outbox().channels();
    let gone = channels.iter().find(|name| !plan.alerts.channels.iter().any(|channel| *channel.name == ***name));
    if let Some(channel) = gone {
        let waiting = shared.alerts.outbox().waiting(channel).count();
        return Err(format!(
            "it would drop the channel {channel:?}, for which {waiting} messages wait; reload with force=true to drop them"
        ));
    }
    let is_found = |name: &str| catalogue.service(name).is_some_and(|card| card.found.is_some());
    let is_counted = |name: &str| !is_found(name) || dropped.contains(&name);
    let all = before.iter().filter(|service| is_counted(&service.spec.name)).count();
    if dropped.len() * 10 > all * 3 {
        let list = dropped.join(", ");
        let count = dropped.len();
        return Err(format!("it would drop {count} of {all} services ({list}); reload with force=true to drop them"));
    }
    let renamed_to = |name: &str| {
        renames.iter().find(|(old, _)| &**old == name).map_or_else(|| name.to_owned(), |(_, new)| new.to_string())
    };
    // A check of every replica is one.
    let counted = before.iter().filter(|service| is_counted(&service.spec.name));
    let checks: BTreeSet<(&str, &str)> = counted
        .flat_map(|service| [*service].into_iter().chain(board.replicas(service)))
        .flat_map(|service| service.checks.iter().map(|check| (&**service.whole(), &*check.id.check)))
        .collect();
    let stays = |(service, check): &(&str, &str)| {
        let name = renamed_to(service);
        let parts = plan.services.iter().filter(|service| **replicas::whole(service) == *name);
        parts.flat_map(|service| &service.checks).any(|known| *known.question.id.check == **check)
    };
    let (all, gone) = (checks.len(), checks.iter().filter(|check| !stays(check)).count());
    if gone * 10 > all * 3 {
        return Err(format!("it would drop {gone} of {all} checks; reload with force=true to drop them"));
    }
    Ok(())
}

/// Sets the pair of reload metrics.
pub(super) fn mark_reloaded(shared: &Shared, ok: bool) {
    shared.figures.reload_ok.store(ok, Relaxed);
    if ok {
        shared.figures.reloaded_secs.store(Timestamp::now().as_second(), Relaxed);
    }
}
