//! What is wrong with telling itself: a channel that refuses, or has not accepted anything for too long. Told through the
//! other channels.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{Stamp, elapsed};
use kit::config::show_duration;

use super::condition::Condition;
use super::delivery::Delivery;
use super::message::{Evidence, Happening, Severity};
use super::outbox::Outbox;

/// A page that no channel has accepted for so long is itself worth a page: a receiver that restarts is back by then.
const STALLED_AFTER: Duration = Duration::from_secs(300);

/// One channel's refusal.
#[derive(Debug)]
struct Refusal {
    since: Timestamp,
    why: String,
    /// Whether it was looked at: until then it must not be forgotten.
    is_seen: bool,
    /// Whether something was accepted since.
    is_over: bool,
}

/// Channels that refused their last message for good, and what they said.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    refused: HashMap<String, Refusal>,
}

impl Refusals {
    /// A message became a dead letter.
    pub(super) fn refused(&mut self, channel: &str, why: &str, now: Timestamp) {
        let since = self.refused.get(channel).map_or(now, |known| known.since);
        let refusal = Refusal { since, why: why.to_owned(), is_seen: false, is_over: false };
        self.refused.insert(channel.to_owned(), refusal);
    }

    /// A message was accepted: whatever was wrong is over.
    pub(super) fn accepted(&mut self, channel: &str) {
        if let Some(refusal) = self.refused.get_mut(channel) {
            refusal.is_over = true;
        }
        self.refused.retain(|_, refusal| !(refusal.is_over && refusal.is_seen));
    }

    /// Forgets channels that are not there any more.
    pub(super) fn keep_only(&mut self, is_there: impl Fn(&str) -> bool) {
        self.refused.retain(|channel, _| is_there(channel));
    }

    /// Returns what is wrong with these channels, and takes note that it was looked at.
    pub(super) fn look<'a>(
        &mut self,
        channels: impl Iterator<Item = &'a str>,
        outbox: &Outbox,
        now: Stamp,
    ) -> Vec<Condition> {
        let found = self.conditions(channels, outbox, now);
        self.refused.values_mut().for_each(|refusal| refusal.is_seen = true);
        self.refused.retain(|_, refusal| !refusal.is_over);
        found
    }

    /// Returns what is wrong with these channels.
    pub(super) fn conditions<'a>(
        &self,
        channels: impl Iterator<Item = &'a str>,
        outbox: &Outbox,
        now: Stamp,
    ) -> Vec<Condition> {
        let found = channels.filter_map(|channel| {
            let refused = self.refused.get(channel).map(|known| (known.since, format!("refused: {}", known.why)));
            let (since, why) = refused.or_else(|| stalled(outbox.waiting(channel), now.wall))?;
            Some(condition(channel, since, &why, now))
        });
        found.collect()
    }
}

/// Returns since when a channel has not accepted what it was given, and what it said last.
fn stalled<'a>(waiting: impl Iterator<Item = &'a Delivery>, now: Timestamp) -> Option<(Timestamp, String)> {
    let tried = waiting.filter(|delivery| delivery.tries > 0 && delivery.happening != Happening::Drill);
    let oldest = tried.min_by_key(|delivery| delivery.created)?;
    let age = elapsed(oldest.created, now);
    let why = || format!("nothing accepted: {}", oldest.said);
    (age >= STALLED_AFTER).then(|| (oldest.created, why()))
}

fn condition(channel: &str, since: Timestamp, why: &str, now: Stamp) -> Condition {
    let title = format!("alerts do not get through {channel}: {why}");
    let mut condition = Condition::new(format!("{CHANNEL_KEY}{channel}"), "AlertChannelFailing", Severity::Page, title);
    condition.since = now.moment_of(since);
    condition.labels.insert(CHANNEL_LABEL.to_owned(), channel.to_owned());
    condition.cause = CHANNEL_KEY.to_owned();
    condition.description = format!(
        "Messages to {channel} wait or are dead letters since {}. They are on the disk: once it works, retry dead letters \
         with `monitor alerts retry`.",
        show_since(since, now.wall)
    );
    condition.evidence = Evidence { reason: why.to_owned(), ..Evidence::default() };
    condition
}

fn show_since(since: Timestamp, now: Timestamp) -> String {
    show_duration(elapsed(since, now).max(Duration::from_secs(1)))
}

/// Keys of incidents about a channel begin so.
pub(crate) const CHANNEL_KEY: &str = "channel:";
/// The label that names the channel.
pub(super) const CHANNEL_LABEL: &str = "channel";
