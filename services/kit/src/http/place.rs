//! Where a request comes from: whether a token or session in it may count, or a web page or a proxy has made it.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, header};

use super::network::Network;

/// The names of this server, and whom it lets speak for others.
#[derive(Debug, Clone, Default)]
pub struct Place {
    own: Vec<String>,
    outside: Vec<String>,
    public_origin: Option<String>,
    proxies: Vec<Network>,
}

impl Place {
    /// `listening` are the values of `Host` for whoever asks directly, such as `127.0.0.1:8888`; `hosts` are further ones,
    /// also through a proxy; `public_url` is where people reach it.
    pub fn new(listening: Vec<String>, hosts: &[String], public_url: Option<&url::Url>, proxies: Vec<Network>) -> Self {
        let public_host = public_url.and_then(|url| {
            let host = url.host_str()?;
            Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
        });
        let outside: Vec<String> = hosts.iter().cloned().chain(public_host).collect();
        let mut own = listening;
        own.extend(outside.iter().filter(|name| !own.contains(name)).cloned().collect::<Vec<_>>());
        Self { own, outside, public_origin: public_url.map(|url| url.origin().ascii_serialization()), proxies }
    }

    /// Returns the values of `Host` for whoever asks a server directly that listens on this address.
    pub fn own_names(address: SocketAddr) -> Vec<String> {
        let port = address.port();
        let mut names = vec![
            address.to_string(),
            format!("localhost:{port}"),
            format!("127.0.0.1:{port}"),
            format!("[::1]:{port}"),
        ];
        names.dedup();
        names
    }

    /// Decides whether a token or a session in a request with these headers, from this peer, counts. Of HTTP/2 requests,
    /// which name the server outside their headers, [`super::with_conventions`] sets `Host`.
    ///
    /// # Errors
    /// Why it does not: an unknown proxy, another host's name (DNS rebinding), or another site's page.
    pub fn check(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<(), String> {
        let names = match forwarding(headers) {
            None => &self.own,
            Some(_) if self.trusts(peer) => &self.outside,
            Some(name) => {
                return Err(format!("a token or session through an unknown proxy is refused ({name} is set)"));
            }
        };
        self.check_names(headers, names)
    }

    /// As [`Self::check`], for what carries its own permission, such as a signed link: it may come through any proxy.
    ///
    /// # Errors
    /// It names another host, or another site's page has made it.
    pub fn check_link(&self, headers: &HeaderMap) -> Result<(), String> {
        self.check_names(headers, &self.own)
    }

    fn check_names(&self, headers: &HeaderMap, names: &[String]) -> Result<(), String> {
        let host = text(headers, header::HOST.as_str()).unwrap_or_default();
        if !names.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            return Err(format!("Host {host:?} is not this server; use {}", names.join(" or ")));
        }
        let Some(origin) = text(headers, header::ORIGIN.as_str()) else { return Ok(()) };
        let is_host = origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
        let is_public = self.public_origin.as_deref().is_some_and(|public| public.eq_ignore_ascii_case(origin));
        if is_host || is_public { Ok(()) } else { Err("Origin is another site".to_owned()) }
    }

    /// Decides whether one of our own pages has made a request that [`Self::check`] or [`Self::check_link`] let pass:
    /// browsers say so in `Origin`, or in `Sec-Fetch-Site` (Fetch Metadata, section 2.3).
    ///
    /// # Errors
    /// Another site's page has made it, or nothing says whose.
    pub fn check_own_page(headers: &HeaderMap) -> Result<(), String> {
        match text(headers, "sec-fetch-site") {
            Some("same-origin") => Ok(()),
            Some(_) => Err("Sec-Fetch-Site is another site".to_owned()),
            None if headers.contains_key(header::ORIGIN) => Ok(()),
            None => Err("neither Origin nor Sec-Fetch-Site says that this comes from our own page".to_owned()),
        }
    }

    /// Returns whether a request says that a proxy is in between, whoever wrote that.
    pub fn is_forwarded(headers: &HeaderMap) -> bool {
        forwarding(headers).is_some()
    }

    /// Returns whom to count a request for: of one through a trusted proxy, the last address that is no such proxy in
    /// `X-Forwarded-For`, to which every proxy adds its peer.
    pub fn client(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Option<IpAddr> {
        let peer = peer.map(|peer| peer.to_canonical());
        if !self.trusts(peer) {
            return peer;
        }
        let lines = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let listed: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
        let hops = listed.iter().rev().map_while(|hop| hop.parse::<IpAddr>().ok());
        hops.map(|hop| hop.to_canonical()).find(|hop| !self.trusts(Some(*hop))).or(peer)
    }

    /// Returns whether a proxy of ours says that the client came by https (`X-Forwarded-Proto`).
    pub fn came_by_https(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> bool {
        let said = text(headers, "x-forwarded-proto").is_some_and(|proto| proto.eq_ignore_ascii_case("https"));
        said && self.trusts(peer.map(|peer| peer.to_canonical()))
    }

    /// Returns whether people reach us under https at the name that this request uses.
    pub fn is_https(&self, headers: &HeaderMap) -> bool {
        let host = text(headers, header::HOST.as_str()).unwrap_or_default();
        let of_public = self.public_origin.as_deref().and_then(|origin| origin.strip_prefix("https://"));
        let by_origin = || text(headers, header::ORIGIN.as_str()).is_some_and(|origin| origin.starts_with("https://"));
        of_public.is_some_and(|public| public.eq_ignore_ascii_case(host)) || by_origin()
    }

    fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|peer| self.proxies.iter().any(|proxy| proxy.contains(peer)))
    }
}

