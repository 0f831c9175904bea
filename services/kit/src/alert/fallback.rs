//! One plain webhook hears what the monitor has not taken for too long: once each, and the monitor still hears it later.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::courier::{Courier, Place};
use super::kinds::Posting;
use super::lane::{Lane, News};
use super::post::Answer;

impl Courier {
    /// Tells the fallback the oldest news that it has not heard, if they have waited long enough. Returns what it need
    /// not hear again.
    pub(super) async fn tell_fallback(&self, lane: &Lane) -> Option<Uuid> {
        let (fallback, news) = (self.fallback.as_ref()?, untold(lane)?);
        let now = self.queues.now();
        if self.fallback_at(lane)? > now {
            return None;
        }
        let Posting { labels, annotations, starts_at, ends_at, .. } = &news.posting;
        let body = json!({
            "source": self.settings.source, "status": news.posting.status(), "labels": labels,
            "annotations": annotations, "startsAt": starts_at, "endsAt": ends_at, "via": "fallback",
        });
        match fallback.post.json(body.to_string(), Some(&news.id.to_string()), now).await {
            Answer::Accepted => {
                fallback.outage(|outage| outage.accepted(self.queues.now()));
                self.figures.fallback.inc();
                Some(news.id)
            }
            Answer::Refused(reason) => {
                tracing::error!(reason, "the fallback refused an alert that the monitor has not accepted");
                Some(news.id)
            }
            Answer::Away(reason, wait) => self.fallback_failed(fallback, &reason, wait),
            Answer::Failed(reason) => self.fallback_failed(fallback, &reason, None),
        }
    }

    fn fallback_failed(&self, fallback: &Place, reason: &str, wait: Option<Duration>) -> Option<Uuid> {
        tracing::warn!(reason, "the fallback takes no alerts");
        let (backoff, random) = (self.settings.backoff, rand::random());
        fallback.outage(|outage| outage.failed(self.queues.now(), wait, backoff, random));
        None
    }

    /// Returns when the fallback is to hear of this lane; none if it has heard all.
    pub(super) fn fallback_at(&self, lane: &Lane) -> Option<Timestamp> {
        let (fallback, news) = (self.fallback.as_ref()?, untold(lane)?);
        let bound = self.settings.fallback_after;
        let due = self.monitor.outage(|outage| outage.too_long_at(news.since, bound));
        let until = fallback.outage(|outage| outage.until(self.queues.now()));
        Some(until.map_or(due, |until| until.max(due)))
    }
}

fn untold(lane: &Lane) -> Option<&News> {
    lane.news.iter().find(|news| !news.told_fallback)
}
