//! Prober `icmp`: one echo request and its reply.

use std::net::{IpAddr, SocketAddr};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::Fields;

use super::file::{flag, preference, source};
use super::targets::Place;
use super::visit::{Preference, Stop, Visit};
use super::{Prober, gauges};
use crate::probe::address::Host;
use crate::probe::dial_error::explain;
use crate::probe::icmp::{Knobs, Mark, PingSocket};
use crate::probe::observation::{Phase, ReasonCode};

/// As many as blackbox_exporter sends of its own accord.
const PAYLOAD_BYTES: u16 = 28;
/// As much as fits beside the headers (20 bytes of IP, 8 of ICMP) into an IPv4 packet of 65 535 bytes.
const MAX_PAYLOAD_BYTES: u16 = 65_507;
/// Room for headers beside the payload: IPv4 with options (60 bytes) and ICMP (8).
const HEADER_ROOM: usize = 68;
/// What each step is called.
const PHASES: [(Phase, &str); 3] = [(Phase::Dns, "resolve"), (Phase::Connect, "setup"), (Phase::FirstByte, "rtt")];

/// A configured module.
#[derive(Debug)]
struct IcmpProber {
    preference: Preference,
    knobs: Knobs,
    payload: u16,
}

pub(super) fn decode(fields: &Fields<'_>) -> Option<Box<dyn Prober>> {
    let preference = preference(fields);
    let source = source(fields);
    let payload = fields.get("payload_size").map_or(Some(0), |c| c.whole(0..=MAX_PAYLOAD_BYTES));
    let keeps_whole = flag(fields, "dont_fragment", false);
    let ttl = fields.get("ttl").map_or(Some(64), |c| c.whole(0..=255_u8));
    let payload = payload?;
    let knobs = Knobs {
        source: source?,
        keeps_whole: keeps_whole?,
        ttl: Some(ttl?).filter(|ttl| *ttl > 0),
        tells_hop_limit: true,
    };
    let payload = if payload == 0 { PAYLOAD_BYTES } else { payload };
    Some(Box::new(IcmpProber { preference: preference?, knobs, payload }))
}

impl Prober for IcmpProber {
    fn ask<'a>(&'a self, visit: &'a mut Visit) -> BoxFuture<'a, Result<(), Stop>> {
        async move {
            let target = &visit.wish.target;
            let host = target.parse().ok().map(Host::Ip).or_else(|| Host::parse(target));
            let host = host.ok_or_else(|| Stop::failed(ReasonCode::Protocol, "the target is no host"))?;
            let to = visit.choose_first(Place { scheme: "icmp", host: &host, port: None }, self.preference).await?;
            visit.asks(Some(SocketAddr::new(to, 0)));
            visit.run.enter(Phase::Connect);
            let hops = self.ping(visit, to).await?;
            visit.run.leave();
            if let Some(hops) = hops {
                visit.gauges.set(gauges::ICMP_HOP_LIMIT, f64::from(hops));
            }
            Ok(())
        }
        .boxed()
    }

    fn conclude(&self, visit: &mut Visit) {
        visit.tell_phases(gauges::ICMP_DURATION, &PHASES);
    }
}

impl IcmpProber {
    async fn ping(&self, visit: &mut Visit, to: IpAddr) -> Result<Option<u8>, Stop> {
        let failed = |error| Stop::from(explain(&[(SocketAddr::new(to, 0), error)]));
        let socket = PingSocket::open_with(to, &self.knobs)?;
        let mark = Mark::new(to, socket.kernel_chooses, self.payload);
        let mut buffer = vec![0; usize::from(self.payload) + HEADER_ROOM];
        visit.run.enter(Phase::FirstByte);
        socket.send(&mark.request(0)).await.map_err(failed)?;
        loop {
            let (number, hops) =
                socket.receive_with_hops(&mut buffer, |bytes| mark.number_of(bytes)).await.map_err(failed)?;
            if number.is_some() {
                return Ok(hops);
            }
        }
    }
}
