//! Tells fake receivers on loopback through the real decoding and the real channels, and reads what a person would read.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that panics has failed")]

mod compliance;
mod email;
mod exec;
mod https;
mod kinds;
mod many;
mod messages;
mod payloads;
mod presets;
mod real;
mod real_alertmanager;
mod real_mail;
mod real_signature;
mod settings;

use std::time::Duration;

use kit::config::{Cursor, Environment, Mistakes, Source, load};
use monitor::alert::{Accepted, ChannelKinds, ChannelSettings, Message, SendError, decode_channels};

/// Far longer than anything healthy takes on loopback.
const PATIENT: Duration = Duration::from_secs(20);
/// For receivers that never answer.
const SHORT: Duration = Duration::from_millis(300);
/// The value of `${SECRET}`: 32 characters, as long as most services want their keys.
const SECRET: &str = "hunter2hunter2hunter2hunter2hunt";

/// Decodes one channel's mapping (`{ slack: {…}, timeout: 5s }`) as the monitor does.
#[track_caller]
fn channel(text: &str) -> ChannelSettings {
    decode(text).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:?}"))
}

/// Returns the channel, or every mistake as a person reads it. `${SECRET}` is set.
fn decode(text: &str) -> Result<ChannelSettings, Vec<String>> {
    let file = file(&format!("ops:\n  {}\n", text.replace('\n', "\n  ")));
    let mistakes = Mistakes::default();
    let environment = Environment::of([("SECRET", SECRET)]);
    let node = load(&Source { path: file.path(), environment: &environment, prefix: "MONITOR" }, &mistakes);
    let mut channels = decode_channels(Some(Cursor::top(&node, &mistakes)), &ChannelKinds::standard());
    let mistakes = mistakes.into_sorted();
    let path = file.path().display().to_string();
    match channels.pop() {
        Some(channel) if mistakes.is_empty() => Ok(channel),
        _ => Err(mistakes.iter().map(|mistake| mistake.to_string().replace(&path, "m.yml")).collect()),
    }
}

/// Sends within the deadline, as the outbox does: none if it passed.
async fn send_within(
    limit: Duration,
    channel: &ChannelSettings,
    message: &Message,
) -> Option<Result<Accepted, SendError>> {
    tokio::time::timeout(limit, channel.channel.send(message)).await.ok()
}

/// Sends to a receiver that answers.
async fn send(text: &str, message: &Message) -> Result<Accepted, SendError> {
    send_within(PATIENT, &channel(text), message).await.expect("the receiver answers")
}

/// Writes text to a file that lives as long as the handle.
fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}
