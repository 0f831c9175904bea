//! What became of mails, counted.

use kit::metrics::Metrics;
use prometheus::{IntCounterVec, IntGauge, Opts};

use super::errand::Errand;

/// The server has it.
pub(super) const SENT: &str = "sent";
/// It will be tried again.
pub(super) const RETRIED: &str = "retried";
/// The server will not have it, or it cannot be written or read: a dead letter.
pub(super) const REFUSED: &str = "refused";
/// It was not sent as long as it was worth it: a dead letter.
pub(super) const LATE: &str = "late";
/// There is nobody to write to.
pub(super) const DROPPED: &str = "dropped";
/// It could not be put into the queue.
pub(super) const LOST: &str = "lost";

/// Instead of a kind: nobody knows which mail is meant.
pub(super) const UNKNOWN: &str = "unknown";

/// Counters of mails. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    mails: IntCounterVec,
    waiting: IntGauge,
}

impl Figures {
    /// Registers the metrics.
    pub(super) fn new(metrics: &Metrics) -> Self {
        let help =
            "Mails: sent, retried, refused by the server, late, dropped (nobody to write to), lost (not queued).";
        let mails = IntCounterVec::new(Opts::new("platform_mails_total", help), &["kind", "result"]);
        let mails = metrics.register(mails);
        let waiting = metrics.register(IntGauge::new("platform_mails_waiting", "Mails that are not sent yet."));
        // Rates see the first mail that fails only if its series is there before.
        for (kind, result) in Errand::KINDS.iter().flat_map(|kind| [REFUSED, LATE, LOST].map(|result| (*kind, result)))
        {
            mails.with_label_values(&[kind, result]);
        }
        Self { mails, waiting }
    }

    pub(super) fn count(&self, kind: &str, result: &str) {
        self.mails.with_label_values(&[kind, result]).inc();
    }

    pub(super) fn wait(&self, mails: u64) {
        self.waiting.set(i64::try_from(mails).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use kit::metrics::Format;

    use super::*;

    #[test]
    fn the_first_mail_that_fails_raises_a_series_that_was_there_before() {
        let metrics = Metrics::new("platform-services", "0");
        let _figures = Figures::new(&metrics);
        let text = metrics.encode(Format::Text);
        for result in [REFUSED, LATE, LOST] {
            let series = format!("platform_mails_total{{kind=\"reset_password\",result=\"{result}\"}} 0\n");
            assert!(text.contains(&series), "{series} in {text}");
        }
    }
}
