//! Is it them or us? When far targets fail, anchors are asked before a fail is believed.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::probe::{Observation, Outcome, Reason, ReasonCode, Scope};

/// An answer is good for this long: failing targets come in herds.
const FRESH_FOR: Duration = Duration::from_secs(5);
/// Deadline for all anchors together; they are asked at once.
const DEADLINE: Duration = Duration::from_secs(2);

/// The anchors and what they last said.
#[derive(Debug, Default)]
pub(super) struct Uplink {
    anchors: Vec<String>,
    last: Mutex<Option<(Instant, Option<String>)>>,
}

impl Uplink {
    /// Watches by these `host:port` addresses; fewer than two prove nothing and excuse nothing.
    pub(super) fn new(anchors: Vec<String>) -> Self {
        Self { anchors, last: Mutex::default() }
    }

    /// Turns a network fail of a public target into an unknown if our own uplink is down. `scope` is what the target's
    /// name says; an address that was talked to knows better.
    pub(super) async fn excuse(&self, observation: &mut Observation, scope: Scope) {
        let Outcome::Fail(reason) = &observation.outcome else { return };
        let scope = observation.seen.address.map_or(scope, |address| Scope::of_address(address.ip()));
        let by_network =
            matches!(reason.code, ReasonCode::Timeout | ReasonCode::Unreachable | ReasonCode::Dns | ReasonCode::Reset);
        if scope != Scope::Public || !by_network || self.anchors.len() < 2 {
            return;
        }
        if let Some(finding) = self.finding().await {
            let text = format!("{finding}; the target may be fine ({})", reason.text);
            observation.outcome = Outcome::Unknown(Reason::new(ReasonCode::Uplink, text));
        }
    }

    /// Returns why our uplink is believed to be down, or `None` if any anchor answers.
    async fn finding(&self) -> Option<String> {
        let mut last = self.last.lock().await;
        if let Some((at, finding)) = &*last
            && at.elapsed() < FRESH_FOR
        {
            return finding.clone();
        }
        let asked = self.anchors.iter().map(|anchor| async move {
            matches!(timeout(DEADLINE, TcpStream::connect(anchor.as_str())).await, Ok(Ok(_)))
        });
        let answered = futures_util::future::join_all(asked).await;
        let failed = answered.iter().filter(|answered| !**answered).count();
        let is_down = failed >= 2 && failed == answered.len();
        let finding = is_down.then(|| format!("our own uplink is down: none of {failed} anchors answers"));
        *last = Some((Instant::now(), finding.clone()));
        finding
    }
}

#[cfg(test)]
mod tests {
    use kit::clock::Stamp;

    use super::*;
    use crate::probe::{CheckId, Seen, Why};

    async fn judged(anchors: &[&testkit::Target], scope: Scope, code: ReasonCode) -> ReasonCode {
        judged_at(anchors, scope, code, None).await
    }

    async fn judged_at(
        anchors: &[&testkit::Target],
        scope: Scope,
        code: ReasonCode,
        address: Option<&str>,
    ) -> ReasonCode {
        let uplink = Uplink::new(anchors.iter().map(|anchor| anchor.addr().to_string()).collect());
        let mut observation = Observation {
            check: CheckId::new("a", "b"),
            started: Stamp::now(),
            took: Duration::ZERO,
            phases: Vec::new(),
            outcome: Outcome::Fail(Reason::new(code, "no answer")),
            soft: Vec::new(),
            seen: Seen { address: address.map(|address| address.parse().unwrap()), ..Seen::default() },
            why: Why::Schedule,
            trace_id: String::new(),
            is_recorded: false,
        };
        uplink.excuse(&mut observation, scope).await;
        match observation.outcome {
            Outcome::Fail(reason) | Outcome::Unknown(reason) => reason.code,
            Outcome::Pass => panic!("never a pass"),
        }
    }

    #[tokio::test]
    async fn only_two_dead_anchors_excuse_and_only_public_targets_and_network_fails() {
        let (dead, dead_too, alive) = (testkit::Target::refuse(), testkit::Target::refuse(), testkit::Target::ok(""));
        assert_eq!(judged(&[&dead, &dead_too], Scope::Public, ReasonCode::Timeout).await, ReasonCode::Uplink);
        assert_eq!(judged(&[&dead, &alive], Scope::Public, ReasonCode::Timeout).await, ReasonCode::Timeout);
        assert_eq!(judged(&[&dead], Scope::Public, ReasonCode::Timeout).await, ReasonCode::Timeout);
        assert_eq!(judged(&[&dead, &dead_too], Scope::Lan, ReasonCode::Timeout).await, ReasonCode::Timeout);
        assert_eq!(judged(&[&dead, &dead_too], Scope::Public, ReasonCode::Status).await, ReasonCode::Status);
    }

    #[tokio::test]
    async fn an_address_that_was_talked_to_says_more_than_the_name() {
        let (dead, dead_too) = (testkit::Target::refuse(), testkit::Target::refuse());
        for (address, expected) in [
            ("127.0.0.1:80", ReasonCode::Timeout),
            ("192.168.1.7:80", ReasonCode::Timeout),
            ("[fd00::1]:80", ReasonCode::Timeout),
            ("1.1.1.1:80", ReasonCode::Uplink),
        ] {
            let found = judged_at(&[&dead, &dead_too], Scope::Public, ReasonCode::Timeout, Some(address)).await;
            assert_eq!(found, expected, "{address}");
        }
    }
}
