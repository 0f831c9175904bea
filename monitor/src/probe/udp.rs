//! Kind `udp`: sends one datagram, and waits for one that is expected.
//!
//! Where nothing is expected, only the host's word that nobody listens there (ICMP port unreachable) is a fail, waited for
//! a moment: silence is what a server that takes the datagram and one behind a firewall have in common. Write what the
//! server answers to where it answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::Cursor;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::datagram::{LONGEST_DATAGRAM, open, receive};
use super::dial_error::explain;
use super::endpoint::Endpoint;
use super::expect::{MAX_JUDGED_BYTES, excerpt};
use super::kinds::{Expectation, Kind, Probe, Target};
use super::observation::{Facts, Outcome, Phase, ReasonCode};
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
            run.enter(Phase::FirstByte);
            let sent = self.step.sent().cloned().unwrap_or_default();
            socket.send(&sent).await.map_err(|error| explain(&[(address, error)]))?;
            let heard = match self.step.expected() {
                Some(expected) => wait(run, &socket, address, expected).await?,
                None => wait_for_refusal(run, &socket, address).await?,
            };
            run.leave();
            Ok(Facts { body: Some(heard), ..Facts::default() })
        }
        .boxed()
    }
}

/// Waits for a datagram that is as expected, and returns it; others are passed over.
async fn wait(run: &mut Run, socket: &UdpSocket, address: SocketAddr, expected: &Expected) -> Result<Bytes, Outcome> {
    let mut buffer = vec![0; LONGEST_DATAGRAM];
    let (mut heard, mut total) = (BytesMut::new(), 0_usize);
    let limit = run.last_word();
    loop {
        let Ok(received) = tokio::time::timeout_at(limit, receive(socket, &mut buffer)).await else { break };
        let length = received.map_err(|error| explain(&[(address, error)]))?;
        let datagram = buffer.get(..length).unwrap_or_default();
        if expected.is_in(datagram) {
            return Ok(Bytes::copy_from_slice(datagram));
        }
        total += length.max(1);
        if total > MAX_JUDGED_BYTES {
            break;
        }
        heard = BytesMut::from(datagram);
    }
    if total == 0 {
        // Nothing at all came: the runner says so.
        return std::future::pending().await;
    }
    let text = format!("{} did not come; received {:?}", expected.show(), excerpt(&heard));
    Err(Outcome::fail(ReasonCode::Body, text))
}

/// Waits whether the host says that nobody listens; an answer is as good as none.
async fn wait_for_refusal(run: &mut Run, socket: &UdpSocket, address: SocketAddr) -> Result<Bytes, Outcome> {
    let mut buffer = vec![0; LONGEST_DATAGRAM];
    let limit = run.last_word().min(Instant::now() + REFUSAL_WAIT);
    match tokio::time::timeout_at(limit, receive(socket, &mut buffer)).await {
        Err(_elapsed) => {
            run.seen.remark("sent, and nobody refused it");
            Ok(Bytes::new())
        }
        Ok(Ok(length)) => Ok(Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default())),
        Ok(Err(error)) => Err(explain(&[(address, error)])),
    }
}
