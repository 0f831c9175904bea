//! Alerts that cannot be lost: incidents from verdicts, an outbox on disk, channels that retry.

mod channel;
mod message;

pub use channel::{
    Accepted, Channel, ChannelKind, ChannelKinds, ChannelSettings, Channels, EvidenceLevel, SendError, decode_channels,
};
pub use message::{AlertPart, Evidence, Happening, Links, Message, Severity, Status};
