//! BullMQ as its own npm packages run it, in every version that is supported, and our source of dead letters beside it.

#[macro_use]
mod versions;

mod away;
mod bull;
mod dying;
mod fence;
mod flows;
mod gone;
mod jobs;
mod listed;
mod odd;
mod orphans;
mod others;
mod proxy;
mod queues;
mod seed;
mod taken;
mod tries;
mod waking;

use bull::Job;

pub(crate) use bull::Bull;
pub(crate) use proxy::Proxy;

/// Ten times what the slowest thing takes on an idle machine.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(30);
