//! Two clocks that never mix: `Moment` orders and measures, the wall clock is shown and stored.

use std::ops::{Add, Sub};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};

/// A point on the machine's boot clock (CLOCK_BOOTTIME, `clock_gettime(2)`), in milliseconds.
///
/// It goes on while the machine is suspended and never jumps when somebody sets the wall clock. Negative values are
/// before this boot: stored wall times are mapped here when a daemon starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(i64);

impl Moment {
    /// Returns the present moment.
    ///
    /// # Panics
    /// Never on Linux: CLOCK_BOOTTIME exists since 2.6.39.
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("CLOCK_BOOTTIME exists on every Linux since 2.6.39");
        Self(time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000)
    }

    /// Returns the moment `ms` milliseconds after boot.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Returns milliseconds since boot.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// Returns the time from `earlier` to `self`, zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(whole_ms(length)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(whole_ms(length)))
    }
}

fn whole_ms(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

/// The same instant on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// For order and age.
    pub at: Moment,
    /// For people and for storage.
    pub wall: Timestamp,
}

impl Stamp {
    /// Reads both clocks.
    pub fn now() -> Self {
        Self { at: Moment::now(), wall: Timestamp::now() }
    }

    /// Maps a stored wall time onto the boot clock, counting from `self`.
    ///
    /// A wall time in the future (the clock was set back since) counts as this very moment.
    pub fn moment_of(&self, wall: Timestamp) -> Moment {
        let age_ms = self.wall.as_millisecond().saturating_sub(wall.as_millisecond()).max(0);
        Moment(self.at.0.saturating_sub(age_ms))
    }

    /// Returns a stored wall time on both clocks, as [`Stamp::moment_of`] maps it.
    #[must_use]
    pub fn stamp_of(&self, wall: Timestamp) -> Self {
        Self { at: self.moment_of(wall), wall }
    }

    /// Returns the wall time of `at` as this stamp sees it.
    pub fn wall_of(&self, at: Moment) -> Timestamp {
        let offset_ms = at.0.saturating_sub(self.at.0);
        let ms = self.wall.as_millisecond().saturating_add(offset_ms);
        Timestamp::from_millisecond(ms).unwrap_or(self.wall)
    }
}

/// The wall clock was set if it differs by so much from what has passed: NTP slews 500 ppm at most (`adjtimex(2)`), which
/// is far less between two looks.
const CLOCK_SET: Duration = Duration::from_secs(2);

/// Notices that somebody, or NTP at a start, has set the wall clock. Looks must be minutes apart at most.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock {
    looked: Option<Stamp>,
}

impl WallClock {
    /// Returns by how much the wall clock was set since the last look, if it was.
    pub fn set_by(&mut self, now: Stamp) -> Option<SignedDuration> {
        let looked = self.looked.replace(now)?;
        let by = now.wall.duration_since(looked.wall_of(now.at));
        (by.unsigned_abs() >= CLOCK_SET).then_some(by)
    }
}

/// Returns the wall time that passed from `earlier` to `now`, zero if the clock says that it is still to come.
pub fn elapsed(earlier: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(earlier)).unwrap_or_default()
}

/// Adds; a time too far away to be written is the last that can be.
pub fn later(time: Timestamp, length: Duration) -> Timestamp {
    time.saturating_add(length).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_times_are_never_less_than_nothing_apart_nor_beyond_what_can_be_written() {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        assert_eq!(elapsed(at(1_000), at(3_500)), Duration::from_millis(2_500));
        assert_eq!(elapsed(at(3_500), at(1_000)), Duration::ZERO);
        assert_eq!(later(at(1_000), Duration::from_secs(2)), at(3_000));
        assert_eq!(later(at(1_000), Duration::MAX), Timestamp::MAX);
    }

    #[test]
    fn a_stored_wall_time_comes_back_at_its_age_and_a_future_one_as_now() {
        let wall = |ms| Timestamp::from_millisecond(ms).unwrap();
        let now = Stamp { at: Moment::from_ms(5_000), wall: wall(1_000_000) };
        assert_eq!(now.moment_of(wall(990_000)), Moment::from_ms(-5_000));
        assert_eq!(now.moment_of(wall(2_000_000)), now.at);
        assert_eq!(now.wall_of(Moment::from_ms(-5_000)), wall(990_000));
    }

    #[test]
    fn a_change_to_or_from_summer_time_is_no_jump() {
        // 29 March 2026 and 25 October 2026, 01:00 UTC, when clocks in Europe are changed.
        for change in ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"] {
            let change: Timestamp = change.parse().unwrap();
            let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
            let before = change - jiff::SignedDuration::from_secs(1);
            let local = |at: Timestamp| at.to_zoned(zone.clone()).time();
            assert_ne!(local(before).hour(), local(change).hour().wrapping_sub(1), "the wall clock jumps here");
            let now = Stamp { at: Moment::from_ms(10_000), wall: change };
            assert_eq!(now.moment_of(before), Moment::from_ms(9_000), "and our clocks do not");
        }
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_once_and_one_that_goes_is_not() {
        let mut clock = WallClock::default();
        let stamp = |at_secs: i64, wall_secs: i64| Stamp {
            at: Moment::from_ms(at_secs * 1000),
            wall: Timestamp::from_second(1_800_000_000 + wall_secs).unwrap(),
        };
        let looks = [(0, 0, None), (60, 61, None), (61, 3662, Some(3600)), (70, 3671, None), (71, -5, Some(-3677))];
        for (at, wall, expected) in looks {
            assert_eq!(clock.set_by(stamp(at, wall)), expected.map(SignedDuration::from_secs), "{at}");
        }
    }

    #[test]
    fn the_boot_clock_moves_forward() {
        let first = Moment::now();
        assert!(Moment::now() >= first);
        assert_eq!((first + Duration::from_secs(2)).since(first), Duration::from_secs(2));
        assert_eq!(first.since(first + Duration::from_secs(2)), Duration::ZERO);
    }
}
