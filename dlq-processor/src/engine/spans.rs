//! Spans of what is done with letters, named as OpenTelemetry's semantic conventions for messaging name them; what is ours
//! alone begins with `dlq.`. A letter's span is linked to the span that put its job in, and no part of that trace: it may be
//! days later.

use std::collections::BTreeMap;

use kit::chain::Chain;
use kit::trace::{Context, Kind, Span, is_on};

use super::{Engine, Trouble};
use crate::ledger::{Intended, LetterId, Ruling};
use crate::source::{Found, Put};

/// Letters of a batch that have spans of their own, at most: of a flood of failures the first ones say what it is, and a batch
/// stays below the 64 spans that are held of a trace that is not recorded.
const OWN: usize = 50;

/// Spans of the letters of one batch that is taken in.
pub(super) struct Rulings<'a> {
    engine: &'a Engine,
    left: usize,
}

/// Spans of letters that are put back, while that is done.
#[derive(Default)]
pub(super) struct Redrives(BTreeMap<LetterId, Span>);

impl Engine {
    /// Begins the span of a batch that is taken in, of one queue or of several.
    pub(super) fn capture_span(&self, queue: Option<&str>) -> Span {
        if !is_on() {
            return Span::none();
        }
        let name = format!("capture {}", queue.unwrap_or(&self.name));
        let mut span = Span::enter(Kind::Client, name, None, None, false);
        self.describe(&mut span, ("capture", "receive"), queue);
        span
    }

    /// Spans of what is decided of letters: steps of the batch's span.
    pub(super) fn rulings(&self) -> Rulings<'_> {
        Rulings { engine: self, left: if is_on() { OWN } else { 0 } }
    }

    /// Begins a span for each letter.
    pub(super) fn redrive_spans(&self, intended: &[Intended]) -> Redrives {
        if !is_on() {
            return Redrives::default();
        }
        let begin = |intended: &Intended| (intended.id.clone(), self.redrive_span(intended));
        Redrives(intended.iter().map(begin).collect())
    }

    fn redrive_span(&self, Intended { id, order, redrives, asked_by, .. }: &Intended) -> Span {
        let queue = &order.episode.queue;
        let mut span = Span::enter(Kind::Producer, format!("redrive {queue}"), None, None, false);
        self.describe(&mut span, ("redrive", "send"), Some(queue));
        of_letter(&mut span, id, &order.episode.job, asked_by.as_ref());
        span.set("dlq.redrive.number", *redrives);
        span.set("dlq.redrive.asked", order.has_all_tries);
        span
    }

    fn describe(&self, span: &mut Span, (name, kind): (&'static str, &'static str), queue: Option<&str>) {
        span.set("messaging.system", self.kind);
        span.set("messaging.operation.name", name);
        span.set("messaging.operation.type", kind);
        if let Some(queue) = queue {
            span.set("messaging.destination.name", queue.to_owned());
        }
    }
}

impl Rulings<'_> {
    /// Decides within a span of its own, for as long as there are some.
    pub(super) fn within(&mut self, found: &Found, decide: impl FnOnce() -> Ruling) -> Ruling {
        if self.left == 0 {
            return decide();
        }
        self.left -= 1;
        let Found { episode, asked_by, .. } = found;
        let mut span = Span::step(Kind::Internal, format!("classify {}", episode.queue));
        self.engine.describe(&mut span, ("classify", "process"), Some(&episode.queue));
        of_letter(&mut span, &LetterId::of(&self.engine.name, episode), &episode.job, asked_by.as_ref());
        let ruling = decide();
        let decision = &ruling.decision;
        span.set("dlq.rule", decision.rule.clone().unwrap_or_else(|| "none".to_owned()));
        span.set("dlq.class", decision.class.word());
        span.set("dlq.action", decision.action.word());
        ruling
    }
}

impl Redrives {
    /// Ends the span of a letter with what came of it.
    pub(super) fn end(&mut self, letter: &LetterId, put: Put) {
        let Some(mut span) = self.0.remove(letter) else { return };
        span.set("dlq.redrive.result", put.word());
        if !matches!(put, Put::Moved | Put::Already) {
            span.refuse(put.word(), "");
        }
    }

    /// Ends the others: nobody knows what came of them.
    pub(super) fn fail(self, trouble: &Trouble) {
        self.0.into_values().for_each(|mut span| fail(&mut span, trouble));
    }
}

/// Says that a span came to nothing, and why.
pub(super) fn fail(span: &mut Span, trouble: &Trouble) {
    let kind = match trouble {
        Trouble::Source(_) => "source",
        Trouble::Ledger(_) => "ledger",
        Trouble::Full => "full",
    };
    span.fail(kind, Chain(trouble).to_string());
}

fn of_letter(span: &mut Span, letter: &LetterId, job: &str, asked_by: Option<&Context>) {
    span.set("messaging.message.id", job.to_owned());
    span.set("dlq.letter.id", letter.as_str().to_owned());
    if let Some(asked_by) = asked_by {
        span.link(asked_by);
    }
}
