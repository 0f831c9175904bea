//! What is wrong with telling itself: a channel that refuses, or has not accepted anything for too long. Told through the
//! other channels.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::{Moment, Stamp, elapsed};
use kit::config::show_duration;

use super::condition::Condition;
use super::message::{Evidence, Happening, Severity};
use super::outbox::{Outbox, Waiting};

/// A page that no channel has accepted for so long is itself worth a page: a receiver that restarts is back by then.
const STALLED_AFTER: Duration = Duration::from_secs(300);

/// State that has not been written for so long is worth a page: a busy disk takes it sooner.
const UNWRITTEN_AFTER: Duration = Duration::from_secs(300);

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
            let (since, why) = refused.or_else(|| stalled(&outbox.all_of(channel), now))?;
            Some(condition(channel, since, &why, now))
        });
        found.collect()
    }
}

/// Returns since when a channel has not accepted what it was given, and what it said last.
fn stalled(waiting: &[Waiting], now: Stamp) -> Option<(Timestamp, String)> {
    let tried = waiting.iter().filter(|waiting| {
        // What some recipients have got through.
        waiting.delivery.tries > 0 && waiting.delivery.happening != Happening::Drill && !waiting.delivery.reached
    });
    let oldest = tried.max_by_key(|waiting| waiting.age(now.at))?;
    let age = oldest.age(now.at);
    let why = || format!("nothing accepted: {}", oldest.delivery.said);
    (age >= STALLED_AFTER).then(|| (now.wall_of(now.at - age), why()))
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

/// Returns what is wrong if state has not been written for some time.
pub(super) fn unwritten(failing: Option<(Moment, String)>) -> Option<Condition> {
    let (since, why) = failing?;
    let mut condition = Condition::new("state_unwritten", "MonitorStateUnwritten", Severity::Page, "");
    condition.title = format!("the monitor cannot write its state: {why}");
    (condition.since, condition.after) = (since, UNWRITTEN_AFTER);
    condition.cause = "state_unwritten".to_owned();
    condition.description = "Alerts still go out, from memory. What opens, ends, is acknowledged or silenced now is \
                             forgotten if the monitor ends before its disk takes it: free space, or mend the disk."
        .to_owned();
    condition.evidence = Evidence { reason: why, ..Evidence::default() };
    Some(condition)
}

/// Returns what is wrong as long as files lie there that were found damaged and set aside.
pub(super) fn damaged(files: &[String], now: Stamp) -> Option<Condition> {
    let first = files.first()?;
    let names = files.join(", ");
    let title = match files.len() {
        1 => format!("a file of the monitor was damaged and begun anew: {first}"),
        several => format!("{several} files of the monitor were damaged and begun anew"),
    };
    let mut condition = Condition::new("files_damaged", "MonitorFilesDamaged", Severity::Ticket, title);
    condition.since = now.at;
    condition.cause = names.clone();
    condition.description = format!(
        "Set aside: {names}. What was in them (history; or open incidents, silences, the audit) is not in use. Restore a \
         backup with `monitor restore`, or go on without; then move the files away, which ends this."
    );
    Some(condition)
}

fn show_since(since: Timestamp, now: Timestamp) -> String {
    show_duration(elapsed(since, now).max(Duration::from_secs(1)))
}

/// Keys of incidents about a channel begin so.
pub(crate) const CHANNEL_KEY: &str = "channel:";
/// The label that names the channel.
pub(super) const CHANNEL_LABEL: &str = "channel";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_our_own_files_is_said_in_full() {
        let now = Stamp { at: Moment::from_ms(900_000), wall: Timestamp::from_second(1_800_000_000).unwrap() };
        assert_eq!((unwritten(None), damaged(&[], now)), (None, None));
        let full = unwritten(Some((Moment::from_ms(1000), "disk full".to_owned()))).unwrap();
        assert_eq!((full.severity, full.after, full.since), (Severity::Page, UNWRITTEN_AFTER, Moment::from_ms(1000)));
        assert_eq!(full.title, "the monitor cannot write its state: disk full");
        let files = ["history.db.damaged-1".to_owned(), "state.db.damaged-2".to_owned()];
        let two = damaged(&files, now).unwrap();
        assert_eq!(two.title, "2 files of the monitor were damaged and begun anew");
        assert!(two.description.starts_with("Set aside: history.db.damaged-1, state.db.damaged-2."), "{two:?}");
        let one = damaged(&files[1..], now).unwrap();
        assert_ne!((&one.title, &one.cause), (&two.title, &two.cause), "a further file is news");
    }
}
