//! Reading back what an earlier monitor left.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use kit::clock::Stamp;

use super::rows::read_rows;
use super::{Alerts, DRILL, EXTERNAL, MAX_RESTORED, SILENCE, WINDOW};
use crate::alert::delivery::Delivery;
use crate::alert::drill::DrillRecord;
use crate::alert::incident::Incident;
use crate::alert::own::CHANNEL_KEY;
use crate::alert::silence::{OnceWindow, Silence};
use crate::record::{DeliveryQuery, IncidentQuery, StoreError, Ticket};

impl Alerts {
    /// Reads what an earlier monitor left: open incidents, what was still to be told, silences, windows.
    ///
    /// # Errors
    /// The store cannot be read now. Nothing is lost by calling it again later.
    pub async fn restore(&self) -> Result<(), StoreError> {
        if self.is_restored.load(Ordering::SeqCst) {
            return Ok(());
        }
        let store = self.state.store();
        let query = IncidentQuery { unfinished: true, limit: MAX_RESTORED, ..IncidentQuery::default() };
        let incidents: Vec<Incident> = read_rows(&store.incidents(&query).await?);
        let mut deliveries: Vec<Delivery> = read_rows(&store.deliveries(&DeliveryQuery::Open).await?);
        // As they came: a beginning that was tried last must still go before its end.
        deliveries.sort_by_key(|delivery| (delivery.created, delivery.incident, delivery.event));
        let silences: Vec<Silence> = read_rows(&store.documents(SILENCE).await?.into_values().collect::<Vec<_>>());
        let windows: Vec<OnceWindow> = read_rows(&store.documents(WINDOW).await?.into_values().collect::<Vec<_>>());
        let drills: Vec<DrillRecord> = read_rows(&store.documents(DRILL).await?.into_values().collect::<Vec<_>>());
        let externals = read_rows(&store.documents(EXTERNAL).await?.into_values().collect::<Vec<_>>());
        let now = Timestamp::now();
        self.externals().adopt(externals, now);
        if let Some(record) = drills.into_iter().next() {
            *self.drills.lock().unwrap_or_else(PoisonError::into_inner) = record;
        }
        for incident in incidents.iter().filter(|incident| !incident.is_over()) {
            if let Some(channel) = incident.key.strip_prefix(CHANNEL_KEY) {
                self.refusals().refused(channel, &incident.evidence.reason, incident.opened);
            }
        }
        let (ended, open) = incidents.into_iter().partition(Incident::is_over);
        self.desk().adopt(open, ended);
        {
            let (mut outbox, stamp) = (self.outbox(), Stamp::now());
            for mut delivery in deliveries {
                // Whatever it waited for before, the way may be free now.
                delivery.due = delivery.due.min(now);
                outbox.put(delivery, Ticket::default(), stamp);
            }
        }
        {
            let mut suppression = self.suppressing();
            suppression.silences.extend(silences.into_iter().filter(|silence| silence.until > now));
            // Past ones still say what does not count against objectives.
            let oldest = now - jiff::SignedDuration::from_hours(24 * 30);
            let windows = windows.into_iter().filter(|window| window.until > oldest);
            suppression.windows.extend(windows.map(Into::into));
        }
        self.is_restored.store(true, Ordering::SeqCst);
        self.wake();
        Ok(())
    }
}
