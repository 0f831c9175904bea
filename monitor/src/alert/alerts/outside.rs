//! Alerts that others hand to us.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use jiff::Timestamp;
use kit::clock::Stamp;
use uuid::Uuid;

use super::rows::json;
use super::{Alerts, EXTERNAL, ORIGIN_LABEL, TakenPost};
use crate::alert::condition::Condition;
use crate::alert::external::{Externals, Posted, Taken};
use crate::alert::incident::Ending;
use crate::alert::tell::Changes;
use crate::record::StateBatch;

impl Alerts {
    /// Takes the alerts of a post; those that are wrong are left out (Alertmanager 0.25 does the same).
    pub async fn take(&self, posted: Vec<Posted>) -> TakenPost {
        let (mut theirs, mut wrong) = (Vec::new(), Vec::new());
        for alert in posted {
            if self.is_our_own(&alert).await {
                wrong.push("an alert of this monitor itself came back".to_owned());
            } else {
                theirs.push(alert);
            }
        }
        let _order = self.in_order();
        let (now, mut batch, settings) = (Timestamp::now(), StateBatch::default(), self.settings());
        let (mut is_full, mut is_early, mut services) = (false, false, BTreeSet::new());
        for alert in theirs {
            match self.externals().take(alert, now) {
                Ok(Taken::Changed(alert)) => {
                    services.extend(alert.service(&settings.services).map(str::to_owned));
                    batch.documents.insert((EXTERNAL, alert.fingerprint.clone()), Some(json(&alert)));
                }
                Ok(Taken::Over(fingerprint)) => {
                    batch.documents.insert((EXTERNAL, fingerprint), None);
                }
                Ok(Taken::Repeated) => {}
                // Whether it is known cannot be said before what was known is read.
                Ok(Taken::Nothing) => is_early |= !self.is_restored.load(Ordering::SeqCst),
                Ok(Taken::Full) => is_full = true,
                Err(why) => wrong.push(why),
            }
        }
        TakenPost { ticket: self.state.put(batch), wrong, is_full, is_early, services }
    }

    /// An alert that we sent to an Alertmanager must not come back as a new one, also if its incident ended long ago. One of
    /// which that cannot be said now is taken: it may be another monitor's.
    async fn is_our_own(&self, alert: &Posted) -> bool {
        let id = alert.labels.get(ORIGIN_LABEL).or_else(|| alert.annotations.get(ORIGIN_LABEL));
        let Some(id) = id.and_then(|id| id.parse::<Uuid>().ok()) else { return false };
        matches!(self.incident(id).await, Ok(Some(_)))
    }

    /// Adds alerts from elsewhere; those that were over before anybody looked are forgotten once they were looked at.
    pub(super) fn join_externals(&self, conditions: &mut Vec<Condition>, now: Stamp, batch: &mut StateBatch) {
        let mut externals = self.externals();
        externals.join(conditions, &self.settings().services, now);
        batch.documents.extend(externals.seen().into_iter().map(|fingerprint| ((EXTERNAL, fingerprint), None)));
    }

    /// Ends the incidents of alerts whose source has been silent for too long.
    pub(super) fn given_up(&self, now: Stamp, batch: &mut StateBatch) -> Changes {
        let (settings, mut changes) = (self.settings(), Changes::default());
        let gone = self.externals().give_up(now);
        for alert in gone {
            let key = alert.key(&settings.services);
            let id = self.desk().open().find(|incident| incident.key == key).map(|incident| incident.id);
            // Of a service that we watch ourselves our own view decides.
            if let Some(id) = id.filter(|_| key.starts_with("alert:")) {
                let over = self.with_desk(now, |desk, telling| desk.close(id, Ending::Expired, telling));
                changes.extend(over.unwrap_or_default());
            }
            batch.documents.insert((EXTERNAL, alert.fingerprint.clone()), None);
            tracing::warn!(alert.name = alert.name(), "given up: its source is silent for too long");
        }
        changes
    }

    /// Takes the alerts from elsewhere for a moment. Never held across an await.
    pub fn externals(&self) -> MutexGuard<'_, Externals> {
        self.externals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
