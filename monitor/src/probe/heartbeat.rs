//! Kind `heartbeat`: the watched job pushes; the deadline counts from its last real push, which is kept on disk.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use kit::clock::elapsed;
use kit::config::{Cursor, show_duration};
use secrecy::SecretString;

use super::kinds::{Expectation, Kind, Probe, Scope, Target};
use super::observation::{Facts, Outcome, Reason, ReasonCode};
use super::pushes::{Pushed, Signal};
use super::run::Run;

/// The kind.
pub(super) struct Heartbeat;

impl Kind for Heartbeat {
    fn name(&self) -> &'static str {
        "heartbeat"
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let (second, year) = (Duration::from_secs(1), Duration::from_secs(366 * 86_400));
        let period = fields.require("period").and_then(|c| c.duration(second..=year));
        let grace = fields.get("grace").and_then(|c| c.duration(Duration::ZERO..=year));
        let max_run = fields.get("max_run").and_then(|c| c.duration(second..=year));
        let token = fields.secret("token", "token_file");
        fields.end();
        let period = period?;
        // A tenth of the period absorbs the jitter of cron and of the job itself.
        Some(Arc::new(HeartbeatProbe { period, grace: grace.unwrap_or(period / 10), max_run, token }))
    }
}

#[derive(Debug)]
struct HeartbeatProbe {
    /// The job ends well at least this often.
    period: Duration,
    /// And so much later at most. Default: a tenth of the period.
    grace: Duration,
    /// A run that began ends within this time. Default: not watched.
    max_run: Option<Duration>,
    /// What the job shows with its pushes. Default: the operator's token is needed.
    token: Option<SecretString>,
}

impl Probe for HeartbeatProbe {
    fn target(&self) -> Target {
        let shown = format!("a push every {} (grace {})", show_duration(self.period), show_duration(self.grace));
        Target { shown, scope: Scope::Local }
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        let pushed = run.vantage.pushes.of(&run.check);
        let judged = self.judge(pushed.as_ref(), Timestamp::now());
        Box::pin(async move {
            run.seen.note = judged.as_ref().ok().cloned();
            judged.map(|_note| Facts::default())
        })
    }

    fn is_pushed(&self) -> bool {
        true
    }

    fn push_token(&self) -> Option<&SecretString> {
        self.token.as_ref()
    }
}

impl HeartbeatProbe {
    /// Decides by the wall clock: the deadline must hold across restarts of the monitor and of the machine.
    fn judge(&self, pushed: Option<&Pushed>, now: Timestamp) -> Result<String, Outcome> {
        let fail = |code, text: String| Err(Outcome::Fail(Reason::new(code, text)));
        let Some(pushed) = pushed else {
            return Err(Outcome::Unknown(Reason::new(ReasonCode::Local, "this check is not registered for pushes")));
        };
        let ago = |then: Timestamp| elapsed(then, now);
        if let (Some(started), Some(max_run)) = (pushed.started, self.max_run)
            && ago(started) > max_run
        {
            let text = format!(
                "started {} ago and has not ended; at most {}",
                show_duration(ago(started)),
                show_duration(max_run)
            );
            return fail(ReasonCode::Missed, text);
        }
        let said = pushed.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
        if let Some((at, Signal::Fail(code))) = pushed.ended {
            let code = code.map(|code| format!(" with exit code {code}")).unwrap_or_default();
            return fail(ReasonCode::Reported, format!("the job failed{code}, {} ago{said}", show_duration(ago(at))));
        }
        let allowed = self.period + self.grace;
        let limits = format!("{} plus {} grace", show_duration(self.period), show_duration(self.grace));
        match pushed.ended {
            Some((at, _)) if ago(at) > allowed => {
                fail(ReasonCode::Missed, format!("no push for {}; expected every {limits}", show_duration(ago(at))))
            }
            Some((at, _)) => Ok(format!("last push {} ago{said}", show_duration(ago(at)))),
            None if ago(pushed.known_since) > allowed => {
                let since = show_duration(ago(pushed.known_since));
                fail(ReasonCode::Missed, format!("never pushed in the {since} we know of it; expected every {limits}"))
            }
            None => Err(Outcome::Unknown(Reason::new(ReasonCode::Missed, "waiting for its first push"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    fn judge(pushed: &Pushed, now: i64) -> String {
        let probe = HeartbeatProbe {
            period: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            max_run: Some(Duration::from_secs(30)),
            token: None,
        };
        match probe.judge(Some(pushed), at(now)) {
            Ok(note) => format!("pass: {note}"),
            Err(Outcome::Fail(reason)) => format!("fail: {}", reason.text),
            Err(Outcome::Unknown(reason)) => format!("unknown: {}", reason.text),
            Err(Outcome::Pass) => "never".to_owned(),
        }
    }

    #[test]
    fn the_deadline_counts_from_the_last_push_or_from_when_the_check_was_first_known() {
        let mut pushed = Pushed::new(at(0));
        assert_eq!(judge(&pushed, 70), "unknown: waiting for its first push");
        assert_eq!(
            judge(&pushed, 71),
            "fail: never pushed in the 1m11s we know of it; expected every 1m plus 10s grace"
        );
        pushed.ended = Some((at(100), Signal::Success));
        assert_eq!(judge(&pushed, 170), "pass: last push 1m10s ago");
        assert_eq!(judge(&pushed, 171), "fail: no push for 1m11s; expected every 1m plus 10s grace");
    }

    #[test]
    fn a_reported_failure_fails_at_once_and_a_run_that_never_ends_fails_in_time() {
        let mut pushed = Pushed::new(at(0));
        pushed.ended = Some((at(10), Signal::Fail(Some(3))));
        pushed.message = Some("tape full".to_owned());
        assert_eq!(judge(&pushed, 12), "fail: the job failed with exit code 3, 2s ago: tape full");
        pushed.ended = Some((at(10), Signal::Success));
        pushed.started = Some(at(20));
        assert_eq!(judge(&pushed, 50), "pass: last push 40s ago: tape full");
        assert_eq!(judge(&pushed, 51), "fail: started 31s ago and has not ended; at most 30s");
    }
}
