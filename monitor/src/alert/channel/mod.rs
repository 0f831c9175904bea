//! How a message reaches people: one trait, one file for each kind of channel, one registry.
//!
//! A channel only says whether it was accepted, and if not, whether another try can help. Queues, deadlines, retries,
//! order and dead letters are the outbox's.

mod alertmanager;
mod alertmanager_v4;
mod discord;
mod each;
mod email;
mod exec;
mod hook;
mod ntfy;
mod opsgenie;
mod pagerduty;
mod post;
mod presets;
mod registry;
mod settings;
mod slack;
mod teams;
mod telegram;
mod template;
mod tls;
mod webhook;
mod webhook_settings;
mod words;

pub use registry::{ChannelKinds, ChannelSettings, Channels, EvidenceLevel, decode_channels};
pub(super) use settings::{parse as parse_web_url, take_web_url};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use kit::config::Cursor;

use super::message::Message;

/// One kind of channel: `email`, `webhook`, `slack` … A value, so that other programs add their own.
pub trait ChannelKind: Send + Sync + 'static {
    /// The key under a channel that selects this kind.
    fn name(&self) -> &'static str;

    /// Checks the kind's own settings. Reports every mistake through the cursor and then returns `None`.
    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Channel>>;

    /// How much evidence a channel of this kind gets unless its settings say otherwise: logs do not belong in a chat.
    fn evidence(&self) -> EvidenceLevel {
        EvidenceLevel::Summary
    }
}

/// A configured channel, ready to be told any number of things.
pub trait Channel: Send + Sync + fmt::Debug + 'static {
    /// Whom it tells, without secrets: an address, a host.
    fn target(&self) -> String;

    /// Hands one message over. `Ok` means that the other side accepted it.
    ///
    /// # Errors
    /// See [`SendError`].
    ///
    /// # Cancel safety
    /// Dropping the future (its deadline has passed) must close every socket and end every child it made; whether the
    /// other side accepted the message is then not known.
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Accepted, SendError>>;

    /// Whether one message may tell of several incidents. A service that knows single alerts only gets each by itself, so
    /// that each has its own outcome and its own order.
    fn takes_several(&self) -> bool {
        true
    }

    /// If the other side forgets what it is not told again: how often an open alert must be repeated.
    fn repeat_every(&self) -> Option<Duration> {
        None
    }
}

/// What the other side said when it accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Its answer in one short line, for the list of deliveries.
    pub answer: String,
    /// What did not work although the message as a whole was accepted, such as one refused recipient of several.
    pub partly: Option<String>,
}

/// Why a message was not accepted. The text is one line for people, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Worth another try, but not before this long: the other side said so.
    #[error("{why}")]
    Busy {
        /// How long.
        after: Duration,
        /// What it said.
        why: String,
    },
    /// Worth another try.
    #[error("{0}")]
    Failed(String),
    /// Worth another try for some recipients; others have it.
    #[error("{0}")]
    Partly(String),
    /// Another try cannot help: address, credentials or content were refused.
    #[error("{0}")]
    Refused(String),
}
