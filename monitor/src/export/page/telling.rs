//! Whether people were told, in words: one line for each channel, and how each delivery stands.

use std::collections::BTreeMap;

use kit::page::{Tone, words};

use super::Moment;
use crate::alert::{Delivery, DeliveryState, Incident, Told, ToldState};

/// Longest answer of a channel within a line, in characters; the table shows more.
const MAX_SAID: usize = 100;

/// What one channel knows of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) tone: Tone,
    /// The state and the channel: `told ops`.
    pub(super) word: String,
    /// When, or why not; may be empty.
    pub(super) detail: String,
}

impl Line {
    fn new(tone: Tone, word: String, detail: impl Into<String>) -> Self {
        Self { tone, word, detail: detail.into() }
    }
}

/// Says it for every channel, the ones that do not know first. `deliveries` are the incident's, as far as they could be
/// read; `is_quiet` means that the reason is told elsewhere.
pub(super) fn lines(
    incident: &Incident,
    deliveries: &[Delivery],
    has_channels: bool,
    is_quiet: bool,
    moment: &Moment,
) -> Vec<Line> {
    let mut lines = alike(incident, is_quiet);
    for (channel, told) in &incident.told {
        let of_channel: Vec<&Delivery> = deliveries.iter().filter(|row| row.channel == *channel).collect();
        lines.extend(line(channel, told, &of_channel, moment));
    }
    if lines.is_empty() {
        lines.push(match (has_channels, incident.is_over()) {
            (_, true) => Line::new(Tone::Off, "nobody was told".to_owned(), ""),
            (true, false) => Line::new(Tone::Off, "nobody is told".to_owned(), "no route takes it"),
            (false, false) => Line::new(Tone::Warn, "nobody is told".to_owned(), "no channels are configured"),
        });
    }
    lines.sort_by_key(|line| match line.tone {
        Tone::Bad => 0,
        Tone::Warn => 1,
        Tone::Good => 3,
        _ => 2,
    });
    lines
}

/// Channels that are kept from it for the same reason share a line.
fn alike(incident: &Incident, is_quiet: bool) -> Vec<Line> {
    let mut kept: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (channel, told) in &incident.told {
        let why = match &told.state {
            ToldState::Held => ("held back", "a need may turn out to be the cause"),
            ToldState::Suppressed(why) => ("not told", if is_quiet { "" } else { why.as_str() }),
            ToldState::Owed | ToldState::Delivered | ToldState::Dead => continue,
        };
        kept.entry(why).or_default().push(channel);
    }
    let line = |((word, why), channels): ((&str, &str), Vec<&str>)| {
        let tone = if word == "not told" { Tone::Off } else { Tone::Busy };
        Line::new(tone, format!("{word}: {}", channels.join(", ")), why)
    };
    kept.into_iter().map(line).collect()
}

/// Says it for a channel that is not kept from it.
fn line(channel: &str, told: &Told, deliveries: &[&Delivery], moment: &Moment) -> Option<Line> {
    // What is to be told next waits for what was to be told before.
    let tried = deliveries.iter().find(|row| row.state == DeliveryState::Due && row.tries > 0);
    let newest = tried.or_else(|| deliveries.iter().find(|row| row.event == told.event));
    let said = newest.map(|row| words::clip(&row.said, MAX_SAID)).unwrap_or_default();
    let tries = newest.map_or(0, |row| row.tries);
    let line = match &told.state {
        ToldState::Held | ToldState::Suppressed(_) => return None,
        ToldState::Owed if tries == 0 => {
            Line::new(Tone::Busy, format!("telling {channel}"), earlier(deliveries, moment))
        }
        ToldState::Owed => Line::new(
            Tone::Warn,
            format!("waiting: {channel}"),
            format!("{said}, {}", counted(u64::from(tries), "try", "tries")),
        ),
        ToldState::Delivered => {
            let at = deliveries.iter().filter(|row| row.state == DeliveryState::Sent).map(|row| row.updated).min();
            let at = at.map(|at| moment.when(at).clock).unwrap_or_default();
            let reminders = counted(u64::from(told.reminders), "reminder", "reminders");
            let detail = if told.reminders > 0 { format!("{at}, then {reminders}") } else { at };
            Line::new(Tone::Good, format!("told {channel}"), detail)
        }
        ToldState::Dead => Line::new(Tone::Bad, format!("dead letter: {channel}"), said),
    };
    Some(line)
}

/// A channel that is being told something further knows of the rest.
fn earlier(deliveries: &[&Delivery], moment: &Moment) -> String {
    let first = deliveries.iter().filter(|row| row.state == DeliveryState::Sent).map(|row| row.updated).min();
    first.map(|at| format!("first told {}", moment.when(at).clock)).unwrap_or_default()
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Returns how a delivery looks, and its word.
pub(super) fn of_delivery(delivery: &Delivery) -> (Tone, &'static str) {
    let tone = match delivery.state {
        DeliveryState::Sent => Tone::Good,
        DeliveryState::Dead => Tone::Bad,
        DeliveryState::Due if delivery.tries > 0 => Tone::Warn,
        DeliveryState::Held | DeliveryState::Due => Tone::Busy,
        DeliveryState::Suppressed | DeliveryState::Cancelled => Tone::Off,
    };
    let word = if delivery.state == DeliveryState::Dead { "dead letter" } else { delivery.state.as_str() };
    (tone, word)
}
