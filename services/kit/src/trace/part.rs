//! What this process does of one trace, from the request, job or probe that it begins with. Of a trace that is not
//! recorded the spans are held until that has ended: if anything failed they are handed on all the same.

use super::record::Record;

/// Spans that are held of one trace, at most. What is in hand at the same time is bounded by those who hold it:
/// connections, jobs, probes.
const MAX_HELD: usize = 64;

/// The spans of one trace here.
#[derive(Debug)]
pub(super) enum Part {
    /// They are handed on as they end.
    Recorded,
    /// It is not known yet.
    Held { spans: Vec<Record>, has_failed: bool },
    /// Nothing failed until its first span ended: what ends later and did not fail is not wanted.
    Unwanted,
}

/// What becomes of an ended span.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// To be handed on.
    pub(super) kept: Vec<Record>,
    /// Lost, for there was no room.
    pub(super) lost: usize,
}

impl Part {
    pub(super) fn new(is_sampled: bool) -> Self {
        if is_sampled { Self::Recorded } else { Self::Held { spans: Vec::new(), has_failed: false } }
    }

    /// Takes an ended span; `is_first` is the one that all others here come from, `is_wanted` one that failed.
    pub(super) fn take(&mut self, record: Record, is_first: bool, is_wanted: bool) -> Verdict {
        match self {
            Self::Recorded => Verdict { kept: vec![record], lost: 0 },
            Self::Unwanted if is_wanted => Verdict { kept: vec![record], lost: 0 },
            Self::Unwanted => Verdict::default(),
            Self::Held { spans, has_failed } => {
                *has_failed |= is_wanted;
                // There is always room for the first: it says what all the others belong to.
                let lost = usize::from(!is_first && spans.len() >= MAX_HELD);
                if lost == 0 {
                    spans.push(record);
                }
                match (is_first, *has_failed) {
                    (true, true) => {
                        let kept = std::mem::take(spans);
                        *self = Self::Recorded;
                        Verdict { kept, lost }
                    }
                    (true, false) => {
                        *self = Self::Unwanted;
                        Verdict::default()
                    }
                    // Of a trace in which nothing fails it is no loss.
                    (false, failed) => Verdict { kept: Vec::new(), lost: if failed { lost } else { 0 } },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::context::Context;
    use super::super::record::Kind;
    use super::*;

    fn record(name: String) -> Record {
        let context = Context::root(None, false);
        let (attributes, links, failure) = (Vec::new(), Vec::new(), None);
        Record {
            context,
            parent: None,
            name: name.into(),
            kind: Kind::Internal,
            began: 0,
            ended: 1,
            attributes,
            links,
            failure,
        }
    }

    /// `.` a span that ends well, `x` one that fails, `R` and `X` the same of the first; expected: how many are handed on
    /// at each.
    fn check(is_sampled: bool, spans: &str, expected: &str) {
        let mut part = Part::new(is_sampled);
        let end = |span: char| {
            let verdict = part.take(record(span.to_string()), span.is_ascii_uppercase(), matches!(span, 'x' | 'X'));
            verdict.kept.len().to_string()
        };
        assert_eq!(spans.chars().map(end).collect::<String>(), expected, "{spans}");
    }

    #[test]
    fn the_spans_of_an_unsampled_trace_are_handed_on_once_its_first_has_ended_if_anything_failed() {
        check(true, "..R.", "1111");
        check(false, "..R.", "0000");
        check(false, "..X.", "0031");
        check(false, ".x.R.", "00041");
        check(false, ".R.x.", "00010");
    }

    #[test]
    fn no_trace_holds_more_than_its_part_and_its_first_span_is_never_the_one_that_is_lost() {
        let mut part = Part::new(false);
        let mut lost = part.take(record("child".into()), false, true).lost;
        for _ in 0..MAX_HELD + 9 {
            lost += part.take(record("child".into()), false, false).lost;
        }
        let verdict = part.take(record("first".into()), true, false);
        assert_eq!((verdict.kept.len(), verdict.kept.last().unwrap().name.as_ref(), lost), (MAX_HELD + 1, "first", 10));
    }
}
