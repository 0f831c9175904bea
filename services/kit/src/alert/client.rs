//! The handle that daemons hold.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::courier::Courier;
use super::kinds::{Alert, Open, key_of, posting_of};
use super::lane::Lane;
use super::{AlertError, AlertSettings};
use crate::metrics::Metrics;
use crate::queue::Queues;

/// Alerts that are read at once.
const PAGE: u32 = 50;

/// Hands alerts to the monitor and loses none. Cheap to clone.
///
/// What it keeps is in the queue `alerts-<source>`: one job for each alert that is open or not delivered, and dead jobs for
/// what the monitor refused, the last of each alert.
#[derive(Clone)]
pub struct AlertClient(Arc<Courier>);

impl fmt::Debug for AlertClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AlertClient").field(&self.0.settings).finish()
    }
}

impl AlertClient {
    /// Makes a client over `queues` and registers its metrics; nothing is posted before [`AlertClient::run`].
    ///
    /// # Errors
    /// [`AlertError::Settings`].
    ///
    /// # Panics
    /// When a registry is given twice: a fault of the program.
    pub fn new(settings: AlertSettings, queues: Queues, metrics: &Metrics) -> Result<Self, AlertError> {
        Ok(Self(Arc::new(Courier::new(settings, queues, metrics)?)))
    }

    /// Notes that `alert` fires, and returns once that would survive a power cut. Firing again what already fires posts
    /// nothing new; its words are replaced, and the earliest start stays.
    ///
    /// # Errors
    /// [`AlertError::Nameless`], [`AlertError::Label`], [`AlertError::Reserved`] and [`AlertError::TooLarge`] for the
    /// alert; [`AlertError::Full`] and [`AlertError::Queue`] when it was not kept.
    pub async fn fire(&self, alert: &Alert) -> Result<(), AlertError> {
        let Courier { settings, queues, queue, .. } = &*self.0;
        let page = settings.page.as_ref().map(url::Url::as_str);
        let posting = posting_of(alert, &settings.source, page)?;
        let (key, now) = (key_of(&alert.name, &alert.labels), queues.now());
        let change = |found: Option<&str>| {
            let mut lane = Lane::read(found);
            lane.fire(posting, now).then(|| lane.into_draft(now)).flatten()
        };
        Ok(queues.amend(queue, &key, settings.max_open, change).await?)
    }

    /// Notes that the alert with this name and these labels of its own is over, and returns whether it was open, once
    /// that would survive a power cut.
    ///
    /// # Errors
    /// [`AlertError::Queue`].
    pub async fn resolve(&self, name: &str, labels: &BTreeMap<String, String>) -> Result<bool, AlertError> {
        let Courier { settings, queues, queue, .. } = &*self.0;
        let (now, mut was_open) = (queues.now(), false);
        let change = |found: Option<&str>| {
            let mut lane = Lane::read(found);
            was_open = lane.resolve(now);
            was_open.then(|| lane.into_draft(now)).flatten()
        };
        queues.amend(queue, &key_of(name, labels), settings.max_open, change).await?;
        Ok(was_open)
    }

    /// Returns the alerts that fire, as they were last told of, those of processes before this one included.
    ///
    /// # Errors
    /// [`AlertError::Queue`].
    pub async fn open(&self) -> Result<Vec<Open>, AlertError> {
        let Courier { queues, queue, .. } = &*self.0;
        let (mut open, mut after) = (Vec::new(), None);
        loop {
            let page = queues.keyed(queue, PAGE, after).await?;
            let Some((last, _)) = page.last() else { return Ok(open) };
            after = Some(*last);
            open.extend(page.iter().filter_map(|(_, payload)| Lane::read(Some(payload)).open.map(Open::from)));
        }
    }

    /// Posts what is due until `stop`; then the requests under way come to their end.
    ///
    /// # Cancel safety
    /// What was posted and not noted is posted again when its lease runs out.
    pub async fn run(&self, stop: CancellationToken) {
        self.0.run(stop).await;
    }
}
