//! An HTTP API that answers with JSON, for kinds that know what they ask there: requests as kind `http` makes them, without
//! redirects, and what is no JSON in words.

use std::fmt;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use kit::config::{Cursor, Fields};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use url::Url;

use crate::probe::address::Address;
use crate::probe::dial::IpVersion;
use crate::probe::expect::excerpt;
use crate::probe::kinds::{Scope, Target};
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::run::Run;
use crate::probe::tls_options::{H2, HTTP_1_1, Tls};

use super::call::Call;
use super::cookies::Cookies;
use super::hop::{Hop, drop_credentials, same_host};
use super::options::{Options, Version, decode_headers, decode_proxy, decode_url, shown_url};

/// Bytes of an answer that are read at most.
const BODY_LIMIT: usize = 1024 * 1024;

/// A configured API: requests to it are timed and read as those of kind `http` are.
pub struct Api {
    options: Options,
    base: Url,
    headers: HeaderMap,
}

impl fmt::Debug for Api {
    /// Without the headers: they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Api").field(&self.options.target.shown).finish()
    }
}

/// What an API answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header names in lower case and their values, in order of arrival.
    pub headers: Vec<(String, String)>,
    /// None if the body is no JSON.
    pub json: Option<Json>,
    /// The body's first line, for people.
    pub excerpt: String,
    /// The body, as far as it was read.
    pub body: Bytes,
}

/// How an API is asked.
pub(in crate::probe) struct Means {
    headers: HeaderMap,
    ip: IpVersion,
    proxy: Option<Address>,
    tls: Tls,
}

impl Means {
    /// Decodes `ip`, `tls`, `proxy`, and `headers`, `basic` or `bearer`.
    pub(in crate::probe) fn decode(fields: &Fields<'_>) -> Option<Self> {
        let headers = decode_headers(fields);
        let ip = fields.get("ip").map_or(Some(IpVersion::Any), |c| IpVersion::decode(&c));
        let proxy = fields.get("proxy").map_or(Some(None), |c| decode_proxy(&c).map(Some));
        let tls = Tls::decode(fields.get("tls").as_ref(), &[H2, HTTP_1_1]);
        Some(Self { headers: headers?, ip: ip?, proxy: proxy?, tls: tls? })
    }
}

impl Api {
    /// Decodes `url` (what the API's own paths follow), `ip`, `tls`, `proxy`, and `headers`, `basic` or `bearer`.
    pub fn decode(fields: &Fields<'_>) -> Option<Self> {
        let url = fields.require("url").and_then(|c| Some((decode_base(&c)?, c)));
        let means = Means::decode(fields);
        let (base, cursor) = url?;
        let target =
            Target { shown: shown_url(&base, &cursor), scope: Scope::of_host(base.host_str().unwrap_or_default()) };
        Self::new(base, target, means?, 0)
            .map_err(|why| cursor.mistake(format!("{} cannot be asked: {why}", cursor.node().shown())))
            .ok()
    }

    /// Joins what was decoded elsewhere; so many redirects are followed.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub(in crate::probe) fn new(base: Url, target: Target, means: Means, redirects: u8) -> Result<Self, &'static str> {
        let Means { headers, ip, proxy, tls } = means;
        let first = Hop::new(base.clone(), Method::GET, headers.clone(), Bytes::new())?;
        let (body_limit, version) = (BODY_LIMIT, Version::Auto);
        let options = Options { first, target, redirects, ip, body_limit, tls, proxy, version };
        Ok(Self { options, base, headers })
    }

    /// Sends a secret with every request; false if no header can carry it.
    pub fn show_with_each(&mut self, name: HeaderName, secret: &SecretString) -> bool {
        let Ok(mut value) = HeaderValue::from_str(secret.expose_secret()) else { return false };
        value.set_sensitive(true);
        self.headers.insert(name, value);
        true
    }

    /// What is asked, for people.
    pub fn target(&self) -> Target {
        self.options.target.clone()
    }

    /// Where it connects to, if that is the target's own address.
    pub fn connects_to(&self) -> Option<&Address> {
        self.options.proxy.is_none().then_some(&self.options.first.address)
    }

    /// Gets what stands at a path below the configured one; each part and each value is escaped.
    pub(in crate::probe) async fn get(
        &self,
        run: &mut Run,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Answer, Outcome> {
        self.call(run, &Call::get_url(below(self.base.clone(), path, query))).await
    }

    /// Asks once.
    ///
    /// # Errors
    /// A fail or an unknown where there is no whole answer; any answer is one, whatever its status.
    pub async fn call(&self, run: &mut Run, call: &Call) -> Result<Answer, Outcome> {
        self.call_with(run, call, &mut Cookies::default()).await
    }

    /// Asks once, with the cookies that earlier answers set.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn call_with(&self, run: &mut Run, call: &Call, cookies: &mut Cookies) -> Result<Answer, Outcome> {
        let hop = self.hop(call).map_err(|why| Outcome::local(format!("it cannot be asked: {why}")))?;
        run.needs_body = true;
        let facts = self.options.ask(run, &hop, cookies).await?;
        let body = facts.body.unwrap_or_default();
        let status = facts.status.unwrap_or_default();
        let json = serde_json::from_slice(&body).ok();
        Ok(Answer { status, headers: facts.headers, json, excerpt: excerpt(&body), body })
    }

    /// What only the configured host may have stays with it, whoever the call asks.
    fn hop(&self, call: &Call) -> Result<Hop, &'static str> {
        let url = call.url(&self.base);
        let is_ours = same_host(&self.base, &url);
        let mut headers = self.headers.clone();
        if !is_ours {
            drop_credentials(&mut headers);
            headers.remove(HOST);
        }
        let (method, headers, body) = call.parts(headers)?;
        let mut hop = Hop::new(url, method, headers, body)?;
        hop.strange = !is_ours;
        Ok(hop)
    }
}

/// A path and a query below a URL; each part and each value is escaped.
pub(in crate::probe) fn below(mut url: Url, path: &[&str], query: &[(&str, &str)]) -> Url {
    if let Ok(mut parts) = url.path_segments_mut() {
        parts.pop_if_empty().extend(path);
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

/// Decodes the URL that paths of an API follow.
pub(in crate::probe) fn decode_base(cursor: &Cursor<'_>) -> Option<Url> {
    let url = decode_url(cursor)?;
    if url.query().is_some() {
        cursor.mistake("the probe writes its own query; leave out what follows the question mark");
        return None;
    }
    Some(url)
}

impl Answer {
    /// Says what is wrong with an answer that is not of the API: who may ask, where it is, whether it is there.
    pub(in crate::probe) fn refusal(&self, api: &str) -> Outcome {
        let said = if self.excerpt.is_empty() { String::new() } else { format!(": {}", self.excerpt) };
        let (code, meaning) = match self.status {
            401 => (ReasonCode::Auth, "it wants to know who we are, or refuses it".to_owned()),
            403 => (ReasonCode::Auth, "we may not ask".to_owned()),
            429 => (ReasonCode::Rejected, "it is asked too often".to_owned()),
            500.. => (ReasonCode::Rejected, "it cannot answer now".to_owned()),
            200..=299 => (ReasonCode::Protocol, format!("the answer is not of {api}; is the URL right?")),
            _ => (ReasonCode::Status, format!("{api} is not at this URL")),
        };
        Outcome::fail(code, format!("{meaning}: status {}{said}", self.status))
    }
}
