//! Spans as OTLP has them (opentelemetry-proto 1.9, `trace/v1/trace.proto` and `common/v1/common.proto`); the numbers here
//! are those of its fields.

use super::protobuf::{Field, Message, find};
use super::record::{Record, Value};

/// Longest text of an attribute, in bytes: a path or an agent's name may be as long as its sender likes.
const MAX_TEXT_BYTES: usize = 1024;
/// `SpanFlags`: it is known whether the parent is another process's, …
const HAS_IS_REMOTE: u32 = 0x100;
/// `STATUS_CODE_ERROR`
const ERROR: u64 = 2;

/// Attributes of a whole process.
pub(super) type Resource = Vec<(String, String)>;

/// Writes an `ExportTraceServiceRequest`.
pub(super) fn encode(resource: &Resource, scope: (&str, &str), spans: &[Record]) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |resource_spans| {
        resource_spans.message(1, |message| {
            for (name, value) in resource {
                message.message(1, |attribute| text_attribute(attribute, name, value));
            }
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |message| {
                message.bytes(1, scope.0.as_bytes());
                message.bytes(2, scope.1.as_bytes());
            });
            for record in spans {
                scope_spans.message(2, |span| write_span(span, record));
            }
        });
    });
    request.into_bytes()
}

/// Reads from an `ExportTraceServiceResponse` how many spans the collector did not take, and why.
pub(super) fn rejected(response: &[u8]) -> (u64, String) {
    let Some(Field::Bytes(partial)) = find(response, 1) else { return (0, String::new()) };
    let number = match find(partial, 1) {
        Some(Field::Number(number)) => number,
        _ => 0,
    };
    let why = match find(partial, 2) {
        Some(Field::Bytes(text)) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    };
    (number, why)
}

fn write_span(span: &mut Message, record: &Record) {
    let Record { context, parent, name, kind, began, ended, attributes, failure } = record;
    span.bytes(1, &context.trace().get().to_be_bytes());
    span.bytes(2, &context.span().get().to_be_bytes());
    if let Some(state) = context.state() {
        span.bytes(3, state.as_bytes());
    }
    if let Some(parent) = parent {
        span.bytes(4, &parent.get().to_be_bytes());
    }
    span.bytes(5, name.as_bytes());
    span.number(6, *kind as u64);
    span.fixed64(7, *began);
    span.fixed64(8, *ended);
    for (name, value) in attributes {
        span.message(9, |attribute| match value {
            Value::Text(text) => text_attribute(attribute, name, text),
            Value::Number(number) => {
                attribute.bytes(1, name.as_bytes());
                // Negative numbers are written as their two's complement.
                attribute.message(2, |any| any.choice(3, u64::from_ne_bytes(number.to_ne_bytes())));
            }
            Value::Flag(flag) => {
                attribute.bytes(1, name.as_bytes());
                attribute.message(2, |any| any.choice(2, u64::from(*flag)));
            }
        });
    }
    if let Some(why) = failure {
        span.message(15, |status| {
            status.bytes(2, shown(why).as_bytes());
            status.number(3, ERROR);
        });
    }
    span.fixed32(16, u32::from(context.is_sampled()) | HAS_IS_REMOTE);
}

fn text_attribute(attribute: &mut Message, name: &str, value: &str) {
    attribute.bytes(1, name.as_bytes());
    attribute.message(2, |any| any.bytes(1, shown(value).as_bytes()));
}

/// Without secrets, and cut.
fn shown(text: &str) -> std::borrow::Cow<'_, str> {
    match crate::secrets::redact(text) {
        std::borrow::Cow::Borrowed(text) => {
            text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or_default().into()
        }
        std::borrow::Cow::Owned(mut text) => {
            text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
            text.into()
        }
    }
}