/// Returns the header that says that a proxy is in between.
fn forwarding(headers: &HeaderMap) -> Option<&str> {
    let names = headers.keys().map(axum::http::HeaderName::as_str);
    names.into_iter().find(|name| matches!(*name, "forwarded" | "x-real-ip") || name.starts_with("x-forwarded-"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const DIRECT: (&str, &str) = ("host", "127.0.0.1:8888");
    const PUBLIC: (&str, &str) = ("host", "status.example.com");
    const PROXIED: (&str, &str) = ("x-forwarded-for", "192.0.2.9");

    fn place() -> Place {
        let public = "https://status.example.com".parse().unwrap();
        let proxies = vec!["10.0.0.0/8".parse().unwrap()];
        Place::new(vec!["127.0.0.1:8888".to_owned()], &["monitor:8888".to_owned()], Some(&public), proxies)
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn check(pairs: &[(&str, &str)], peer: &str) -> Result<(), String> {
        place().check(&headers(pairs), peer.parse().ok())
    }

    #[test]
    fn a_token_counts_under_our_names_from_our_pages_and_not_through_a_stranger() {
        let refused = |pairs: &[(&str, &str)], peer, why: &str| {
            let said = check(pairs, peer).unwrap_err();
            assert!(said.contains(why), "{pairs:?}: {said}");
        };
        for host in [DIRECT, PUBLIC, ("host", "MONITOR:8888")] {
            assert_eq!(check(&[host], "127.0.0.1"), Ok(()), "{host:?}");
        }
        assert_eq!(check(&[DIRECT, ("origin", "http://127.0.0.1:8888")], ""), Ok(()));
        assert_eq!(check(&[DIRECT, ("origin", "https://status.example.com")], ""), Ok(()));
        refused(&[DIRECT, ("origin", "http://status.example.com")], "", "Origin is another site");
        refused(&[DIRECT, ("origin", "null")], "", "Origin is another site");
        refused(&[("host", "evil.example")], "", "\"evil.example\" is not this server; use 127.0.0.1:8888 or");
        refused(&[], "", "Host \"\" is not this server");
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-real-ip"] {
            refused(&[DIRECT, (name, "x")], "127.0.0.1", &format!("({name} is set)"));
        }
    }

    #[test]
    fn a_proxy_that_is_ours_may_speak_for_others_under_our_public_names_only() {
        assert_eq!(check(&[PUBLIC, PROXIED], "10.1.2.3"), Ok(()));
        assert_eq!(check(&[("host", "monitor:8888"), PROXIED], "10.1.2.3"), Ok(()));
        assert!(check(&[DIRECT, PROXIED], "10.1.2.3").unwrap_err().contains("use monitor:8888 or status.example.com"));
        assert!(check(&[PUBLIC, PROXIED], "11.1.2.3").unwrap_err().contains("unknown proxy"));
        assert!(place().check_link(&headers(&[PUBLIC, PROXIED])).is_ok(), "a link carries its own permission");
        assert!(place().check_link(&headers(&[("host", "evil.example")])).is_err());
    }

    #[test]
    fn only_our_own_page_changes_something_for_a_session() {
        let own = |pairs: &[(&str, &str)]| Place::check_own_page(&headers(pairs)).is_ok();
        assert!(own(&[("sec-fetch-site", "same-origin")]));
        assert!(own(&[("origin", "http://127.0.0.1:8888")]), "check has compared it");
        assert!(!own(&[("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:8888")]));
        assert!(!own(&[("sec-fetch-site", "same-site")]) && !own(&[("sec-fetch-site", "none")]) && !own(&[]));
    }

    #[test]
    fn a_client_is_who_our_proxy_saw_and_never_who_somebody_says_he_is() {
        let client = |forwarded: &[&str], peer: &str| {
            let pairs: Vec<(&str, &str)> = forwarded.iter().map(|value| ("x-forwarded-for", *value)).collect();
            place().client(&headers(&pairs), peer.parse().ok()).map(|address| address.to_string())
        };
        assert_eq!(client(&["192.0.2.1"], "192.0.2.7").as_deref(), Some("192.0.2.7"), "no proxy of ours");
        assert_eq!(client(&["198.51.100.1, 192.0.2.1"], "10.0.0.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(client(&["198.51.100.1", "192.0.2.1, 10.0.0.9"], "::ffff:10.0.0.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(client(&["nonsense"], "10.0.0.1").as_deref(), Some("10.0.0.1"));
        assert_eq!(client(&[], "10.0.0.1").as_deref(), Some("10.0.0.1"));
        assert_eq!(client(&[], ""), None);
    }

    #[test]
    fn a_cookie_is_for_https_alone_where_people_come_by_https() {
        assert!(place().is_https(&headers(&[PUBLIC])));
        assert!(place().is_https(&headers(&[DIRECT, ("origin", "https://status.example.com")])));
        assert!(!place().is_https(&headers(&[DIRECT])));
        assert!(!Place::default().is_https(&headers(&[PUBLIC])));
    }
}
