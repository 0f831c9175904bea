//! Takes a new configuration while everything runs.

use std::collections::HashSet;
use std::sync::Arc;

use kit::clock::Stamp;

use super::Loop;
use crate::app::cards::{catalogue, spec};
use crate::app::plan::Plan;
use crate::app::restore;
use crate::app::uplink::Uplink;
use crate::app::{healer, recall, takeover};
use crate::export::Change;
use crate::probe::{CheckId, Pushed};
use crate::record::StateBatch;

/// Share of the longest spread that each check adds to the first round: a thousand checks use all of it.
const SPREAD_PER_CHECK_RATIO: f64 = 0.001;

impl Loop {
    /// Takes a checked configuration: what stays keeps its state, what goes leaves nothing behind.
    pub(in crate::app) fn configure(&mut self, plan: &Plan) {
        let elsewhere = self.elsewhere.clone();
        let _workloads_and_channels_run_there = elsewhere.enter();
        let now = Stamp::now();
        let renames = plan.renames();
        for (old, new) in &renames {
            self.shared.board().rename(old, new);
            self.shared.vantage.pushes.rename(old, new);
        }
        self.shared.alerts.rename(&renames);
        let mut batch = StateBatch::default();
        for (_, new) in &renames {
            let board = self.shared.board();
            if let Some(announced) = board.service(new).and_then(|service| service.announced.as_ref()) {
                restore::keep_announcement(&mut batch, new, announced);
            }
        }
        let before: Vec<CheckId> = self.checks.keys().cloned().collect();
        self.checks = plan.checks().map(|check| (check.question.id.clone(), Arc::new(check.clone()))).collect();
        for id in before.iter().filter(|id| !self.checks.contains_key(id)) {
            self.schedule.remove(id);
            self.sampled.remove(id);
            self.answered.remove(id);
            self.shared.metrics.forget(id);
            restore::forget_check(&mut batch, id);
            self.shared.vantage.pushes.forget(id);
        }
        let names: HashSet<&Arc<str>> = plan.services.iter().map(|service| &service.name).collect();
        let known: Vec<Arc<str>> =
            self.shared.board().services().iter().map(|service| service.spec.name.clone()).collect();
        for name in known.iter().filter(|name| !names.contains(name)) {
            self.shared.metrics.forget_service(name);
            restore::forget_service(&mut batch, name);
        }
        // A few checks are all asked at once; a thousand are spread, so that they never come in one burst.
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 checks")]
        let spread = (self.checks.len() as f64 * SPREAD_PER_CHECK_RATIO).min(1.0);
        for (id, check) in &self.checks {
            self.schedule.set(id, check.cadence, now.at, rand::random::<f64>() * spread);
            self.shared.metrics.know(id);
            // What was pushed before stays: only a check that is new here is written down as new.
            if check.question.probe.is_pushed() && self.shared.vantage.pushes.of(id).is_none() {
                let pushed = self.memory.pushed(id).unwrap_or_else(|| Pushed::new(now.wall));
                self.shared.vantage.pushes.know(id, pushed.clone());
                restore::keep_push(&mut batch, id, &pushed);
            }
        }
        self.shared.stores.state.put(batch);
        self.uplink = Arc::new(Uplink::new(plan.anchors.clone()));
        let takeovers = takeover::begin(&self.shared, self.pilot.moved(plan));
        let specs = plan.services.iter().map(spec).collect();
        {
            let (checks, memory) = (&self.checks, &self.memory);
            let restored = |id: &CheckId| memory.check(id, &checks.get(id)?.policy, now);
            self.shared.board().configure(specs, now, restored);
        }
        self.shared.catalogue.store(Arc::new(catalogue(plan, now)));
        self.observer.configured(plan);
        self.shared.doctor.store(plan.doctor.clone());
        let fresh = self.shared.alerts.configure(plan.alerts.clone());
        // Ends by itself: history is read once.
        tokio::spawn(recall::budgets(self.shared.clone(), fresh));
        self.workers.configure(&plan.alerts.channels);
        healer::configure(&self.shared, plan, &self.memory);
        takeover::end(&self.shared, takeovers);
        self.pilot.configure(plan, &self.memory, &mut self.shared.board(), now);
        self.memory.restore_verdicts(&mut self.shared.board(), now);
        self.memory.restore_announcements(&mut self.shared.board());
        // Only the first configuration finds an earlier monitor's state; later ones have the board's.
        self.memory = self.memory.taken_over();
        let _nobody_listens = self.shared.changes.send(Change::Reloaded);
    }
}
