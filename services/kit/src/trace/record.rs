//! What is known of a span when it has ended.

use std::borrow::Cow;
use std::num::NonZeroU64;

use super::context::Context;
use crate::secrets::redact_start;

/// Longest text of an attribute, in bytes: a path or an agent's name may be as long as its sender likes.
const MAX_TEXT_BYTES: usize = 1024;

/// What a span stands for (`SpanKind` of OTLP; the numbers are those of its protocol).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Work within this process.
    Internal = 1,
    /// Answering a request.
    Server = 2,
    /// Making one.
    Client = 3,
    /// Handing work to a queue.
    Producer = 4,
    /// Doing one.
    Consumer = 5,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Known secrets are taken out of it before it leaves.
    Text(Cow<'static, str>),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl Value {
    /// Cut, if it is long: spans that wait are counted, and must not be as large as their senders like.
    pub(super) fn short(self) -> Self {
        match self {
            Self::Text(text) => Self::Text(short(text)),
            other => other,
        }
    }
}

/// Returns the text, or what is shown of it if that is less.
pub(super) fn short(text: Cow<'static, str>) -> Cow<'static, str> {
    if text.len() > MAX_TEXT_BYTES { shown(&text).into() } else { text }
}

/// Without secrets, and cut. A request waits for that, so that not all of a long text is looked at.
pub(super) fn shown(text: &str) -> String {
    redact_start(text, MAX_TEXT_BYTES)
}

/// The span that another is a step of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parent {
    pub(super) span: NonZeroU64,
    /// Whether it is another process's.
    pub(super) is_remote: bool,
}

impl From<&Context> for Parent {
    fn from(context: &Context) -> Self {
        Self { span: context.span(), is_remote: context.is_remote() }
    }
}

/// An ended span.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) context: Context,
    pub(super) parent: Option<Parent>,
    pub(super) name: Cow<'static, str>,
    pub(super) kind: Kind,
    /// Nanoseconds since the epoch.
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// Spans of other traces that it has to do with.
    pub(super) links: Vec<Context>,
    /// Why it failed, if it did; may be empty.
    pub(super) failure: Option<Cow<'static, str>>,
}
