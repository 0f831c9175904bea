//! The way through a proxy: who uses it, and what it is told.

use std::net::SocketAddr;

use http::header::PROXY_AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use kit::config::Fields;
use kit::http::Network;
use tokio::net::TcpStream;
use url::Url;

use super::options::{Options, basic};
use super::userinfo::userinfo;
use crate::probe::address::{Address, Host};
use crate::probe::blackbox::targets::Place;
use crate::probe::blackbox::visit::{Preference, Stop, Visit};
use crate::probe::http::{Hop, tunnel};
use crate::probe::observation::{Outcome, Reason};
use crate::probe::resolve::{Families, either, resolve};

/// A proxy and who is reached without it.
#[derive(Debug)]
pub(super) struct Proxy {
    address: Address,
    credentials: Option<HeaderValue>,
    /// Each of one port, or of any.
    without: Vec<(Exception, Option<u16>)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Exception {
    Everybody,
    Name(String),
    Addresses(Network),
}

pub(super) fn decode(fields: &Fields<'_>) -> Option<Option<Proxy>> {
    let without = fields.get("no_proxy").map(|c| c.text());
    let Some(cursor) = fields.get("proxy_url") else { return Some(None) };
    let without = match without {
        Some(without) => without?,
        None => String::new(),
    };
    let url = cursor.text().and_then(|text| Url::parse(&text).ok()).filter(|url| url.scheme() == "http");
    let parsed = url.and_then(|url| {
        let host = url.host().map(Host::from)?;
        let userinfo = userinfo(&url);
        kit::secrets::know(userinfo.iter().map(|(_, password)| password.as_str()));
        let credentials = userinfo.map(|(user, password)| basic(&user, &password));
        Some(Proxy {
            address: Address { host, port: url.port_or_known_default()? },
            credentials: credentials.transpose().ok()?,
            without: without.split(',').map(str::trim).filter(|word| !word.is_empty()).map(exception).collect(),
        })
    });
    if parsed.is_none() {
        cursor.mistake("this is no proxy that is supported; write it like http://proxy.example.com:3128");
    }
    parsed.map(Some)
}

/// As in Go's `httpproxy`: a name means itself and what is below it, on any port where none is written.
fn exception(word: &str) -> (Exception, Option<u16>) {
    if word == "*" {
        return (Exception::Everybody, None);
    }
    if let Ok(network) = word.parse() {
        return (Exception::Addresses(network), None);
    }
    let (host, port) = match word.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => (host, Some(port)),
        _ => (word, None),
    };
    let name = |host: &str| Exception::Name(host.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase());
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (bare.parse().map_or_else(|_| name(host), Exception::Addresses), port)
}

impl Exception {
    fn has(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Everybody, _) => true,
            (Self::Addresses(network), Host::Ip(ip)) => network.contains(*ip),
            (Self::Name(name), Host::Name(host)) => {
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            _ => false,
        }
    }
}

impl Options {
    /// Returns the proxy that leads to this hop.
    pub(super) fn proxy_of(&self, hop: &Hop) -> Option<&Proxy> {
        let proxy = self.proxy.as_ref()?;
        let is_excepted = proxy.without.iter().any(|(exception, port)| {
            port.is_none_or(|port| port == hop.address.port) && exception.has(&hop.address.host)
        });
        (!is_excepted).then_some(proxy)
    }

    pub(super) fn add_proxy_credentials(&self, headers: &mut HeaderMap) {
        if let Some(credentials) = self.proxy.as_ref().and_then(|proxy| proxy.credentials.clone()) {
            headers.insert(PROXY_AUTHORIZATION, credentials);
        }
    }

    /// Connects to the proxy, and through it where TLS follows. The proxy is told the target's name and looks it up itself,
    /// so a name must be listed as one. It is looked up here too, unless the module says that only the proxy can.
    pub(super) async fn reach(
        &self,
        visit: &mut Visit,
        proxy: &Proxy,
        hop: &Hop,
        is_first: bool,
    ) -> Result<TcpStream, Stop> {
        let place = Place::of(hop.url.scheme(), &hop.address);
        if !visit.permits_name(place) {
            return Err(visit.refuse(place, " through a proxy"));
        }
        if self.skips_resolving && matches!(place.host, Host::Name(_)) {
            visit.check_hostname(place)?;
        } else if is_first {
            visit.choose_first(place, self.preference).await?;
        } else {
            visit.choose(place, self.preference).await?;
        }
        let to = proxy_address(visit, &proxy.address, self.preference).await.map_err(at_proxy(proxy))?;
        let stream = visit.connect(to, None).await.map_err(at_proxy(proxy))?;
        if hop.tls.is_none() {
            return Ok(stream);
        }
        let credentials = proxy.credentials.as_ref().and_then(|value| value.to_str().ok());
        Ok(tunnel(&mut visit.run, stream, &hop.address, credentials).await?)
    }
}

/// Where a proxy is was configured: nobody is asked whether it may be reached.
async fn proxy_address(visit: &mut Visit, proxy: &Address, preference: Preference) -> Result<SocketAddr, Stop> {
    let (v6, v4) = resolve(&mut visit.run, &proxy.host, Families::Each).await;
    let (v6, v4) = either(v6, v4)?;
    let (first, second) = if preference.v6 { (v6, v4) } else { (v4, v6) };
    let address = first.into_iter().chain(second).next();
    let address = address.ok_or_else(|| Stop::from(Outcome::local("the proxy has no address")))?;
    Ok(SocketAddr::new(address, proxy.port))
}

fn at_proxy(proxy: &Proxy) -> impl Fn(Stop) -> Stop {
    let shown = proxy.address.to_string();
    move |stop| match stop {
        Stop::Failed(code, text) => {
            let Reason { code, text } = Reason::new(code, format!("proxy {shown}: {text}"));
            Stop::Failed(code, text)
        }
        refused => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_reached_without_a_proxy_may_be_of_one_port() {
        let name = |name: &str| Exception::Name(name.to_owned());
        let network = |network: &str| Exception::Addresses(network.parse().unwrap());
        for (word, expected) in [
            ("*", (Exception::Everybody, None)),
            ("Shop.example", (name("shop.example"), None)),
            ("*.shop.example:8443", (name("shop.example"), Some(8443))),
            ("10.0.0.0/8", (network("10.0.0.0/8"), None)),
            ("10.0.0.1:80", (network("10.0.0.1"), Some(80))),
            ("::1", (network("::1"), None)),
            ("[::1]:80", (network("::1"), Some(80))),
        ] {
            assert_eq!(exception(word), expected, "{word}");
        }
    }
}
