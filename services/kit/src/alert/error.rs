//! Why an alert was not taken.

use super::MAX_ALERT_BYTES;
use crate::queue::QueueError;

/// Why a call failed. No message holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// The client cannot work with its settings.
    #[error("alert client: {0}")]
    Settings(String),
    /// Prometheus takes no such label.
    #[error("label {0:?} must be letters, digits and underscores, and not begin with a digit")]
    Label(String),
    /// The client sets this label itself.
    #[error("label {0:?} is set by the alert's own fields; choose another name")]
    Reserved(String),
    /// Name or service is empty.
    #[error("an alert needs a name and a service")]
    Nameless,
    /// The alert is over [`MAX_ALERT_BYTES`].
    #[error("alert {name:?} has {bytes} bytes, more than {MAX_ALERT_BYTES}; shorten its description")]
    TooLarge {
        /// Its name.
        name: String,
        /// Its size.
        bytes: usize,
    },
    /// As many alerts as allowed are open or not delivered.
    #[error("{0} alerts are open; this one was not taken")]
    Full(u32),
    /// The queue did not take it.
    #[error("cannot keep the alert")]
    Queue(#[source] QueueError),
}

impl From<QueueError> for AlertError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full { limit, .. } => Self::Full(limit),
            error => Self::Queue(error),
        }
    }
}
