//! Prober `http`: the same connections and exchanges as kind `http`, with redirects as a Go client follows them: also from
//! https to http, and through hosts whose certificates have other names.

mod body;
mod exceptions;
mod expected;
mod oauth2;
mod options;
mod proxies;
mod proxy;
mod socks;
mod token_answer;
mod token_request;
mod userinfo;
mod verdict;
mod way;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, HOST, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use hyper::body::Incoming;
use kit::config::{Environment, Fields};
use kit::http::Path;
use url::Url;

use self::options::Options;
pub(super) use self::options::credentials;
use self::userinfo::userinfo;
use super::Prober;
use super::gauges;
use super::visit::{Stop, Visit};
use crate::probe::http::{Cookies, Exchange, Hop, drop_credentials, same_host, show};
use crate::probe::observation::{Phase, ReasonCode};
use crate::probe::tls_options::H2;

/// Go's client stops after so many redirects, and so does blackbox_exporter.
const MAX_REDIRECTS: u8 = 10;
/// What each step is called.
const PHASES: [(Phase, &str); 5] = [
    (Phase::Dns, "resolve"),
    (Phase::Connect, "connect"),
    (Phase::Tls, "tls"),
    (Phase::FirstByte, "processing"),
    (Phase::Transfer, "transfer"),
];

/// A configured module.
#[derive(Debug)]
struct HttpProber(Options);

pub(super) fn decode(fields: &Fields<'_>, environment: &Environment) -> Option<Box<dyn Prober>> {
    Some(Box::new(HttpProber(options::decode(fields, environment)?)))
}

impl Prober for HttpProber {
    fn ask<'a>(&'a self, visit: &'a mut Visit) -> BoxFuture<'a, Result<(), Stop>> {
        self.0.ask(visit).boxed()
    }

    fn conclude(&self, visit: &mut Visit) {
        visit.tell_phases(gauges::HTTP_DURATION, &PHASES);
    }

    fn hostname(&self) -> Option<&str> {
        self.0.headers.get(HOST)?.to_str().ok()
    }
}

/// The last answer of the way.
struct Arrived {
    response: Response<Incoming>,
    exchange: Exchange,
    /// True if a redirect was met that is not followed: its body is not read either.
    is_redirect: bool,
    is_tls: bool,
}

impl Options {
    async fn ask(&self, visit: &mut Visit) -> Result<(), Stop> {
        for gauge in [
            gauges::HTTP_CONTENT_LENGTH,
            gauges::HTTP_BODY_LENGTH,
            gauges::HTTP_REDIRECTS,
            gauges::HTTP_SSL,
            gauges::HTTP_STATUS,
            gauges::HTTP_VERSION,
            gauges::FAILED_REGEX,
        ] {
            visit.gauges.set(gauge, 0.0);
        }
        if self.expected.has_cel() {
            visit.gauges.set(gauges::FAILED_CEL, 0.0);
        }
        let first = self.first(visit)?;
        let arrived = self.travel(visit, first).await?;
        self.judge(visit, arrived).await
    }

    /// Prepares the URL that was wished for.
    fn first(&self, visit: &Visit) -> Result<Hop, Stop> {
        let wrong =
            |why: &dyn std::fmt::Display| Stop::failed(ReasonCode::Protocol, format!("the target is no URL: {why}"));
        let target = &visit.wish.target;
        let has_scheme = target
            .split_once("://")
            .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"));
        let mut url = if has_scheme { Url::parse(target) } else { Url::parse(&format!("http://{target}")) }
            .map_err(|error| wrong(&error))?;
        let mut headers = self.headers.clone();
        // As Go's client and Prometheus' way to sign in there: a header that is written, else the URL, else the module.
        if !headers.contains_key(AUTHORIZATION) {
            let own = userinfo(&url).map(|(user, password)| options::basic(&user, &password)).transpose();
            let signed = own.map_err(|error| wrong(&error))?.or_else(|| self.authorization.clone());
            headers.extend(signed.map(|signed| (AUTHORIZATION, signed)));
        }
        let _has_a_host = (url.set_username(""), url.set_password(None));
        if let Some(hostname) = &visit.wish.hostname {
            headers.insert(HOST, HeaderValue::from_str(hostname).map_err(|error| wrong(&error))?);
        }
        Hop::new(url, self.method.clone(), headers, self.body.clone()).map_err(|error| wrong(&error))
    }

