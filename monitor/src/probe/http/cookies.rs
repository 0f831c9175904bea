//! Cookies that one run of a probe was given: kept across its redirects and steps, and forgotten with it.

use cookie_store::CookieStore;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use url::Url;

/// Most cookies of one run; RFC 6265 section 6.1 asks clients for at least 50 a host.
const MAX_COOKIES: usize = 100;
/// Longest cookie that is kept, in bytes with its attributes (RFC 6265 section 6.1 asks for at least 4096).
const MAX_COOKIE_BYTES: usize = 8192;

/// What servers set, by RFC 6265. Most answers set nothing, and then this holds nothing.
#[derive(Default)]
pub struct Cookies(Option<Box<CookieStore>>);

impl Cookies {
    /// Keeps what an answer of `url` sets. What is malformed, or not for its host, is left, as browsers leave it.
    pub(in crate::probe) fn learn(&mut self, url: &Url, headers: &HeaderMap) {
        for value in headers.get_all(SET_COOKIE) {
            let Some(text) = value.to_str().ok().filter(|text| text.len() <= MAX_COOKIE_BYTES) else { continue };
            let store = self.0.get_or_insert_default();
            if store.iter_any().count() < MAX_COOKIES {
                _ = store.parse(text, url);
            }
        }
    }

    /// Adds the cookies that belong to `url` behind those that were configured.
    pub(in crate::probe) fn add_to(&self, url: &Url, headers: &mut HeaderMap) {
        let Some(store) = &self.0 else { return };
        let own = headers.get(COOKIE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let given = store.get_request_values(url).map(|(name, value)| format!("{name}={value}"));
        let all: Vec<String> = own.into_iter().chain(given).collect();
        if let Ok(mut value) = HeaderValue::from_str(&all.join("; "))
            && !all.is_empty()
        {
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
    }

    /// Returns the value of a cookie of the host of `url`, whatever its path.
    pub(in crate::probe) fn value(&self, url: &Url, name: &str) -> Option<&str> {
        let mut cookies = self.0.as_ref()?.iter_unexpired();
        cookies.find(|cookie| cookie.name() == name && cookie.domain.matches(url)).map(|cookie| cookie.value())
    }
}
