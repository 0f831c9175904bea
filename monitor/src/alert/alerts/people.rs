//! What people do about incidents and dead letters.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use kit::clock::Stamp;
use uuid::Uuid;

use super::Alerts;
use super::rows::read_rows;
use crate::alert::delivery::{Delivery, DeliveryId, DeliveryState};
use crate::alert::incident::{Ending, Incident};
use crate::alert::message::Happening;
use crate::alert::tell::Changes;
use crate::record::{AuditRow, DeliveryQuery, StoreError};

impl Alerts {
    /// Somebody takes an incident; returns false if it is not open.
    ///
    /// # Errors
    /// It is taken, but that is not on the disk.
    pub async fn acknowledge(&self, id: Uuid, by: &str, note: &str, audit: AuditRow) -> Result<bool, String> {
        let ticket = {
            let _order = self.in_order();
            let changes = self.desk().acknowledge(id, by, note, Timestamp::now());
            let Some(changes) = changes else { return Ok(false) };
            self.carry_out(changes, Some(audit))
        };
        self.written(ticket).await.map(|()| true)
    }

    /// A person says that an incident is over; returns false if it is not open.
    ///
    /// # Errors
    /// It is closed, but that is not on the disk.
    pub async fn close(&self, id: Uuid, by: &str, audit: AuditRow) -> Result<bool, String> {
        let ticket = {
            let _order = self.in_order();
            let how = Ending::Closed(by.to_owned());
            let changes = self.with_desk(Stamp::now(), |desk, telling| desk.close(id, how, telling));
            let Some(changes) = changes else { return Ok(false) };
            self.carry_out(changes, Some(audit))
        };
        self.written(ticket).await.map(|()| true)
    }

    /// Returns the token that a link to acknowledge an incident carries.
    pub fn link_token(&self, id: Uuid) -> String {
        URL_SAFE_NO_PAD.encode(self.link_key.sign(&[b"acknowledge:", id.as_bytes()]))
    }

    /// Returns whether a link's token is the one for this incident.
    pub fn is_link_token(&self, id: Uuid, token: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(token) else { return false };
        let text = [b"acknowledge:".as_slice(), id.as_bytes()].concat();
        self.link_key.is_signature_of(&text, &signature)
    }

    /// Tries a dead letter again; returns false if there is none.
    pub async fn revive(&self, id: &DeliveryId, audit: AuditRow) -> Result<bool, StoreError> {
        let rows: Vec<Delivery> = read_rows(&self.state.store().deliveries(&DeliveryQuery::Of(id.0)).await?);
        let dead = rows.into_iter().find(|row| row.id() == *id && row.state == DeliveryState::Dead);
        let Some(mut delivery) = dead else { return Ok(false) };
        let now = Timestamp::now();
        (delivery.state, delivery.due, delivery.updated) = (DeliveryState::Due, now, now);
        (delivery.tried_since, delivery.tries) = (now, 0);
        (delivery.attempted, delivery.batch) = (false, None);
        let incident = self.incident(id.0).await?;
        let _order = self.in_order();
        self.desk().adopt(Vec::new(), incident.filter(Incident::is_over).into_iter().collect());
        let Some(incident) = self.desk().revived(id, now) else { return Ok(false) };
        let is_over = incident.is_over();
        let mut changes =
            Changes { incidents: vec![incident], deliveries: vec![delivery.clone()], ..Changes::default() };
        if is_over && delivery.happening != Happening::Resolved {
            // Whoever hears of the beginning now must hear of the end, after it, too.
            let waiting = self.outbox().of(&id.2, id.0).into_iter().map(|waiting| waiting.delivery);
            let ends: Vec<Delivery> = waiting.filter(|waiting| waiting.happening == Happening::Resolved).collect();
            ends.iter().for_each(|end| self.outbox().remove(&end.id()));
            if ends.is_empty()
                && let Some((incident, event)) = self.desk().ends_again(id.0, now)
            {
                let (number, happening) = (event.number, Happening::Resolved);
                changes.record(&incident, event);
                // With a key of its own: whoever has heard the end before must not take this one for its repeat.
                let batch = Some(Uuid::now_v7());
                changes.deliveries.push(Delivery { event: number, happening, created: now, batch, ..delivery });
            }
            changes.deliveries.extend(ends);
        }
        self.carry_out(changes, Some(audit));
        Ok(true)
    }
}
