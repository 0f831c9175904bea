//! Lines as Loki has them: the part of its messages that is written here (grafana/loki, `pkg/push/push.proto`), and as one
//! body of a request: the message in a snappy block ("Loki HTTP API", "Ingest logs").

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use prost::Message;
use tracing::Level;

use super::super::line::Line;

/// Longest line, in bytes (`limits_config.max_line_size`).
pub(super) const MAX_LINE_BYTES: usize = 256 * 1024;
/// What a line takes in memory beside its texts: its own places, and those of its metadata.
const OVERHEAD_BYTES: usize = 128;
/// Every level, with its label.
const LEVELS: [(Level, &str); 5] = [
    (Level::ERROR, "error"),
    (Level::WARN, "warn"),
    (Level::INFO, "info"),
    (Level::DEBUG, "debug"),
    (Level::TRACE, "trace"),
];

#[derive(Clone, PartialEq, Message)]
struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<StreamAdapter>,
}

#[derive(Clone, PartialEq, Message)]
struct StreamAdapter {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<EntryAdapter>,
}

#[derive(Clone, PartialEq, Message)]
struct EntryAdapter {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<At>,
    #[prost(string, tag = "2")]
    line: String,
    #[prost(message, repeated, tag = "3")]
    structured_metadata: Vec<LabelPairAdapter>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPairAdapter {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// `google.protobuf.Timestamp`
#[derive(Clone, Copy, PartialEq, Message)]
struct At {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// A line that waits.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    level: Level,
    line: String,
    target: String,
    /// Its trace and span.
    ids: Option<(String, String)>,
}

impl Entry {
    pub(super) fn new(line: &Line, json: &str) -> Self {
        let ids = line.context.as_ref().map(|context| (context.trace_id(), context.span_id()));
        Self { at: line.at, level: line.level, line: json.to_owned(), target: line.target.clone(), ids }
    }

    /// Returns how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let ids = self.ids.as_ref().map_or(0, |(trace, span)| trace.len() + span.len());
        OVERHEAD_BYTES + self.line.len() + self.target.len() + ids
    }

    pub(super) fn is_too_long(&self) -> bool {
        self.line.len() > MAX_LINE_BYTES
    }

    fn into_adapter(self) -> EntryAdapter {
        let pair = |(name, value): (&str, String)| LabelPairAdapter { name: name.to_owned(), value };
        let ids = self.ids.into_iter().flat_map(|(trace, span)| [("trace_id", trace), ("span_id", span)]);
        EntryAdapter {
            timestamp: Some(At { seconds: self.at.as_second(), nanos: self.at.subsec_nanosecond() }),
            line: self.line,
            structured_metadata: ids.chain([("target", self.target)]).map(pair).collect(),
        }
    }
}

/// The labels of this process, but for the level.
#[derive(Debug, Clone)]
pub(super) struct Labels {
    pub(super) service: String,
    pub(super) environment: String,
}

impl Labels {
    /// Writes them as a stream selector (LogQL), which quotes as Go does: that reads what JSON quotes.
    fn of(&self, level: Level) -> String {
        let level = LEVELS.iter().find(|(known, _)| *known == level).map_or("info", |(_, word)| word);
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let (service, environment) = (quoted(&self.service), quoted(&self.environment));
        format!("{{service={service}, level=\"{level}\", environment={environment}}}")
    }
}

/// Lines that are sent in one request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch {
    pub(super) body: Bytes,
    pub(super) lines: u64,
}

impl Batch {
    /// Makes one of lines in their order: a stream for each level.
    pub(super) fn of(labels: &Labels, entries: Vec<Entry>) -> Self {
        let entries = entries.into_iter().map(|entry| (labels.of(entry.level), entry.into_adapter()));
        Self::written(entries)
    }

    fn written(entries: impl Iterator<Item = (String, EntryAdapter)>) -> Self {
        let mut streams: BTreeMap<String, Vec<EntryAdapter>> = BTreeMap::new();
        let mut lines = 0;
        for (labels, entry) in entries {
            streams.entry(labels).or_default().push(entry);
            lines += 1;
        }
        let streams = streams.into_iter().map(|(labels, entries)| StreamAdapter { labels, entries }).collect();
        let message = PushRequest { streams }.encode_to_vec();
        // Only what is longer than 4 GiB cannot be.
        let body = snap::raw::Encoder::new().compress_vec(&message).unwrap_or_default();
        Self { body: body.into(), lines }
    }

    fn streams(&self) -> Option<Vec<StreamAdapter>> {
        let message = snap::raw::Decoder::new().decompress_vec(&self.body).ok()?;
        Some(PushRequest::decode(message.as_slice()).ok()?.streams)
    }

