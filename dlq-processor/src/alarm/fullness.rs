//! How urgent the size of the ledger is. Pure.

use kit::alert::Severity;

/// Percent of its largest size beyond which the ledger is nearly full, and below which it no longer is.
const LARGE: (u64, u64) = (80, 75);
/// Percent of it below which a ledger that was full takes letters in for good.
const FULL_UNTIL: u64 = 95;

/// How large the ledger is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LedgerFacts {
    /// Its size.
    pub(crate) bytes: u64,
    /// The size at which nothing is taken in any more.
    pub(crate) most_bytes: u64,
}

impl LedgerFacts {
    /// Returns how urgent that is, where it `was` that urgent: what comes and goes around a bound is told once.
    pub(super) fn urgency(self, was: Option<Severity>) -> Option<Severity> {
        if self.has(100) || was == Some(Severity::Page) && self.has(FULL_UNTIL) {
            Some(Severity::Page)
        } else if self.has(LARGE.0) || was.is_some() && self.has(LARGE.1) {
            Some(Severity::Ticket)
        } else {
            None
        }
    }

    /// Returns whether there is so much room that nobody need hear of it any more.
    pub(super) fn is_well(self) -> bool {
        !self.has(LARGE.1)
    }

    /// Returns its size in percent of its largest one.
    pub(super) fn percent(self) -> u128 {
        u128::from(self.bytes) * 100 / u128::from(self.most_bytes.max(1))
    }

    fn has(self, percent: u64) -> bool {
        u128::from(self.bytes) * 100 >= u128::from(self.most_bytes) * u128::from(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_four_fifths_and_when_it_is_full_and_not_each_time_it_comes_and_goes() {
        let mut was = None;
        for (bytes, expected) in [
            (0, None),
            (799, None),
            (800, Some(Severity::Ticket)),
            (799, Some(Severity::Ticket)),
            (750, Some(Severity::Ticket)),
            (749, None),
            (799, None),
            (999, Some(Severity::Ticket)),
            (1000, Some(Severity::Page)),
            (950, Some(Severity::Page)),
            (1200, Some(Severity::Page)),
            (949, Some(Severity::Ticket)),
            (999, Some(Severity::Ticket)),
            (10, None),
        ] {
            was = LedgerFacts { bytes, most_bytes: 1000 }.urgency(was);
            assert_eq!(was, expected, "{bytes}");
        }
        let of = |bytes| LedgerFacts { bytes, most_bytes: 1000 };
        assert_eq!((of(749).is_well(), of(750).is_well(), of(1200).percent()), (true, false, 120));
        assert_eq!(LedgerFacts { bytes: u64::MAX, most_bytes: u64::MAX }.percent(), 100);
    }
}
