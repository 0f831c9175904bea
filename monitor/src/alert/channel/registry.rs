//! The registry of channel kinds, and what every channel's settings say whatever its kind.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kit::config::{Cursor, suggest};

use super::{Channel, ChannelKind};
use crate::config::check_name;

/// Keys of a channel that are not its kind.
const CHANNEL_KEYS: [&str; 3] = ["timeout", "max_age", "evidence"];

/// How much of an incident's evidence a channel gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvidenceLevel {
    /// Nothing but the title.
    None,
    /// The failing check and its reason; no output of programs.
    Summary,
    /// Everything, redacted.
    Full,
}

/// One configured channel.
#[derive(Debug, Clone)]
pub struct ChannelSettings {
    /// Its key.
    pub name: Arc<str>,
    /// Its kind's name.
    pub kind: &'static str,
    /// The channel itself.
    pub channel: Arc<dyn Channel>,
    /// Hard deadline of one try. Default 10 s: a receiver that has not answered by then will not.
    pub timeout: Duration,
    /// How long a message is tried; after that it is a dead letter. Default 24 h: what is older wakes nobody.
    pub max_age: Duration,
    /// How much evidence it gets.
    pub evidence: EvidenceLevel,
}

/// Every configured channel, in file order.
pub type Channels = Vec<ChannelSettings>;

/// The registry of kinds, in the order they are listed to people.
#[derive(Clone)]
pub struct ChannelKinds {
    kinds: Vec<Arc<dyn ChannelKind>>,
}

impl ChannelKinds {
    /// Returns a registry without any kind.
    pub fn empty() -> Self {
        Self { kinds: Vec::new() }
    }

    /// Returns the kinds that every monitor has.
    pub fn standard() -> Self {
        Self::empty()
            .with(super::email::Email)
            .with(super::slack::Slack)
            .with(super::discord::Discord)
            .with(super::teams::Teams)
            .with(super::telegram::Telegram)
            .with(super::pagerduty::Pagerduty)
            .with(super::opsgenie::Opsgenie)
            .with(super::ntfy::Ntfy)
            .with(super::alertmanager::Alertmanager)
            .with(super::webhook::Webhook)
            .with(super::exec::Exec)
    }

    /// Adds a kind; one of the same name is replaced.
    #[must_use]
    pub fn with(mut self, kind: impl ChannelKind) -> Self {
        self.kinds.retain(|known| known.name() != kind.name());
        self.kinds.push(Arc::new(kind));
        self
    }

    /// Finds a kind by its name.
    pub fn find(&self, name: &str) -> Option<&Arc<dyn ChannelKind>> {
        self.kinds.iter().find(|kind| kind.name() == name)
    }

    /// Returns every name.
    pub fn names(&self) -> Vec<&'static str> {
        self.kinds.iter().map(|kind| kind.name()).collect()
    }
}

impl fmt::Debug for ChannelKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Checks the section `channels:`. Reports every mistake through the cursor.
pub fn decode_channels(section: Option<Cursor<'_>>, kinds: &ChannelKinds) -> Channels {
    let entries = section.and_then(|cursor| cursor.entries()).unwrap_or_default();
    entries.into_iter().filter_map(|(name, cursor)| decode_channel(name, &cursor, kinds)).collect()
}

fn decode_channel(name: &str, cursor: &Cursor<'_>, kinds: &ChannelKinds) -> Option<ChannelSettings> {
    check_name(cursor, "channel", name);
    let fields = cursor.fields()?;
    let minute = Duration::from_secs(60);
    let timeout = fields.get("timeout").and_then(|c| c.duration(Duration::from_secs(1)..=minute));
    let max_age = fields.get("max_age").and_then(|c| c.duration(minute..=minute * 60 * 24 * 30));
    let levels = [("none", EvidenceLevel::None), ("summary", EvidenceLevel::Summary), ("full", EvidenceLevel::Full)];
    let evidence = fields.get("evidence").and_then(|c| c.one_of(&levels));
    let others: Vec<(&str, Cursor<'_>)> =
        cursor.entries()?.into_iter().filter(|(key, _)| !CHANNEL_KEYS.contains(key)).collect();
    let [(kind_name, settings)] = others.as_slice() else {
        let count = others.len();
        let list = kinds.names().join(", ");
        cursor.mistake(format!("a channel has exactly one kind, this one has {count}; there are {list}"));
        return None;
    };
    let Some(kind) = kinds.find(kind_name) else {
        let near = suggest(kind_name, kinds.names());
        cursor.mistake(format!("unknown channel kind {kind_name:?}{near}; there are {}", kinds.names().join(", ")));
        return None;
    };
    let channel = kind.decode(settings)?;
    Some(ChannelSettings {
        name: name.into(),
        kind: kind.name(),
        channel,
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
        max_age: max_age.unwrap_or(minute * 60 * 24),
        evidence: evidence.unwrap_or_else(|| kind.evidence()),
    })
}
