//! A real RabbitMQ, and our source of dead letters beside it.

mod anew;
mod away;
mod broker;
mod deaths;
mod equal;

pub(crate) use broker::{Broker, text};

/// Ten times what the slowest thing takes on an idle machine.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);
