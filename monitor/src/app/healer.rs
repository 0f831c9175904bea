//! Gives the orders that healing decides on: first they are written down, then they go out.

use std::sync::Arc;
use std::time::Duration;

use kit::clock::Stamp;
use tokio::sync::mpsc;

use super::inquirer::{self, Checks};
use super::plan::{Plan, ServicePlan};
use super::restore::{self, Memory};
use super::turn::News;
use crate::alert::Suppression;
use crate::export::Shared;
use crate::heal::{self, HealAction, HealRecord, PatientCard, Rounds};
use crate::judge::Effects;
use crate::record::StateBatch;
use crate::supervise::workload::Sought;
use crate::supervise::{Event, Workload};

/// A restart that is not on the disk within this time is not done: the next monitor would not know whose it was.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// Takes a configuration; records that an earlier monitor left are taken up.
pub(super) fn configure(shared: &Shared, plan: &Plan, memory: &Memory) {
    let ordered = plan.start_order.iter().filter_map(|name| plan.service(name));
    let mut ward = shared.ward();
    let mut batch = StateBatch::default();
    for (old, new) in plan.renames() {
        ward.rename(&old, &new);
        if let Some(patient) = ward.patient(&new) {
            restore::keep_heals(&mut batch, &new, &patient.record);
            restore::keep_pause(&mut batch, &new, patient.record.paused.as_ref());
        }
    }
    shared.stores.state.put(batch);
    ward.configure(ordered.map(card).collect(), plan.heal, |service| memory.heal_record(service));
    ward.restore_pause(memory.heal_pause(heal::EVERYBODY));
}

fn card(service: &ServicePlan) -> PatientCard {
    let runs = match &service.workload {
        Some(Workload::Run(settings)) => [&settings.command].into_iter().chain(&settings.args).cloned().collect(),
        Some(Workload::Watch(watched)) => match &watched.sought {
            Sought::Name(name) => vec![name.clone()],
            Sought::Labels(_) => Vec::new(),
        },
        None => Vec::new(),
    };
    PatientCard { service: service.name.clone(), settings: service.heal, runs, stops: inquirer::stops(service) }
}

/// Looks at every service; what follows for verdicts is returned, what is to be ordered comes back as news once it is on
/// the disk.
pub(super) fn look(
    shared: &Arc<Shared>,
    checks: &Checks,
    news: &mpsc::Sender<News>,
    now: Stamp,
    batch: &mut StateBatch,
) -> Effects {
    let Rounds { orders, inquiries, changed, results, given_up } = {
        let suppression = shared.alerts.suppression();
        let board = shared.board();
        shared.ward().look(&board, |service| window(&suppression, service, now), now, rand::random)
    };
    for (service, result) in results {
        tracing::info!(service.id = &*service, result = result.as_str(), "what came of a heal");
    }
    for service in &changed {
        restore::keep_heals(batch, service, &record(shared, service));
    }
    for (service, action) in orders {
        order(shared.clone(), news.clone(), service, action);
    }
    for inquiry in inquiries {
        inquirer::ask(shared.vantage.clone(), checks, news.clone(), inquiry);
    }
    let mut effects = Effects::default();
    for (service, why) in given_up {
        effects.add(shared.board().give_up(&service, why, now));
    }
    effects
}

/// Says which maintenance window covers a service.
fn window(suppression: &Suppression, service: &str, now: Stamp) -> Option<String> {
    let (window, until) = suppression.window_of(Some(service), now.wall)?;
    Some(format!("maintenance {:?} lasts until {}", window.name, until.strftime("%Y-%m-%d %H:%M:%SZ")))
}

fn record(shared: &Shared, service: &str) -> HealRecord {
    shared.ward().patient(service).map(|patient| patient.record.clone()).unwrap_or_default()
}

/// Only the loop writes heals, so what is written last is what holds.
fn order(shared: Arc<Shared>, orders: mpsc::Sender<News>, service: Arc<str>, action: HealAction) {
    let record = record(&shared, &service);
    let why = record.heals.back().map(|heal| heal.why.clone()).unwrap_or_default();
    let mut batch = StateBatch::default();
    restore::keep_heals(&mut batch, &service, &record);
    let writing = shared.stores.state.put_durably(batch);
    tokio::spawn(async move {
        if !matches!(tokio::time::timeout(WRITE_PATIENCE, writing).await, Ok(Ok(()))) {
            let why = "it could not be written down first";
            tracing::error!(service.id = &*service, ?action, "not healed: {why}");
            shared.ward().refused(&service, action.command(), why, jiff::Timestamp::now());
            return;
        }
        tracing::warn!(service.id = &*service, ?action, why, "healing");
        let _loop_has_ended = orders.send(News::Heal(service, action)).await;
    });
}

/// Returns whether a heal that is on the disk by now is still right; if not, it is taken back.
pub(super) fn is_still_due(shared: &Shared, service: &str, action: HealAction) -> bool {
    let now = Stamp::now();
    let suppression = shared.alerts.suppression();
    let board = shared.board();
    let is_due = shared.ward().is_still_due(&board, service, action, |service| window(&suppression, service, now), now);
    if !is_due {
        tracing::info!(service.id = service, ?action, "not healed after all: it is paused, or stands otherwise by now");
    }
    is_due
}

/// Takes a workload's event, as far as it tells of what was ordered.
pub(super) fn happened(shared: &Shared, event: &Event, now: Stamp, batch: &mut StateBatch) {
    let Event::Refused { service, command, why } = event else { return };
    if shared.ward().refused(service, *command, why, now.wall) {
        restore::keep_heals(batch, service, &record(shared, service));
    }
}
