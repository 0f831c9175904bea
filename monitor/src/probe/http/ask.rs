//! The probe of kind `http`: from URL to answer, hop by hop.

use std::borrow::Cow;
use std::fmt;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Response, Version as Spoken};
use hyper::body::Incoming;
use kit::http::Path;

use crate::probe::address::Address;
use crate::probe::dial::dial;
use crate::probe::handshake::shake_hands;
use crate::probe::kinds::{Probe, Target};
use crate::probe::observation::{Facts, Outcome, ReasonCode};
use crate::probe::run::Run;
use crate::probe::stream::Stream;
use crate::probe::tls_options::H2;

use super::cookies::Cookies;
use super::exchange::Exchange;
use super::hop::{Hop, show};
use super::options::{Options, Version};
use super::{body, proxy};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A configured `http` check.
pub(super) struct HttpProbe(pub(super) Options);

impl fmt::Debug for HttpProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpProbe").field(&self.0.target.shown).finish()
    }
}

impl Probe for HttpProbe {
    fn target(&self) -> Target {
        self.0.target.clone()
    }

    fn connects_to(&self) -> Option<&Address> {
        // What a proxy reaches is its own affair.
        self.0.proxy.is_none().then_some(&self.0.first.address)
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        async move { self.0.ask(run, &self.0.first, &mut Cookies::default()).await }.boxed()
    }
}

impl Options {
    /// Asks from `first` on, to the end of its redirects, with the cookies that this run was given.
    pub(in crate::probe) async fn ask(
        &self,
        run: &mut Run,
        first: &Hop,
        cookies: &mut Cookies,
    ) -> Result<Facts, Outcome> {
        let mut hop = Cow::Borrowed(first);
        let mut followed = 0;
        loop {
            let (response, mut exchange) = self.visit(run, &hop, cookies).await?;
            run.seen.status = Some(response.status().as_u16());
            cookies.learn(&hop.url, response.headers());
            if self.redirects > 0
                && let Some(next) = hop.next(&response)?
            {
                if followed >= self.redirects {
                    let text = format!("more than {} redirects; the next leads to {}", self.redirects, show(&next.url));
                    return Err(Outcome::fail(ReasonCode::Redirects, text));
                }
                followed += 1;
                run.seen.redirects = run.seen.redirects.saturating_add(1);
                hop = Cow::Owned(next);
                continue;
            }
            let status = response.status().as_u16();
            let (headers, body) = body::read(run, &mut exchange, response, self.body_limit).await?;
            return Ok(Facts { status: Some(status), headers: plain(&headers), body: Some(body), ..Facts::default() });
        }
    }

    /// Connects, sends one request and returns when the answer's head is there.
    async fn visit(
        &self,
        run: &mut Run,
        hop: &Hop,
        cookies: &Cookies,
    ) -> Result<(Response<Incoming>, Exchange), Outcome> {
        let is_told = !run.hides_paths || hop.url.path() == self.first.url.path();
        run.request = Some(hop.asks(if is_told { Path::Shown } else { Path::Secret }));
        let stream = self.connect(run, hop).await?;
        let two = match (self.version, stream.alpn()) {
            (_, Some(chosen)) => chosen == H2,
            (Version::Two, None) => hop.tls.is_none(),
            (Version::Auto | Version::One, None) => false,
        };
        if self.version == Version::Two && !two {
            return Err(Outcome::fail(ReasonCode::Protocol, "the server does not speak HTTP/2 (ALPN chose nothing)"));
        }
        let absolute = self.proxy.is_some() && hop.tls.is_none();
        let mut request = hop.request(two, absolute);
        cookies.add_to(&hop.url, request.headers_mut());
        if let Ok(traceparent) = HeaderValue::from_str(&run.traceparent) {
            request.headers_mut().insert(TRACEPARENT, traceparent);
        }
        let (response, exchange) = Exchange::start(run, stream, request, two).await?;
        run.seen.protocol = Some(spoken(response.version()).to_owned());
        Ok((response, exchange))
    }

    async fn connect(&self, run: &mut Run, hop: &Hop) -> Result<Stream, Outcome> {
        let stream = match &self.proxy {
            None => dial(run, &hop.address, self.ip).await?,
            Some(proxy) => {
                let stream = proxy::reach(run, proxy, self.ip).await?;
                if hop.tls.is_some() {
                    proxy::tunnel(run, stream, &hop.address, &HeaderMap::new()).await?
                } else {
                    stream
                }
            }
        };
        let Some(name) = &hop.tls else { return Ok(Stream::Plain(stream)) };
        let (config, name) = match &self.tls.server_name {
            _ if hop.strange => (&self.tls.for_others, name),
            Some(configured) => (&self.tls.config, configured),
            None => (&self.tls.config, name),
        };
        Ok(Stream::Tls(shake_hands(run, stream, config, name).await?.stream))
    }
}

fn spoken(version: Spoken) -> &'static str {
    match version {
        Spoken::HTTP_10 => "HTTP/1.0",
        Spoken::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

/// Headers as expectations read them; bytes that are not UTF-8 become U+FFFD.
fn plain(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}
