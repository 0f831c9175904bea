//! The loop's timer. Setting a timer may wake the thread that waits for all of them, so it is set as seldom as possible.

use std::pin::Pin;
use std::time::Duration;

use kit::clock::Moment;
use tokio::time::{Instant, Sleep};

/// Rings at the earliest time it was set to since it last rang; never later.
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    at: Moment,
}

impl Alarm {
    /// Returns an alarm that rings at once.
    pub(super) fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(Duration::ZERO)), at: Moment::now() }
    }

    /// Has it ring at `at`, unless it is to ring sooner.
    pub(super) fn set(&mut self, at: Moment) {
        if at < self.at || self.sleep.is_elapsed() {
            self.at = at;
            self.sleep.as_mut().reset(Instant::now() + at.since(Moment::now()));
        }
    }

    /// Waits until it rings.
    ///
    /// # Cancel safety
    /// The time stays set.
    pub(super) async fn rings(&mut self) {
        self.sleep.as_mut().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_the_earliest_time_and_can_be_set_again_once_it_rang() {
        let (mut alarm, now) = (Alarm::new(), Moment::now());
        alarm.rings().await;
        let began = Instant::now();
        alarm.set(now + Duration::from_secs(10_000));
        alarm.set(now + Duration::from_secs(5_000));
        alarm.set(now + Duration::from_secs(7_000));
        alarm.rings().await;
        // The alarm's clock is the machine's, which goes on while the test runs: whole thousands of seconds tell enough.
        let thousands = |length: Duration| (length.as_secs_f64() / 1000.0).round();
        assert_eq!(thousands(began.elapsed()), 5.0);
        alarm.set(now + Duration::from_secs(10_000));
        alarm.rings().await;
        assert_eq!(thousands(began.elapsed()), 15.0, "it was set anew");
    }
}
