//! Which traces are recorded that begin here, or that others have begun.

use super::context::Context;

/// `OTEL_TRACES_SAMPLER`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sampler {
    /// What happens to a trace that begins here: the part that is recorded, from 0 to 1.
    pub(super) ratio: f64,
    /// Whether the caller's decision stands for what it asked for.
    pub(super) follows_parent: bool,
}

impl Sampler {
    /// Returns whether what `parent` asks for is recorded; by the trace's id, so that all services decide alike.
    pub(super) fn decides(self, trace: u128, parent: Option<&Context>) -> bool {
        match parent {
            Some(parent) if self.follows_parent => parent.is_sampled(),
            _ => is_within(trace, self.ratio),
        }
    }
}

/// As the SDKs do it: 63 of the id's random bits against the ratio (opentelemetry_sdk, `trace/sampler.rs`).
fn is_within(trace: u128, ratio: f64) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    let random = (trace as u64) >> 1;
    #[expect(clippy::cast_precision_loss, reason = "a ratio has fewer digits than either")]
    let part = random as f64 / (u64::MAX >> 1) as f64;
    ratio >= 1.0 || part < ratio
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_word_stands_and_a_new_trace_is_drawn_by_its_id() {
        let check = |ratio, follows_parent, trace, parent: Option<bool>, expected| {
            let parent = parent.map(|sampled| Context::root(None, sampled));
            let sampler = Sampler { ratio, follows_parent };
            assert_eq!(sampler.decides(trace, parent.as_ref()), expected, "{sampler:?} {trace} {parent:?}");
        };
        let (low, high) = (1, u128::from(u64::MAX));
        check(1.0, true, high, None, true);
        check(0.0, true, low, None, false);
        check(0.5, true, low, None, true);
        check(0.5, true, high, None, false);
        check(1.0, true, low, Some(false), false);
        check(0.0, true, low, Some(true), true);
        check(1.0, false, low, Some(false), true);
        check(0.0, false, low, Some(true), false);
    }
}
