//! A change that somebody announced: what an unknown hand does to the workload meanwhile is planned.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::supervise::{Event, Who};

/// Somebody said that a service will be changed, such as a pipeline before it rolls a version out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// When that was said.
    pub at: Timestamp,
    /// Until when it holds.
    pub until: Timestamp,
    /// Who said it.
    pub by: String,
    /// What is changed.
    pub why: String,
}

impl Announcement {
    /// Returns whether it holds at a time.
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// Returns an event as it is to be taken: what a hand did that nobody knew is what was announced. A crash stays one.
    pub(super) fn explain(&self, event: &Event) -> Event {
        let mut event = event.clone();
        match &mut event {
            Event::Started { by, stamp, .. } if *by == Who::Anonymous && self.covers(stamp.wall) => {
                *by = Who::Announced;
            }
            Event::Ended { by, planned, ending, .. } if *by == Who::Anonymous && self.covers(ending.at.wall) => {
                (*by, *planned) = (Who::Announced, true);
            }
            _ => {}
        }
        event
    }

    fn covers(&self, time: Timestamp) -> bool {
        self.at <= time && time < self.until
    }
}
