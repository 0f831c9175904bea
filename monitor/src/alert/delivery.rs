//! A delivery: one incident's event for one channel, and how far it got.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::message::{Happening, Severity};

/// One delivery. A row on disk before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The incident.
    pub incident: Uuid,
    /// The event's number.
    pub event: u32,
    /// The channel.
    pub channel: String,
    /// What the event is.
    pub happening: Happening,
    /// How urgent the incident is as of the event.
    pub severity: Severity,
    /// How far it got.
    pub state: DeliveryState,
    /// When the event happened.
    pub created: Timestamp,
    /// From when its age counts: its creation, or when a person had it tried again.
    pub tried_since: Timestamp,
    /// When it went, or may go, at the earliest: the end of a group's wait, or the next try.
    pub due: Timestamp,
    /// Tries so far.
    pub tries: u32,
    /// What the channel said last, or why it was not told.
    #[serde(default)]
    pub said: String,
    /// Whether it belongs to a trial: never told together with what is real.
    #[serde(default)]
    pub drill: bool,
    /// Whether it was, or may have been, sent: from then on it is repeated as it was, with the same key.
    #[serde(default)]
    pub attempted: bool,
    /// Whether some of the channel's recipients have it already.
    #[serde(default)]
    pub reached: bool,
    /// Deliveries of one message share it: fixed before the first try, so that a repeat is the same message.
    #[serde(default)]
    pub batch: Option<Uuid>,
    /// What it may share a message with, such as `0:service=shop`.
    #[serde(default)]
    pub group: String,
    /// How long its group collects before it speaks again, in milliseconds.
    #[serde(default)]
    pub group_interval_ms: u64,
    /// When the state last changed.
    pub updated: Timestamp,
}

/// How far a delivery got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Waits until it is known whether a hard need is the cause.
    Held,
    /// To be sent.
    Due,
    /// The channel accepted it.
    Sent,
    /// The channel refused it for good, or it grew too old: a dead letter.
    Dead,
    /// Silenced, in maintenance, out of hours, or explained by another incident.
    Suppressed,
    /// It was over before anybody had to be told.
    Cancelled,
}

impl DeliveryState {
    /// Every state, in the order they are listed.
    pub const ALL: [Self; 6] = [Self::Held, Self::Due, Self::Sent, Self::Dead, Self::Suppressed, Self::Cancelled];

    /// Returns the word used in JSON, metrics and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Due => "due",
            Self::Sent => "sent",
            Self::Dead => "dead",
            Self::Suppressed => "suppressed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns whether something is still to be done.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Held | Self::Due)
    }
}

/// What identifies a delivery.
pub type DeliveryId = (Uuid, u32, String);

impl Delivery {
    /// One that is to be sent at once, by itself, for the first time.
    pub(super) fn due(
        (incident, event, channel): DeliveryId,
        happening: Happening,
        severity: Severity,
        now: Timestamp,
    ) -> Self {
        Self {
            incident,
            event,
            channel,
            happening,
            severity,
            state: DeliveryState::Due,
            created: now,
            tried_since: now,
            due: now,
            tries: 0,
            said: String::new(),
            drill: false,
            attempted: false,
            reached: false,
            batch: None,
            group: String::new(),
            group_interval_ms: 0,
            updated: now,
        }
    }

    /// Returns what identifies it.
    pub fn id(&self) -> DeliveryId {
        (self.incident, self.event, self.channel.clone())
    }

    /// Returns the idempotency key of a message that tells of this delivery alone: incident, event number, channel
    /// (DESIGN section 5). An end is the only one of its incident and needs no number. It must not have one: what went out
    /// from memory and was forgotten in a crash may have had the same, and the end would be taken for its repeat.
    pub fn key(&self) -> String {
        let event = match self.happening {
            Happening::Resolved => "end".to_owned(),
            _ => self.event.to_string(),
        };
        format!("{}.{event}.{}", self.incident, self.channel)
    }
}