    /// Follows redirects to the last answer.
    async fn travel(&self, visit: &mut Visit, first: Hop) -> Result<Arrived, Stop> {
        let origin = first.url.clone();
        let mut cookies = Cookies::default();
        let mut followed = 0;
        let mut hop = first;
        loop {
            let (response, exchange) = self.visit(visit, &mut hop, &origin, &cookies, followed == 0).await?;
            let status = response.status();
            visit.run.seen.status = Some(status.as_u16());
            visit.say(format!("{} answered {status}", show(&hop.url)));
            cookies.learn(&hop.url, response.headers());
            let is_tls = hop.tls.is_some();
            let Some(next) = next(&hop, &response)? else {
                return Ok(Arrived { response, exchange, is_redirect: false, is_tls });
            };
            followed += 1;
            visit.gauges.set(gauges::HTTP_REDIRECTS, f64::from(followed));
            if followed > MAX_REDIRECTS || !self.follows {
                visit.say(format!("does not follow the redirect to {}", show(&next.url)));
                return Ok(Arrived { response, exchange, is_redirect: true, is_tls });
            }
            hop = next;
        }
    }

    /// Connects, sends one request and returns when the answer's head is there.
    async fn visit(
        &self,
        visit: &mut Visit,
        hop: &mut Hop,
        origin: &Url,
        cookies: &Cookies,
        is_first: bool,
    ) -> Result<(Response<Incoming>, Exchange), Stop> {
        visit.run.request = Some(hop.asks(Path::Shown));
        let way = self.find_way(visit, hop, is_first).await?;
        if is_first && let Some(tokens) = &self.tokens {
            // Only now is it known that the target may be asked. Redirects keep a token as they keep other credentials.
            hop.sign(tokens.take(visit).await?);
        }
        let stream = self.go(visit, hop, &way, origin).await?;
        let two = stream.alpn().is_some_and(|chosen| chosen == H2);
        let reader = way.reader(hop);
        let mut request = hop.request(two, reader.is_some());
        cookies.add_to(&hop.url, request.headers_mut());
        if let Some(proxy) = reader {
            proxy.add_credentials(request.headers_mut());
        }
        let (response, exchange) = Exchange::start(&mut visit.run, stream, request, two).await?;
        if let (Some(tokens), StatusCode::UNAUTHORIZED) = (&self.tokens, response.status()) {
            tokens.forget(hop.signature());
        }
        Ok((response, exchange))
    }
}

/// Returns where a redirect leads, as Go's client follows it.
fn next(hop: &Hop, response: &Response<Incoming>) -> Result<Option<Hop>, Stop> {
    let status = response.status().as_u16();
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    // An empty one leads nowhere, as there.
    let Some(location) = response.headers().get(LOCATION).filter(|location| !location.is_empty()) else {
        return Ok(None);
    };
    let is_odd = |why: &str| Stop::failed(ReasonCode::Redirects, format!("redirected to {location:?}, {why}"));
    let url = location.to_str().ok().and_then(|text| hop.url.join(text).ok());
    let url = url.ok_or_else(|| is_odd("which is no URL"))?;
    let keeps = matches!(status, 307 | 308);
    let method = if keeps || hop.method == Method::HEAD { hop.method.clone() } else { Method::GET };
    let body = if keeps { hop.body.clone() } else { Bytes::new() };
    let strange = hop.strange || !same_host(&hop.url, &url);
    let headers = headers_for(hop, &url, location);
    let mut next =
        Hop::new(url, method, headers, body).map_err(|why| is_odd(&format!("which cannot be asked: {why}")))?;
    next.strange = strange;
    Ok(Some(next))
}

/// Credentials stay with the host and port they were written for, and with its secrecy; so does the name of a virtual host, but for relative redirects.
fn headers_for(hop: &Hop, url: &Url, location: &HeaderValue) -> HeaderMap {
    let mut headers = hop.headers();
    let is_relative = location.to_str().is_ok_and(|text| Url::parse(text).is_err() && !text.starts_with("//"));
    if !is_relative {
        headers.remove(HOST);
    }
    if !same_host(&hop.url, url) {
        drop_credentials(&mut headers);
    }
    headers
}

/// The number in `HTTP/1.1`.
fn version_number(version: Version) -> f64 {
    match version {
        Version::HTTP_09 => 0.9,
        Version::HTTP_10 => 1.0,
        Version::HTTP_2 => 2.0,
        Version::HTTP_3 => 3.0,
        _ => 1.1,
    }
}
