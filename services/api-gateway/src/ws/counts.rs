//! What `/ws` counts, for its clients and for the metrics.

use kit::metrics::Metrics;
use prometheus::{IntCounter, IntCounterVec, Opts};

/// Why a frame was not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// What may wait for all sessions does so already.
    AllFull,
    /// Frames of more weight, or newer ones, wait for the session.
    SessionFull,
    /// It has waited for too long.
    Expired,
    /// Its session was forgotten.
    Forgotten,
    /// Its connection ended before.
    Unsent,
    /// Its connection was let go, since it is read too slowly.
    Slow,
}

impl Loss {
    pub(super) const ALL: [Self; 6] =
        [Self::AllFull, Self::SessionFull, Self::Expired, Self::Forgotten, Self::Unsent, Self::Slow];

    fn reason(self) -> &'static str {
        match self {
            Self::AllFull => "all_full",
            Self::SessionFull => "session_full",
            Self::Expired => "expired",
            Self::Forgotten => "forgotten",
            Self::Unsent => "unsent",
            Self::Slow => "slow",
        }
    }
}

/// The counters.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) connections: IntCounter,
    pub(super) sent: IntCounter,
    pub(super) queued: IntCounter,
    pub(super) too_fast: IntCounter,
    pub(super) refused: IntCounter,
    dropped: IntCounterVec,
}

impl Counts {
    /// Registers the metrics.
    pub(super) fn new(metrics: &Metrics) -> Self {
        let counter = |name: &str, help: &str| metrics.register(IntCounter::new(name, help));
        let dropped = Opts::new("api_gateway_ws_dropped_total", "Frames that were lost.");
        let dropped = metrics.register(IntCounterVec::new(dropped, &["reason"]));
        let counts = Self {
            connections: counter("api_gateway_ws_connections_total", "Connections that came in."),
            sent: counter("api_gateway_ws_sent_total", "Frames sent."),
            queued: counter("api_gateway_ws_queued_total", "Frames that had to wait, since nobody listened."),
            too_fast: counter("api_gateway_ws_rate_limited_total", "Frames of clients beyond their limit."),
            refused: counter("api_gateway_ws_refused_total", "Connections without a good key or token."),
            dropped,
        };
        Loss::ALL.into_iter().for_each(|loss| counts.lost(loss, 0));
        counts
    }

    /// Counts frames that were lost.
    pub(super) fn lost(&self, why: Loss, frames: usize) {
        self.dropped.with_label_values(&[why.reason()]).inc_by(u64::try_from(frames).unwrap_or(u64::MAX));
    }

    #[cfg(test)]
    pub(super) fn losses(&self) -> Vec<(Loss, u64)> {
        let count = |loss: Loss| (loss, self.dropped.with_label_values(&[loss.reason()]).get());
        Loss::ALL.into_iter().map(count).filter(|(_, count)| *count > 0).collect()
    }
}
