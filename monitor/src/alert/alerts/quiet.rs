//! Silences and maintenance windows that people make and end.

use jiff::Timestamp;
use uuid::Uuid;

use super::rows::json;
use super::{Alerts, MAX_SUPPRESSIONS, SILENCE, WINDOW};
use crate::alert::silence::{OnceWindow, Silence, When, Window};
use crate::record::{AuditRow, StateBatch, Ticket};

impl Alerts {
    /// Adds a silence, or replaces the one with its id; on the disk before this returns.
    ///
    /// # Errors
    /// There are too many, or it is in force but not on the disk.
    pub async fn silence(&self, silence: Silence, audit: AuditRow) -> Result<(), String> {
        let document = (SILENCE, silence.id.to_string(), Some(json(&silence)));
        let ticket = {
            let _order = self.in_order();
            let mut suppression = self.suppressing();
            suppression.silences.retain(|known| known.id != silence.id && known.until > Timestamp::now());
            if suppression.silences.len() >= MAX_SUPPRESSIONS {
                return Err(format!("there are {MAX_SUPPRESSIONS} silences already; end some"));
            }
            suppression.silences.push(silence);
            self.keep_document(document, audit)
        };
        self.written(ticket).await
    }

    /// Ends a silence now; returns false if there is none with this id.
    ///
    /// # Errors
    /// It has ended, but that is not on the disk.
    pub async fn end_silence(&self, id: Uuid, audit: AuditRow) -> Result<bool, String> {
        let ticket = {
            let _order = self.in_order();
            let mut suppression = self.suppressing();
            let before = suppression.silences.len();
            suppression.silences.retain(|silence| silence.id != id);
            if suppression.silences.len() == before {
                return Ok(false);
            }
            self.keep_document((SILENCE, id.to_string(), None), audit)
        };
        self.written(ticket).await.map(|()| true)
    }

    /// Adds a maintenance window; on the disk before this returns.
    ///
    /// # Errors
    /// There are too many, or it is in force but not on the disk.
    pub async fn add_window(&self, window: OnceWindow, audit: AuditRow) -> Result<(), String> {
        let document = (WINDOW, window.id.to_string(), Some(json(&window)));
        let ticket = {
            let _order = self.in_order();
            let mut suppression = self.suppressing();
            let now = Timestamp::now();
            let is_past = |window: &Window| matches!(window.when, When::Once { until, .. } if window.id.is_some() && until <= now);
            if suppression.windows.iter().filter(|window| !is_past(window)).count() >= MAX_SUPPRESSIONS {
                return Err(format!("there are {MAX_SUPPRESSIONS} windows already; end some"));
            }
            suppression.windows.push(window.into());
            self.keep_document(document, audit)
        };
        self.written(ticket).await
    }

    /// Ends a window made by hand; returns false if there is none with this id.
    ///
    /// # Errors
    /// It has ended, but that is not on the disk.
    pub async fn end_window(&self, id: Uuid, audit: AuditRow) -> Result<bool, String> {
        let ticket = {
            let _order = self.in_order();
            let mut suppression = self.suppressing();
            let before = suppression.windows.len();
            suppression.windows.retain(|window| window.id != Some(id));
            if suppression.windows.len() == before {
                return Ok(false);
            }
            self.keep_document((WINDOW, id.to_string(), None), audit)
        };
        self.written(ticket).await.map(|()| true)
    }

    /// Gives a document to the record. The caller holds the order, so that what is decided later is written later.
    fn keep_document(&self, (kind, key, body): (&'static str, String, Option<String>), audit: AuditRow) -> Ticket {
        let mut batch = StateBatch::from(audit);
        batch.documents.insert((kind, key), body);
        let ticket = self.state.put(batch);
        self.wake();
        self.show();
        ticket
    }
}