    /// Returns its streams, each by itself, or the halves of its only one. None as with [`Self::halves`].
    pub(super) fn pieces(&self) -> Option<Vec<Self>> {
        let streams = self.streams()?;
        if streams.len() < 2 {
            return self.halves().map(Vec::from);
        }
        Some(streams.into_iter().map(|stream| Self::written(entries(stream))).collect())
    }

    /// Returns its older and its newer half. None of a single line, or of what is no batch.
    pub(super) fn halves(&self) -> Option<[Self; 2]> {
        let mut older: Vec<(String, EntryAdapter)> = self.streams()?.into_iter().flat_map(entries).collect();
        older.sort_by_key(|(_, entry)| entry.timestamp.map(|at| (at.seconds, at.nanos)));
        let newer = older.split_off(older.len() / 2);
        (!older.is_empty()).then(|| [older, newer].map(|half| Self::written(half.into_iter())))
    }
}

fn entries(stream: StreamAdapter) -> impl Iterator<Item = (String, EntryAdapter)> {
    let StreamAdapter { labels, entries } = stream;
    entries.into_iter().map(move |entry| (labels.clone(), entry))
}

#[cfg(test)]
pub(super) mod tests {
    use loki_api::logproto as theirs;
    use loki_api::prost::Message as _;

    use super::*;

    pub(in crate::log::loki) fn entry(level: Level, second: i64, line: &str) -> Entry {
        let at = Timestamp::new(second, 7).unwrap();
        let ids = (level == Level::ERROR)
            .then(|| ("0af7651916cd43dd8448eb211c80319c".to_owned(), "b7ad6b7169203331".to_owned()));
        Entry { at, level, line: line.to_owned(), target: "kit::web".to_owned(), ids }
    }

    fn labels() -> Labels {
        Labels { service: "test\u{1}".to_owned(), environment: "a\"b\\c".to_owned() }
    }

    fn read(batch: &Batch) -> theirs::PushRequest {
        let message = snap::raw::Decoder::new().decompress_vec(&batch.body).unwrap();
        theirs::PushRequest::decode(message.as_slice()).unwrap()
    }

    #[test]
    fn others_read_what_is_written() {
        let entries = [(Level::INFO, 1, "one"), (Level::ERROR, 2, "two"), (Level::INFO, 3, "three")];
        let batch = Batch::of(&labels(), entries.map(|(level, second, line)| entry(level, second, line)).to_vec());
        let streams = read(&batch).streams;
        let shown: Vec<_> = streams.iter().map(|stream| stream.labels.as_str()).collect();
        let expected = ["error", "info"]
            .map(|level| format!(r#"{{service="test\u0001", level="{level}", environment="a\"b\\c"}}"#));
        assert_eq!((shown, batch.lines), (expected.iter().map(String::as_str).collect(), 3));
        let lines: Vec<_> = streams[1]
            .entries
            .iter()
            .map(|entry| {
                let at = entry.timestamp.unwrap();
                (at.seconds, at.nanos, entry.line.as_str())
            })
            .collect();
        assert_eq!(lines, [(1, 7, "one"), (3, 7, "three")]);
    }

    #[test]
    fn a_batch_is_halved_by_time_until_one_line_is_left() {
        let entries = [(Level::INFO, 1, "one"), (Level::ERROR, 2, "two"), (Level::INFO, 3, "three")];
        let whole = Batch::of(&labels(), entries.map(|(level, second, line)| entry(level, second, line)).to_vec());
        let [older, newer] = whole.halves().unwrap();
        assert_eq!((older.lines, newer.lines, older.halves()), (1, 2, None));
        let lines = |batch: &Batch| -> Vec<String> {
            read(batch).streams.into_iter().flat_map(|stream| stream.entries).map(|entry| entry.line).collect()
        };
        assert_eq!(
            (lines(&older), lines(&newer)),
            (vec!["one".to_owned()], vec!["two".to_owned(), "three".to_owned()])
        );
        let streams = whole.pieces().unwrap();
        assert_eq!(streams.iter().map(lines).collect::<Vec<_>>(), [vec!["two"], vec!["one", "three"]]);
        assert_eq!(streams[1].pieces().unwrap().iter().map(lines).collect::<Vec<_>>(), [["one"], ["three"]]);
        assert_eq!(streams[0].pieces(), None);
        let Batch { body, .. } = Batch::of(&labels(), Vec::new());
        assert_eq!((Batch { body, lines: 0 }).halves(), None);
        assert_eq!((Batch { body: Bytes::from_static(b"x"), lines: 1 }).halves(), None);
    }
}
