//! Which proxy leads to whom: `proxy_url` with `no_proxy`, or what the environment says, as Prometheus' clients read it.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use kit::config::{Cursor, Environment, Fields};

use super::exceptions::Exceptions;
use super::proxy::{Proxy, connect_header};
use crate::probe::address::Address;
use crate::probe::blackbox::file::flag;
use crate::probe::blackbox::tls::Secrecy;

const HOW: &str =
    "write it like http://proxy.example.com:3128, https://proxy.example.com:443 or socks5://proxy.example.com:1080";

/// Proxies by the scheme of what they lead to.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    http: Option<Arc<Proxy>>,
    https: Option<Arc<Proxy>>,
    /// None where everybody is reached through the proxy, loopback too.
    exceptions: Option<Exceptions>,
}

/// Decodes `proxy_url`, `no_proxy`, `proxy_from_environment` and `proxy_connect_header`; the environment is read here, once.
pub(super) fn decode(fields: &Fields<'_>, environment: &Environment, secrecy: Option<&Secrecy>) -> Option<Proxies> {
    let is_written = |cursor: &Cursor<'_>| cursor.node().scalar_text().as_deref() != Some("");
    let url = fields.get("proxy_url").filter(is_written);
    let no_proxy = fields.get("no_proxy").filter(is_written);
    let header = fields.get("proxy_connect_header");
    let connect = header.as_ref().map_or(Some(HeaderMap::new()), connect_header);
    let is_from_environment = flag(fields, "proxy_from_environment", false);
    let (connect, is_from_environment) = (connect?, is_from_environment?);
    let header = header.filter(|_| !connect.is_empty());
    if let Some((cursor, why)) = contradiction(is_from_environment, [&url, &no_proxy, &header]) {
        cursor.mistake(why);
        return None;
    }
    if is_from_environment {
        return from_environment(&fields.get("proxy_from_environment")?, environment, &connect, secrecy?);
    }
    let Some(url) = url else { return Some(Proxies::default()) };
    let proxy = Arc::new(parse(&url, &url.text()?, "this", &connect, secrecy?)?);
    let exceptions = match no_proxy {
        Some(list) => Some(Exceptions::parse(&list.text()?)),
        None => None,
    };
    Some(Proxies { http: Some(proxy.clone()), https: Some(proxy), exceptions })
}

/// Finds what cannot be meant, as Prometheus' clients refuse it.
fn contradiction<'a, 'b>(
    is_from_environment: bool,
    [url, no_proxy, header]: [&'b Option<Cursor<'a>>; 3],
) -> Option<(&'b Cursor<'a>, &'static str)> {
    match (url, is_from_environment) {
        (Some(url), true) => Some((url, "both \"proxy_url\" and \"proxy_from_environment\" are set; keep one")),
        (None, true) => {
            let why = "with \"proxy_from_environment\" set NO_PROXY in the environment; leave this out";
            no_proxy.as_ref().map(|cursor| (cursor, why))
        }
        (None, false) => {
            let why = "this means nothing without a proxy; write proxy_url, or leave this out";
            no_proxy.as_ref().or(header.as_ref()).map(|cursor| (cursor, why))
        }
        (Some(_), false) => None,
    }
}

/// As golang.org/x/net/http/httpproxy: upper case before lower case.
fn from_environment(
    cursor: &Cursor<'_>,
    environment: &Environment,
    connect: &HeaderMap,
    secrecy: &Secrecy,
) -> Option<Proxies> {
    let find = |names: [&'static str; 2]| {
        let found = names.into_iter().filter_map(|name| Some((name, environment.get(name)?)));
        found.into_iter().find(|(_, value)| !value.is_empty())
    };
    let proxy = |names| match find(names) {
        None => Some(None),
        Some((name, value)) => {
            let shown = format!("{name} of the environment");
            let text = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
            parse(cursor, &text, &shown, connect, secrecy).map(|proxy| Some(Arc::new(proxy)))
        }
    };
    let (http, https) = (proxy(["HTTP_PROXY", "http_proxy"]), proxy(["HTTPS_PROXY", "https_proxy"]));
    let (http, https) = (http?, https?);
    // Whoever asks a CGI program sets its HTTP_PROXY by a header "Proxy" (golang.org/s/cgihttpproxy).
    if http.is_some() && environment.get("REQUEST_METHOD").is_some_and(|method| !method.is_empty()) {
        cursor.mistake("REQUEST_METHOD is set, so HTTP_PROXY may be anybody's (CGI); unset it, or write proxy_url");
        return None;
    }
    let without = find(["NO_PROXY", "no_proxy"]).map_or("", |(_, list)| list);
    Some(Proxies { http, https, exceptions: Some(Exceptions::parse(without)) })
}

fn parse(cursor: &Cursor<'_>, text: &str, what: &str, connect: &HeaderMap, secrecy: &Secrecy) -> Option<Proxy> {
    let parsed = Proxy::parse(text, connect, secrecy);
    if parsed.is_none() {
        // It is not shown: it may hold a password.
        cursor.mistake(format!("{what} is no proxy that is supported; {HOW}"));
    }
    parsed
}

impl Proxies {
    /// Returns the proxy that leads to this address; which address a name has is known later, or never.
    pub(super) fn of(&self, is_tls: bool, to: &Address, address: Option<IpAddr>) -> Option<&Proxy> {
        let proxy = if is_tls { &self.https } else { &self.http };
        let is_excepted = self.exceptions.as_ref().is_some_and(|exceptions| exceptions.has(&to.host, to.port, address));
        proxy.as_deref().filter(|_| !is_excepted)
    }
}
