//! The id of an entry: milliseconds since the epoch, and a number within them (redis.io, "Redis Streams").

use std::fmt;

use super::super::Cursor;

/// Which entry; later ones are greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EntryId {
    /// When it was put in, in milliseconds since the epoch, unless whoever put it in chose another number.
    pub(super) ms: i64,
    sequence: u64,
}

impl EntryId {
    /// None if it is no id, or of a time that nothing here has a number for.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (ms, sequence) = text.split_once('-')?;
        Some(Self { ms: ms.parse().ok().filter(|ms| *ms >= 0)?, sequence: sequence.parse().ok()? })
    }

    /// The one after it.
    pub(super) fn next(self) -> Self {
        match self.sequence.checked_add(1) {
            Some(sequence) => Self { sequence, ..self },
            None => Self { ms: self.ms.saturating_add(1), sequence: 0 },
        }
    }

    /// Where a list goes on. Numbers within a millisecond begin at 0 and have no gaps: so many were read as the next one is.
    pub(super) fn of(cursor: Cursor) -> Self {
        Self { ms: cursor.failed_at_ms.max(0), sequence: u64::try_from(cursor.read).unwrap_or(u64::MAX) }
    }

    /// As [`Self::of`], the other way.
    pub(super) fn cursor(self) -> Cursor {
        Cursor { failed_at_ms: self.ms, read: usize::try_from(self.sequence).unwrap_or(usize::MAX) }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_their_order_and_anything_else_is_none() {
        let id = |text| EntryId::parse(text).unwrap();
        assert!(id("9-10") > id("9-9") && id("10-0") > id("9-18446744073709551615"));
        assert_eq!([id("9-9").next(), id("9-18446744073709551615").next()], [id("9-10"), id("10-0")]);
        assert_eq!((EntryId::of(id("7-3").cursor()), EntryId::of(Cursor::default())), (id("7-3"), id("0-0")));
        assert_eq!(id("7-3").to_string(), "7-3");
        for text in ["", "7", "7-", "-7-1", "7-x", "9223372036854775808-0", "7-18446744073709551616"] {
            assert_eq!(EntryId::parse(text), None, "{text}");
        }
    }
}
