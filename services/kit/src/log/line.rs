//! One event as one line: JSON for programs, or for eyes.

use jiff::Timestamp;
use serde::Serializer;
use serde::ser::SerializeMap;
use tracing::{Event, Level};

use super::fields::{Fields, Pairs, Plain};
use crate::trace::{self, Context};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// For eyes.
    Human,
    /// One JSON object a line.
    Json,
}

/// What all lines have, or some that belong to a trace: no field of an event stands in their place.
const OWN: [&str; 7] = ["timestamp", "level", "service", "target", "message", "trace_id", "span_id"];

/// An event, when it happened, and what it belongs to.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) at: Timestamp,
    pub(super) level: Level,
    pub(super) target: String,
    pub(super) context: Option<Context>,
    fields: Fields,
}

impl Line {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let target = fields.target.take().unwrap_or_else(|| event.metadata().target().to_owned());
        Self { at: Timestamp::now(), level: *event.metadata().level(), target, context: trace::current(), fields }
    }

    /// Returns it as JSON (RFC 8259): what all lines have first, the time as in RFC 3339, then the event's own fields.
    pub(super) fn json(&self, service: &str) -> String {
        let mut text = Vec::with_capacity(256);
        let written = self.write(&mut serde_json::Serializer::new(&mut text), service);
        // There is nothing in it that JSON does not have, and memory takes everything.
        written.ok().and_then(|()| String::from_utf8(text).ok()).unwrap_or_default()
    }

    fn write(&self, into: &mut serde_json::Serializer<&mut Vec<u8>>, service: &str) -> serde_json::Result<()> {
        let mut map = into.serialize_map(None)?;
        let at = format!("{:.6}", self.at);
        for (name, value) in OWN.iter().zip([&*at, self.level.as_str(), service, &*self.target, &*self.fields.message])
        {
            map.serialize_entry(name, value)?;
        }
        if let Some(context) = &self.context {
            map.serialize_entry("trace_id", &context.trace_id())?;
            map.serialize_entry("span_id", &context.span_id())?;
        }
        for (name, value) in &self.fields.all {
            if OWN.contains(name) {
                map.serialize_entry(&format!("field.{name}"), value)?;
            } else {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }

    /// Returns it for eyes.
    pub(super) fn human(&self, has_colours: bool) -> String {
        let Self { at, level, fields, .. } = self;
        let (message, pairs) = (Plain(&fields.message), Pairs { fields, has_colours });
        if !has_colours {
            return format!("{at:.6} {level:>5} {message}{pairs}");
        }
        let colour = match *level {
            Level::ERROR => 31,
            Level::WARN => 33,
            Level::INFO => 32,
            Level::DEBUG => 34,
            Level::TRACE => 35,
        };
        format!("\x1b[2m{at:.6}\x1b[0m \x1b[{colour}m{level:>5}\x1b[0m {message}{pairs}")
    }
}
