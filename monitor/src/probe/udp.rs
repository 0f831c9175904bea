//! Kind `udp`: sends one datagram, and waits for one that is expected.
//!
//! Where nothing is expected, only the host's word that nobody listens there (ICMP port unreachable) is a fail, waited for
//! a moment: silence is what a server that takes the datagram and one behind a firewall have in common. Write what the
//! server answers to where it answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::Cursor;
use tokio::time::Instant;

use super::datagram::{Replies, open};
use super::endpoint::Endpoint;
use super::expect::{MAX_JUDGED_BYTES, excerpt};
use super::kinds::{Expectation, Kind, Probe, Target};
use super::observation::{Facts, Outcome, ReasonCode};
use super::run::Run;
use super::scheme::{Scheme, Takes};
use super::talk::{Expected, Step};

/// How long a refusal is waited for where no answer is expected: it needs one round trip, at most some 300 ms on earth.
const REFUSAL_WAIT: Duration = Duration::from_millis(500);

/// Sends datagrams.
pub(crate) struct Udp;

impl Kind for Udp {
    fn name(&self) -> &'static str {
        "udp"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("udp", Takes::Address(None))] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[Expectation::Body, Expectation::Json]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let endpoint = Endpoint::decode_datagram(&fields);
        let step = Step::decode_in(&fields);
        fields.end();
        let step = step?;
        if step.sent().is_none() {
            settings.mistake("nobody answers who says nothing; write send: … or send_hex: …");
            return None;
        }
        Some(Arc::new(UdpProbe { endpoint: endpoint?, step }))
    }
}

#[derive(Debug)]
struct UdpProbe {
    endpoint: Endpoint,
    step: Step,
}

impl Probe for UdpProbe {
    fn target(&self) -> Target {
        self.endpoint.target()
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        async move {
            let addresses = self.endpoint.addresses(run).await?;
            let (socket, address) = open(&addresses).await?;
            run.seen.address = Some(address);
            let sent = self.step.sent().cloned().unwrap_or_default();
            let replies = Replies::to(run, &socket, address, &sent).await?;
            let heard = match self.step.expected() {
                Some(expected) => wait(replies, expected).await?,
                None => wait_for_refusal(run, replies).await?,
            };
            run.leave();
            Ok(Facts { body: Some(heard), ..Facts::default() })
        }
        .boxed()
    }
}

/// Waits for a datagram that is as expected, and returns it; others are passed over.
async fn wait(mut replies: Replies<'_>, expected: &Expected) -> Result<Bytes, Outcome> {
    let (mut heard, mut total) = (Vec::new(), 0_usize);
    while let Some(reply) = replies.next().await? {
        if expected.is_in(reply) {
            return Ok(Bytes::copy_from_slice(reply));
        }
        total += reply.len().max(1);
        if total > MAX_JUDGED_BYTES {
            break;
        }
        heard = reply.to_vec();
    }
    if total == 0 {
        // Nothing at all came: the runner says so.
        return std::future::pending().await;
    }
    let text = format!("{} did not come; received {:?}", expected.show(), excerpt(&heard));
    Err(Outcome::fail(ReasonCode::Body, text))
}

/// Waits whether the host says that nobody listens; an answer is as good as none.
async fn wait_for_refusal(run: &mut Run, replies: Replies<'_>) -> Result<Bytes, Outcome> {
    let mut replies = replies.until(Instant::now() + REFUSAL_WAIT);
    let reply = replies.next().await?.map(Bytes::copy_from_slice);
    if reply.is_none() {
        run.seen.remark("sent, and nobody refused it");
    }
    Ok(reply.unwrap_or_default())
}
