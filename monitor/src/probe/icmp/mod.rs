//! Kind `icmp`: a few echo requests, how many of them come back, and how long that takes.

mod measure;
mod packet;
mod socket;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join};
use kit::config::{Cursor, show_duration};
use tokio::time::Instant;

pub(super) use self::packet::Mark;
pub(super) use self::socket::{Knobs, PingSocket};

use self::measure::{Measured, measure};
use self::packet::TOKEN_BYTES;
use super::address::{Address, Host};
use super::dial::{IpVersion, addresses, both};
use super::kinds::{Expectation, Kind, Probe, Scope, Target};
use super::observation::{Facts, Outcome, Phase, ReasonCode};
use super::resolve::{Found, resolve};
use super::run::Run;
use super::scheme::{Scheme, Takes};

/// As ping(8) sends unless it is told otherwise.
const PAYLOAD_BYTES: u16 = 56;
/// The least has room for what makes our packets ours; the most is what an IPv4 packet can carry (20 bytes of IP header and
/// 8 of ICMP header in 65 535).
const SIZES: RangeInclusive<u16> = TOKEN_BYTES..=65_507;
/// One more packet is lost with a chance of its own, three tell a lossy path from a dead one.
const PACKETS: u16 = 3;
/// Below 200 ms ping(8) wants to be root, for the sake of the network.
const INTERVAL: Duration = Duration::from_millis(200);

/// Pings.
pub(crate) struct Icmp;

impl Kind for Icmp {
    fn name(&self) -> &'static str {
        "icmp"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("icmp", Takes::Host("host")), Scheme::plain("ping", Takes::Host("host"))] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[Expectation::Json]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let host = fields.require("host").and_then(|c| decode_host(&c));
        let ip = fields.get("ip").map_or(Some(IpVersion::Any), |c| IpVersion::decode(&c));
        let packets = fields.get("packets").map_or(Some(PACKETS), |c| c.whole(1..=100));
        let intervals = Duration::from_millis(10)..=Duration::from_secs(10);
        let interval = fields.get("interval").map_or(Some(INTERVAL), |c| c.duration(intervals));
        let size = fields.get("size").map_or(Some(PAYLOAD_BYTES), |c| c.whole(SIZES));
        let max_loss = fields.get("max_loss").map_or(Some(0.0), |c| c.ratio());
        let limits = Duration::from_millis(1)..=Duration::from_secs(60);
        let max_rtt = fields.get("max_rtt").map_or(Some(None), |c| c.duration(limits).map(Some));
        fields.end();
        let plan = Plan { packets: packets?, interval: interval?, size: size? };
        Some(Arc::new(IcmpProbe { host: host?, ip: ip?, plan, max_loss: max_loss?, max_rtt: max_rtt? }))
    }
}

/// Accepts IPv6 addresses with and without brackets: there is no port to tell them from.
fn decode_host(cursor: &Cursor<'_>) -> Option<Host> {
    let text = cursor.text()?;
    let host = text.parse::<IpAddr>().ok().map(Host::Ip).or_else(|| Host::parse(&text));
    if host.is_none() {
        let shown = cursor.node().shown();
        cursor.mistake(format!("{shown} is not a host; write a name or an address without a port"));
    }
    host
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
struct Plan {
    packets: u16,
    interval: Duration,
    /// Bytes behind the ICMP header.
    size: u16,
}

#[derive(Debug)]
struct IcmpProbe {
    host: Host,
    ip: IpVersion,
    plan: Plan,
    /// Share of the packets that may be lost.
    max_loss: f64,
    /// A longer mean degrades the check.
    max_rtt: Option<Duration>,
}

impl Probe for IcmpProbe {
    fn target(&self) -> Target {
        let shown = self.host.to_string();
        Target { scope: Scope::of_host(&shown), shown }
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        async move {
            let measured = self.ping(run).await?;
            run.leave();
            run.seen.address = Some(SocketAddr::new(measured.address, 0));
            run.seen.protocol = Some("ICMP".to_owned());
            run.seen.remark(measured.shown());
            run.soft.extend(self.max_rtt.and_then(|limit| measured.slowness(limit)));
            Ok(Facts { body: Some(measured.facts().to_string().into()), ..Facts::default() })
        }
        .boxed()
    }
}

impl IcmpProbe {
    async fn ping(&self, run: &mut Run) -> Result<Measured, Outcome> {
        // Without a port: ICMP has none.
        let address = Address { host: self.host.clone(), port: 0 };
        if self.ip == IpVersion::Both {
            let (v6, v4) = resolve(run, &self.host, self.ip.families()).await;
            let first = |found: Option<Found>| found.unwrap_or_else(|| Ok(Vec::new())).map_err(|gap| gap.outcome);
            run.enter(Phase::FirstByte);
            let until = self.until(run)?;
            let (v6, v4) = (first(v6), first(v4));
            let (v6, v4) = join(self.ping_family(v6, "IPv6", until), self.ping_family(v4, "IPv4", until)).await;
            return both(run, v6, v4);
        }
        let found = addresses(run, &address, self.ip).await?;
        let found = found.iter().map(SocketAddr::ip).collect();
        run.enter(Phase::FirstByte);
        let until = self.until(run)?;
        self.ping_first(found, until).await
    }

    async fn ping_family(
        &self,
        found: Result<Vec<IpAddr>, Outcome>,
        family: &str,
        until: Instant,
    ) -> Result<Measured, Outcome> {
        let found = found?;
        if found.is_empty() {
            return Err(Outcome::fail(ReasonCode::Dns, format!("there is no {family} address")));
        }
        self.ping_first(found, until).await
    }

    /// Pings the first address to which there is a way from here.
    async fn ping_first(&self, addresses: Vec<IpAddr>, until: Instant) -> Result<Measured, Outcome> {
        let mut unknown = None;
        for address in addresses {
            match measure(address, self.plan, until).await {
                Err(outcome @ Outcome::Unknown(_)) => unknown = Some(outcome),
                Err(outcome) => return Err(outcome),
                Ok(measured) => return self.judge(measured),
            }
        }
        Err(unknown.unwrap_or_else(|| Outcome::local("there is no address to ping")))
    }

    /// When waiting ends; unknown if not even all packets can be sent until then.
    fn until(&self, run: &Run) -> Result<Instant, Outcome> {
        let until = run.last_word();
        let sending = self.plan.interval * u32::from(self.plan.packets.saturating_sub(1));
        if Instant::now() + sending >= until {
            let (packets, interval) = (self.plan.packets, show_duration(self.plan.interval));
            let text = format!(
                "{packets} packets every {interval} do not fit into the timeout; write a longer timeout, or fewer packets"
            );
            return Err(Outcome::local(text));
        }
        Ok(until)
    }

    fn judge(&self, measured: Measured) -> Result<Measured, Outcome> {
        if measured.received() == 0 {
            return Err(measured.silence());
        }
        if measured.loss() > self.max_loss {
            let lost = measured.sent - measured.received();
            let (sent, address) = (measured.sent, measured.address);
            let text = format!("{lost} of {sent} packets to {address} were lost, more than {}%", self.max_loss * 100.0);
            return Err(Outcome::fail(ReasonCode::Limit, text));
        }
        Ok(measured)
    }
}
