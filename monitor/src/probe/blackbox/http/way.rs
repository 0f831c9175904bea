//! The way to one URL of a request: straight, or through a proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use url::Url;

use super::options::Options;
use super::proxy::Proxy;
use crate::probe::address::{Address, Host};
use crate::probe::blackbox::targets::Place;
use crate::probe::blackbox::tls::Told;
use crate::probe::blackbox::visit::{Preference, Stop, Visit};
use crate::probe::blackbox::without_port;
use crate::probe::dial_error::has_route;
use crate::probe::handshake::{shake_hands, shake_hands_over};
use crate::probe::http::Hop;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::resolve::{Families, either, resolve};
use crate::probe::run::Run;
use crate::probe::stream::Stream;

/// A way that may be gone.
pub(super) enum Way<'a> {
    Straight(SocketAddr),
    Through(&'a Proxy),
}

impl Way<'_> {
    /// Returns the proxy that reads the request itself, if one does.
    pub(super) fn reader(&self, hop: &Hop) -> Option<&Proxy> {
        match self {
            Self::Through(proxy) if hop.tls.is_none() && proxy.reads_requests() => Some(proxy),
            _ => None,
        }
    }
}

impl Options {
    /// Finds the way, if there is one that may be gone. A proxy is told the target's name and looks it up itself, so a name
    /// must be listed as one. It is looked up here too, unless the module says that only the proxy can.
    pub(super) async fn find_way(&self, visit: &mut Visit, hop: &Hop, is_first: bool) -> Result<Way<'_>, Stop> {
        let place = Place::of(hop.url.scheme(), &hop.address);
        let proxy_at = |address| self.proxies.of(hop.tls.is_some(), &hop.address, address);
        if let (Some(proxy), true, Host::Name(_)) = (proxy_at(None), self.skips_resolving, place.host) {
            visit.check_hostname(place)?;
            return through(visit, place, proxy);
        }
        let address = if is_first {
            visit.choose_first(place, self.preference).await?
        } else {
            visit.choose(place, self.preference).await?
        };
        match proxy_at(Some(address)) {
            Some(proxy) => through(visit, place, proxy),
            None => Ok(Way::Straight(SocketAddr::new(address, hop.address.port))),
        }
    }

    /// Goes it, up to the target's TLS.
    pub(super) async fn go(&self, visit: &mut Visit, hop: &Hop, way: &Way<'_>, origin: &Url) -> Result<Stream, Stop> {
        let stream = match way {
            Way::Straight(address) => Stream::Plain(visit.connect(*address, None).await?),
            Way::Through(proxy) => self.pass(visit, proxy, hop).await?,
        };
        let Some(own) = &hop.tls else { return Ok(stream) };
        // Who leads elsewhere is asked for by its own name; what is not the same host and port gets no certificate of ours.
        let config = if hop.strange { &self.secrecy.tls.for_others } else { &self.secrecy.tls.config };
        let name = if origin.host() == hop.url.host() {
            self.secrecy.name(visit.wish.hostname.as_deref().map(without_port), &hop.address.host)?
        } else {
            own.clone()
        };
        let secured = secure(&mut visit.run, stream, config, &name).await;
        self.secrecy.tell(visit, Told::Whole);
        Ok(secured?)
    }

    async fn pass(&self, visit: &mut Visit, proxy: &Proxy, hop: &Hop) -> Result<Stream, Stop> {
        let to = proxy_address(visit, &proxy.address, self.preference).await;
        let to = to.map_err(|outcome| Stop::from(proxy.say_whose(outcome)))?;
        let stream = visit.connect(to, None).await.map_err(|stop| at_proxy(proxy, stop))?;
        let limit = visit.run.last_word();
        let leading = proxy.lead(&mut visit.run, stream, &hop.address, hop.tls.is_some());
        match tokio::time::timeout_at(limit, leading).await {
            Ok(led) => Ok(led?),
            Err(_elapsed) => {
                let timeout = kit::config::show_duration(visit.wish.timeout);
                Err(Stop::failed(ReasonCode::Timeout, format!("{proxy}: no answer within {timeout}")))
            }
        }
    }
}

fn through<'a>(visit: &mut Visit, place: Place<'_>, proxy: &'a Proxy) -> Result<Way<'a>, Stop> {
    if visit.permits_name(place) { Ok(Way::Through(proxy)) } else { Err(visit.refuse(place, " through a proxy")) }
}

/// Speaks TLS on whatever leads to the server.
pub(super) async fn secure(
    run: &mut Run,
    stream: Stream,
    config: &Arc<ClientConfig>,
    name: &ServerName<'static>,
) -> Result<Stream, Outcome> {
    match stream {
        Stream::Plain(stream) => Ok(Stream::Tls(shake_hands(run, stream, config, name).await?.stream)),
        secret => Ok(Stream::Nested(Box::new(shake_hands_over(run, secret, config, name).await?.0))),
    }
}

/// Where a proxy is was configured: nobody is asked whether it may be reached.
async fn proxy_address(visit: &mut Visit, proxy: &Address, preference: Preference) -> Result<SocketAddr, Outcome> {
    let (v6, v4) = resolve(&mut visit.run, &proxy.host, Families::Each).await;
    let (v6, v4) = either(v6, v4)?;
    let (first, second) = if preference.v6 { (v6, v4) } else { (v4, v6) };
    let addresses: Vec<SocketAddr> =
        first.into_iter().chain(second).map(|address| SocketAddr::new(address, proxy.port)).collect();
    // One to which there is no route from here is passed over, if there is another.
    let address = addresses.iter().find(|address| has_route(**address)).or(addresses.first());
    address.copied().ok_or_else(|| Outcome::local("it has no address"))
}

fn at_proxy(proxy: &Proxy, stop: Stop) -> Stop {
    match stop {
        Stop::Failed(code, text) => Stop::from(proxy.say_whose(Outcome::fail(code, text))),
        refused => refused,
    }
}
