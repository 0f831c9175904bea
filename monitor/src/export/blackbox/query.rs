//! What `/probe` is asked, in the order in which blackbox_exporter looks at it.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use url::Url;
use url::form_urlencoded::parse;

use super::settings::BlackboxSettings;
use crate::probe::blackbox::Module;
use crate::probe::blackbox::Wish;

/// The module that is meant if none is named.
const MODULE: &str = "http_2xx";
/// How long a probe may take if nobody says anything.
const TIMEOUT_SECS: f64 = 120.0;

/// The parameters of a query; of those that come twice the first counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) module: Option<String>,
    pub(super) target: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) id: Option<String>,
    pub(super) debug: bool,
}

/// Why nothing is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) text: String,
    /// True if there is no such module.
    pub(super) is_unknown: bool,
}

impl Query {
    pub(super) fn of(query: Option<&str>) -> Self {
        let mut found = Self::default();
        let (mut seen_debug, pairs) = (false, parse(query.unwrap_or_default().as_bytes()));
        for (name, value) in pairs {
            let place = match &*name {
                "module" => &mut found.module,
                "target" => &mut found.target,
                "hostname" => &mut found.hostname,
                "id" => &mut found.id,
                "debug" => {
                    found.debug |= !seen_debug && value == "true";
                    seen_debug = true;
                    continue;
                }
                _ => continue,
            };
            place.get_or_insert_with(|| value.into_owned());
        }
        for text in [&mut found.module, &mut found.target, &mut found.hostname, &mut found.id] {
            *text = text.take().filter(|text| !text.is_empty());
        }
        found
    }

    /// Finds the module and what is asked of it.
    pub(super) fn resolve<'a>(
        &self,
        settings: &'a BlackboxSettings,
        headers: &HeaderMap,
    ) -> Result<(&'a std::sync::Arc<Module>, Wish), Refused> {
        let refused = |status, text| Refused { status, text, is_unknown: false };
        let name = self.module.as_deref().unwrap_or(MODULE);
        let Some(module) = settings.modules.find(name) else {
            let text = format!("Unknown module {name:?}");
            return Err(Refused { status: StatusCode::BAD_REQUEST, text, is_unknown: true });
        };
        let scrape = scrape_timeout(headers).map_err(|text| refused(StatusCode::INTERNAL_SERVER_ERROR, text))?;
        let Some(target) = &self.target else {
            return Err(refused(StatusCode::BAD_REQUEST, "Target parameter is missing".to_owned()));
        };
        if let (Some(own), Some(wished)) = (module.hostname(), &self.hostname)
            && own != wished
        {
            let text = format!(
                "host header defined both in module configuration ({own}) and with URL-parameter 'hostname' ({wished})"
            );
            return Err(refused(StatusCode::BAD_REQUEST, text));
        }
        if let Some(hostname) = self.hostname.as_deref().filter(|hostname| !Wish::is_hostname(hostname)) {
            let text =
                format!("hostname {hostname:?} is no host; write it like shop.example.com or shop.example.com:8443");
            return Err(refused(StatusCode::BAD_REQUEST, text));
        }
        let timeout = timeout(scrape, module.timeout, settings.timeout_offset);
        Ok((module, Wish { target: decoded_again(target), hostname: self.hostname.clone(), timeout }))
    }
}

/// Prometheus encodes targets of its own accord, so one may come encoded twice: it is decoded again only if it has no host
/// otherwise, since in a query of the target's own `%2B` means a plus.
fn decoded_again(target: &str) -> String {
    let has_host = |text: &str| match text.split_once("://") {
        Some(_) => Url::parse(text).is_ok(),
        None => text.starts_with('/') || Url::parse(&format!("http://{text}")).is_ok(),
    };
    let looks_encoded = target.to_ascii_lowercase().contains("%3a") || target.to_ascii_lowercase().contains("%2f");
    if !looks_encoded || has_host(target) && !target.to_ascii_lowercase().starts_with("http%3a") {
        return target.to_owned();
    }
    // As `parse` decodes, but for the plus.
    let encoded = target.replace('+', "%2B");
    parse(encoded.as_bytes()).next().map_or_else(|| target.to_owned(), |(name, _)| name.into_owned())
}

fn scrape_timeout(headers: &HeaderMap) -> Result<f64, String> {
    let Some(value) = headers.get("x-prometheus-scrape-timeout-seconds") else { return Ok(TIMEOUT_SECS) };
    let text = value.to_str().unwrap_or_default();
    let wrong = || {
        format!("Failed to parse timeout from Prometheus header: strconv.ParseFloat: parsing {text:?}: invalid syntax")
    };
    match text.parse::<f64>() {
        Ok(0.0) => Ok(TIMEOUT_SECS),
        Ok(secs) if secs.is_finite() && secs > 0.0 => Ok(secs.min(TIMEOUT_SECS * 10.0)),
        Err(_) if text.is_empty() => Ok(TIMEOUT_SECS),
        _ => Err(wrong()),
    }
}

/// What the scrape leaves after its way back, at least half of it, and at most what the module takes.
fn timeout(scrape_secs: f64, module: Option<Duration>, offset: Duration) -> Duration {
    let scrape = Duration::try_from_secs_f64(scrape_secs).unwrap_or(Duration::from_secs(1));
    let left = scrape.saturating_sub(offset).max(scrape / 2);
    module.map_or(left, |module| module.min(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_parameter_counts_and_an_empty_one_is_none() {
        let query = Query::of(Some("target=a%3A1&target=b&module=&debug=true&debug=false&x=y"));
        let target = Some("a:1".to_owned());
        assert_eq!(query, Query { target, debug: true, ..Query::default() });
    }

    #[test]
    fn a_hostname_is_a_host_and_nothing_else() {
        for text in ["shop.example", "shop.example:8443", "192.0.2.1", "192.0.2.1:80", "[::1]", "[::1]:80", "a_b"] {
            assert!(Wish::is_hostname(text), "{text}");
        }
        for text in
            ["", "a/b", "a?b", "a#b", "me@a", "a b", "a:b", "a:0", "a:99999", "::1", "a\r\nb: c", "http://a", ":80"]
        {
            assert!(!Wish::is_hostname(text), "{text}");
        }
    }

    #[test]
    fn a_probe_takes_less_than_its_scrape_and_more_than_nothing() {
        let ms = Duration::from_millis;
        for (scrape, module, expected) in [
            (10.0, None, 9500),
            (10.0, Some(5000), 5000),
            (10.0, Some(20_000), 9500),
            (0.5, None, 250),
            (0.3, Some(5000), 150),
            (0.8, Some(100), 100),
            (120.0, None, 119_500),
        ] {
            assert_eq!(timeout(scrape, module.map(ms), ms(500)), ms(expected), "{scrape} {module:?}");
        }
    }

    #[test]
    fn a_target_is_decoded_again_only_if_it_has_no_host() {
        for (target, expected) in [
            ("127.0.0.1%3A9115", "127.0.0.1:9115"),
            ("http%3A%2F%2Fa.b%2Fc", "http://a.b/c"),
            ("http://a.b/?q=a%2Bb%3Ac", "http://a.b/?q=a%2Bb%3Ac"),
            ("a.b/?q=%3A", "a.b/?q=%3A"),
            ("a.b:80", "a.b:80"),
            ("[::1]:80", "[::1]:80"),
            ("/run/a%3Ab.sock", "/run/a%3Ab.sock"),
        ] {
            assert_eq!(decoded_again(target), expected);
        }
    }
}
