//! Reading back what an earlier monitor left.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use kit::clock::Stamp;
use uuid::Uuid;

use super::rows::read_rows;
use super::{Alerts, DRILL, EXTERNAL, MAX_RESTORED, SILENCE, WINDOW};
use crate::alert::delivery::Delivery;
use crate::alert::drill::DrillRecord;
use crate::alert::incident::Incident;
use crate::alert::own::CHANNEL_KEY;
use crate::alert::silence::{OnceWindow, Silence};
use crate::record::{DeliveryQuery, IncidentQuery, StateBatch, StoreError, Ticket};

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
        sort_as_told(&mut deliveries);
        let silences: Vec<Silence> = read_rows(&store.documents(SILENCE).await?.into_values().collect::<Vec<_>>());
        let windows: Vec<OnceWindow> = read_rows(&store.documents(WINDOW).await?.into_values().collect::<Vec<_>>());
        let drills: Vec<DrillRecord> = read_rows(&store.documents(DRILL).await?.into_values().collect::<Vec<_>>());
        let externals = read_rows(&store.documents(EXTERNAL).await?.into_values().collect::<Vec<_>>());
        // What was decided since is newer than what was read.
        let _order = self.in_order();
        deliveries.retain(|delivery| self.desk().find(delivery.incident).is_none());
        let now = Timestamp::now();
        self.externals().adopt(externals, now);
        if let Some(record) = drills.into_iter().next() {
            *self.drill_record() = record;
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
            let (over, silences): (Vec<Silence>, Vec<Silence>) =
                silences.into_iter().partition(|silence| silence.until <= now);
            // Past windows still say what does not count against objectives.
            let oldest = now - jiff::SignedDuration::from_hours(24 * 30);
            let (old, windows): (Vec<OnceWindow>, Vec<OnceWindow>) =
                windows.into_iter().partition(|window| window.until <= oldest);
            let forgotten = over.iter().map(|silence| (SILENCE, silence.id.to_string()));
            let forgotten = forgotten.chain(old.iter().map(|window| (WINDOW, window.id.to_string())));
            let documents = forgotten.map(|document| (document, None)).collect();
            self.state.put(StateBatch { documents, ..StateBatch::default() });
            suppression.silences.extend(silences);
            suppression.windows.extend(windows.into_iter().map(Into::into));
        }
        self.is_restored.store(true, Ordering::SeqCst);
        self.wake();
        Ok(())
    }
}

/// Sorts what waits as it came: incidents by their first delivery, each with its beginning before its end, whatever the
/// clock was set to in between.
fn sort_as_told(deliveries: &mut [Delivery]) {
    let mut first: HashMap<Uuid, Timestamp> = HashMap::new();
    for delivery in deliveries.iter() {
        let known = first.entry(delivery.incident).or_insert(delivery.created);
        *known = delivery.created.min(*known);
    }
    deliveries.sort_by_key(|delivery| (first.get(&delivery.incident).copied(), delivery.incident, delivery.event));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::message::{Happening, Severity};

    #[test]
    fn a_beginning_goes_before_its_end_though_the_clock_was_set_back_in_between() {
        let delivery = |incident: u128, event: u32, secs: i64| {
            let at = Timestamp::from_second(1_800_000_000 + secs).unwrap();
            Delivery::due((Uuid::from_u128(incident), event, "ops".to_owned()), Happening::Opened, Severity::Page, at)
        };
        let mut rows = [delivery(1, 2, 50), delivery(2, 1, 60), delivery(1, 1, 600), delivery(3, 1, 10)];
        sort_as_told(&mut rows);
        let order = rows.map(|row| (row.incident.as_u128(), row.event));
        assert_eq!(order, [(3, 1), (1, 1), (1, 2), (2, 1)]);
    }
}
