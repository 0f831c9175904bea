//! Spans as OTLP has them: the part of its messages that is written or read here (opentelemetry-proto 1.9,
//! `trace/v1/trace.proto`, `common/v1/common.proto`, `resource/v1/resource.proto` and
//! `collector/trace/v1/trace_service.proto`).

use std::time::Duration;

use prost::{Message, Oneof};

use super::context::Context;
use super::record::{Record, Value, shown};

/// `SpanFlags`: it is known whether the parent (or what a link leads to) is another process's, …
const HAS_IS_REMOTE: u32 = 0x100;
/// … and it is.
const IS_REMOTE: u32 = 0x200;
/// `STATUS_CODE_ERROR`
const ERROR: i32 = 2;

/// Attributes of a whole process.
pub(super) type Resource = Vec<(String, String)>;

#[derive(Clone, PartialEq, Message)]
struct ExportTraceServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Attributes>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

/// `Resource`
#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<InstrumentationScope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct InstrumentationScope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "13")]
    links: Vec<Link>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Link {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(fixed32, tag = "6")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Flag(bool),
    #[prost(int64, tag = "3")]
    Number(i64),
}

#[derive(Clone, PartialEq, Message)]
struct ExportTraceServiceResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<ExportTracePartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct ExportTracePartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
    /// A text; as bytes one that is no UTF-8 does not hide the count.
    #[prost(bytes = "vec", tag = "2")]
    error_message: Vec<u8>,
}

/// `google.rpc.Status` (googleapis, `google/rpc/status.proto`), its details alone.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Packed>,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, Message)]
struct Packed {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo` (googleapis, `google/rpc/error_details.proto`)
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Length>,
}

/// `google.protobuf.Duration`
#[derive(Clone, Copy, PartialEq, Message)]
struct Length {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// Writes an `ExportTraceServiceRequest`.
pub(super) fn encode(resource: &Resource, scope: (&str, &str), spans: &[Record]) -> Vec<u8> {
    let attributes = resource.iter().map(|(name, value)| attribute(name, text(value))).collect();
    let scope = InstrumentationScope { name: scope.0.to_owned(), version: scope.1.to_owned() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans: spans.iter().map(span).collect() }];
    let resource_spans = vec![ResourceSpans { resource: Some(Attributes { attributes }), scope_spans }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// Reads from an `ExportTraceServiceResponse` how many spans the collector did not take, and why.
pub(super) fn rejected(response: &[u8]) -> (u64, String) {
    let read = ExportTraceServiceResponse::decode(response).unwrap_or_default();
    let partial = read.partial_success.unwrap_or_default();
    (
        u64::try_from(partial.rejected_spans).unwrap_or_default(),
        String::from_utf8_lossy(&partial.error_message).into_owned(),
    )
}

/// Reads from a `google.rpc.Status` how long a collector asks to be left alone. None if it does not say that another try
/// may help.
pub(super) fn retry_delay(status: &[u8]) -> Option<Duration> {
    let details = RpcStatus::decode(status).ok()?.details;
    let told = details.iter().find(|packed| packed.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(told.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    let [seconds, nanos] = [delay.seconds, delay.nanos.into()].map(|part| u64::try_from(part).unwrap_or_default());
    Some(Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos)))
}

fn span(record: &Record) -> Span {
    let Record { context, parent, name, kind, began, ended, attributes, links, failure } = record;
    let value = |value: &Value| match value {
        Value::Text(given) => text(given),
        Value::Number(number) => Any::Number(*number),
        Value::Flag(flag) => Any::Flag(*flag),
    };
    Span {
        trace_id: trace_id(context),
        span_id: span_id(context),
        trace_state: state(context),
        parent_span_id: parent.map(|parent| parent.span.get().to_be_bytes().to_vec()).unwrap_or_default(),
        name: name.clone().into_owned(),
        kind: *kind as i32,
        start_time_unix_nano: *began,
        end_time_unix_nano: *ended,
        attributes: attributes.iter().map(|(name, given)| attribute(name, value(given))).collect(),
        links: links.iter().map(link).collect(),
        status: failure.as_ref().map(|why| Status { message: shown(why), code: ERROR }),
        flags: flags(context, parent.is_some_and(|parent| parent.is_remote)),
    }
}

fn link(to: &Context) -> Link {
    Link { trace_id: trace_id(to), span_id: span_id(to), trace_state: state(to), flags: flags(to, to.is_remote()) }
}

fn trace_id(context: &Context) -> Vec<u8> {
    context.trace().get().to_be_bytes().to_vec()
}

fn span_id(context: &Context) -> Vec<u8> {
    context.span().get().to_be_bytes().to_vec()
}

fn state(context: &Context) -> String {
    context.tracestate().unwrap_or_default().to_owned()
}

fn flags(context: &Context, is_remote: bool) -> u32 {
    u32::from(context.is_sampled()) | HAS_IS_REMOTE | if is_remote { IS_REMOTE } else { 0 }
}

fn attribute(name: &str, value: Any) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

fn text(text: &str) -> Any {
    Any::Text(shown(text))
}
