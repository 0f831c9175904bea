//! What is known of a span when it has ended.

use std::borrow::Cow;
use std::num::NonZeroU64;

use super::context::Context;

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

/// An ended span.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) context: Context,
    pub(super) parent: Option<NonZeroU64>,
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
