//! How traces are exported, from the variables of the OpenTelemetry specification ("OpenTelemetry Environment Variable
//! Specification" and "OpenTelemetry Protocol Exporter"). Where it would have a wrong value ignored, it is a mistake here.

use std::num::NonZeroUsize;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use secrecy::ExposeSecret;
use url::Url;

use super::otlp::Resource;
use super::resource;
use super::sampler::Sampler;
use crate::config::Environment;
use crate::env::Variables;

/// The variables, for `--help`.
pub const VARIABLES: &str = "\
Traces (OpenTelemetry):
  OTEL_EXPORTER_OTLP_ENDPOINT  collector, as http://127.0.0.1:4318; without it nothing is traced
  OTEL_EXPORTER_OTLP_PROTOCOL  http/protobuf or grpc [http/protobuf]
  OTEL_EXPORTER_OTLP_HEADERS   sent along, as authorization=Bearer%20…; may be in OTEL_EXPORTER_OTLP_HEADERS_FILE
  OTEL_TRACES_SAMPLER          always_on, always_off, traceidratio, or parentbased_ and one of these
                               [parentbased_always_on]; the ratio is OTEL_TRACES_SAMPLER_ARG, from 0 to 1 [1]
  OTEL_SERVICE_NAME            name in traces [that of the program]; more: OTEL_RESOURCE_ATTRIBUTES
  TRACING_ENABLED              false: nothing is traced [true]; so does OTEL_SDK_DISABLED=true
  OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_BSP_SCHEDULE_DELAY, OTEL_BSP_EXPORT_TIMEOUT (ms), OTEL_BSP_MAX_QUEUE_SIZE,
  OTEL_BSP_MAX_EXPORT_BATCH_SIZE, OTEL_TRACES_EXPORTER: as OpenTelemetry specifies";

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `http/protobuf`
    Http,
    /// `grpc`
    Grpc,
}

/// Where spans go, and how. Headers, which may be secret, do not show in `Debug`.
#[derive(Debug, Clone)]
pub struct TraceSettings {
    pub(super) uri: Uri,
    pub(super) protocol: Protocol,
    pub(super) headers: HeaderMap,
    /// Longest time of one request.
    pub(super) timeout: Duration,
    pub(super) sampler: Sampler,
    pub(super) resource: Resource,
    pub(super) version: &'static str,
    /// Longest wait until a batch is full.
    pub(super) delay: Duration,
    /// Longest time for one batch, further tries included.
    pub(super) patience: Duration,
    /// Spans that wait, at most.
    pub(super) queue: usize,
    /// Spans of one request, at most.
    pub(super) batch: usize,
}

impl TraceSettings {
    /// Reads them for the program of this name and version; none if nothing is to be traced.
    ///
    /// # Errors
    /// Every mistake, one line each; none shows a secret.
    pub fn read(environment: &Environment, name: &str, version: &'static str) -> Result<Option<Self>, Vec<String>> {
        let variables = Variables::new(environment);
        let is_wanted = flag(&variables, "TRACING_ENABLED", true) & !flag(&variables, "OTEL_SDK_DISABLED", false);
        let is_exported = one_of(&variables, &["OTEL_TRACES_EXPORTER"], [("otlp", true), ("none", false)]);
        let protocols = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
        let protocol = one_of(&variables, &protocols, [("http/protobuf", Protocol::Http), ("grpc", Protocol::Grpc)]);
        let uri = endpoint(&variables, protocol);
        let queue = whole(&variables, "OTEL_BSP_MAX_QUEUE_SIZE", 2048);
        let batch = whole(&variables, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", queue.min(512));
        if batch > queue {
            let name = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
            variables.mistake(name, format_args!("more than OTEL_BSP_MAX_QUEUE_SIZE; write at most {queue}"));
        }
        let timeouts = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
        let read = Self {
            uri: uri.clone().unwrap_or_default(),
            protocol,
            headers: headers(&variables),
            timeout: variables.millis(set(&variables, &timeouts), 10_000),
            sampler: sampler(&variables),
            resource: resource::read(&variables, name, version),
            version,
            delay: variables.millis("OTEL_BSP_SCHEDULE_DELAY", 5000),
            patience: variables.millis("OTEL_BSP_EXPORT_TIMEOUT", 30_000),
            queue,
            batch,
        };
        variables.finish((uri.is_some() && is_wanted && is_exported).then_some(read))
    }
}

/// Returns the first of these variables that is set: that of traces stands before that of all signals.
fn set(variables: &Variables<'_>, names: &[&'static str]) -> &'static str {
    let is_set = |name: &&'static str| variables.text(name).is_some();
    names.iter().copied().find(is_set).or(names.last().copied()).unwrap_or_default()
}

fn flag(variables: &Variables<'_>, name: &str, default: bool) -> bool {
    match variables.text(name).map(str::to_ascii_lowercase).as_deref() {
        None => default,
        Some("true" | "1") => true,
        Some("false" | "0") => false,
        Some(other) => {
            variables.mistake(name, format_args!("{other:?} is not true or false"));
            default
        }
    }
}

/// Returns what the word in one of these variables means; the first choice if none is set.
fn one_of<T: Copy, const N: usize>(
    variables: &Variables<'_>,
    names: &[&'static str],
    choices: [(&'static str, T); N],
) -> T {
    let name = set(variables, names);
    let text = variables.text(name);
    let found = choices.iter().find(|(word, _)| text.is_none_or(|text| text == *word));
    if found.is_none() {
        let words = choices.map(|(word, _)| word).join(" or ");
        variables.mistake(name, format_args!("{:?} is not {words}", text.unwrap_or_default()));
    }
    let [(_, first), ..] = choices.as_slice() else { unreachable!("there are choices") };
    found.map_or(*first, |(_, meant)| *meant)
}

fn whole(variables: &Variables<'_>, name: &str, default: usize) -> usize {
    let default = NonZeroUsize::new(default).unwrap_or(NonZeroUsize::MIN);
    variables.parsed(name, default, "a number of spans above zero").get()
}

/// The path of traces is added to the address of all signals, and to no other ("Endpoint URLs for OTLP/HTTP").
fn endpoint(variables: &Variables<'_>, protocol: Protocol) -> Option<Uri> {
    let own = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    let name = set(variables, &[own, "OTEL_EXPORTER_OTLP_ENDPOINT"]);
    let mut url = variables.bare_url(name, "OTEL_EXPORTER_OTLP_HEADERS")?;
    add_path(&mut url, protocol, name == own);
    url.as_str().parse().map_err(|_error| variables.mistake(name, "not an address that can be asked")).ok()
}

fn add_path(url: &mut Url, protocol: Protocol, is_whole: bool) {
    match protocol {
        Protocol::Grpc => url.set_path("/opentelemetry.proto.collector.trace.v1.TraceService/Export"),
        Protocol::Http if is_whole => {}
        Protocol::Http => {
            let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
    }
}

fn headers(variables: &Variables<'_>) -> HeaderMap {
    let secret = |name: &'static str| variables.secret(name).map(|secret| (name, secret));
    let found = secret("OTEL_EXPORTER_OTLP_TRACES_HEADERS").or_else(|| secret("OTEL_EXPORTER_OTLP_HEADERS"));
    let Some((name, text)) = found else { return HeaderMap::new() };
    read_headers(text.expose_secret()).unwrap_or_else(|| {
        variables.mistake(name, "not a list of headers; write it like authorization=Bearer%20TOKEN,x-scope=a");
        HeaderMap::new()
    })
}

fn read_headers(text: &str) -> Option<HeaderMap> {
    let header = |(name, value): (String, String)| {
        let mut header = HeaderValue::try_from(&value).ok()?;
        header.set_sensitive(true);
        crate::secrets::know([value.as_str()]);
        Some((HeaderName::try_from(name).ok()?, header))
    };
    resource::pairs(text)?.into_iter().map(header).collect()
}

fn sampler(variables: &Variables<'_>) -> Sampler {
    let ratio: f64 = variables.parsed("OTEL_TRACES_SAMPLER_ARG", 1.0, "a number from 0 to 1");
    if !(0.0..=1.0).contains(&ratio) {
        variables.mistake("OTEL_TRACES_SAMPLER_ARG", format_args!("{ratio} is not a number from 0 to 1"));
    }
    let sampler = |ratio, follows_parent| Sampler { ratio, follows_parent };
    one_of(
        variables,
        &["OTEL_TRACES_SAMPLER"],
        [
            ("parentbased_always_on", sampler(1.0, true)),
            ("parentbased_always_off", sampler(0.0, true)),
            ("parentbased_traceidratio", sampler(ratio, true)),
            ("always_on", sampler(1.0, false)),
            ("always_off", sampler(0.0, false)),
            ("traceidratio", sampler(ratio, false)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    fn read<const N: usize>(pairs: [(&str, &str); N]) -> Result<Option<TraceSettings>, Vec<String>> {
        TraceSettings::read(&Environment::of(pairs), "monitor", "1.0")
    }

    #[test]
    fn nothing_is_traced_without_an_address_or_when_it_is_switched_off() {
        for pairs in [
            [ENDPOINT, ("TRACING_ENABLED", "False")],
            [ENDPOINT, ("OTEL_SDK_DISABLED", "true")],
            [ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
            [("TRACING_ENABLED", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
        ] {
            assert!(read(pairs).unwrap().is_none(), "{pairs:?}");
        }
        assert!(read([]).unwrap().is_none());
        let all = read([ENDPOINT]).unwrap().unwrap();
        assert_eq!((all.queue, all.batch, all.timeout.as_secs(), all.delay.as_secs()), (2048, 512, 10, 5));
        assert_eq!((all.protocol, all.sampler), (Protocol::Http, Sampler { ratio: 1.0, follows_parent: true }));
    }

    #[test]
    fn the_path_is_that_of_the_protocol_and_an_address_for_traces_alone_is_taken_as_it_is() {
        let uri = |pairs: [(&str, &str); 2]| read(pairs).unwrap().unwrap().uri.to_string();
        let base = "http://127.0.0.1:4318";
        assert_eq!(uri([ENDPOINT, ENDPOINT]), format!("{base}/v1/traces"));
        assert_eq!(uri([ENDPOINT, ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://x/y")]), "https://x/y");
        assert_eq!(
            uri([ENDPOINT, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]),
            format!("{base}/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        );
    }

    #[test]
    fn headers_are_sent_and_never_shown() {
        let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2hunter2,x-scope=a");
        let settings = read([ENDPOINT, headers]).unwrap().unwrap();
        assert_eq!(settings.headers.get("authorization").unwrap(), "Bearer hunter2hunter2");
        assert!(!format!("{settings:?}").contains("hunter2"), "{settings:?}");
        assert_eq!(crate::secrets::redact("Bearer hunter2hunter2"), "[redacted]");
    }

    #[test]
    fn every_wrong_value_is_told_with_what_to_write() {
        for (name, value, expected) in [
            ("TRACING_ENABLED", "maybe", "\"maybe\" is not true or false"),
            ("OTEL_TRACES_EXPORTER", "zipkin", "\"zipkin\" is not otlp or none"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "\"http/json\" is not http/protobuf or grpc"),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "localhost",
                "not the URL of a server (relative URL without a base); write it like http://127.0.0.1:8000",
            ),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "http://a:b@c",
                "credentials are in it; put them into OTEL_EXPORTER_OTLP_HEADERS",
            ),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "hunter2",
                "not a list of headers; write it like authorization=Bearer%20TOKEN,x-scope=a",
            ),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "\"10s\" is not a number of milliseconds above zero"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "\"0\" is not a number of spans above zero"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096", "more than OTEL_BSP_MAX_QUEUE_SIZE; write at most 2048"),
            ("OTEL_TRACES_SAMPLER_ARG", "2", "2 is not a number from 0 to 1"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a", "not a list; write it like deployment.environment.name=prod,team=a%20b"),
        ] {
            assert_eq!(read([(name, value)]).unwrap_err(), [format!("{name}: {expected}")]);
        }
        let words = read([("OTEL_TRACES_SAMPLER", "jaeger_remote")]).unwrap_err();
        assert!(
            words[0].starts_with("OTEL_TRACES_SAMPLER: \"jaeger_remote\" is not parentbased_always_on or "),
            "{words:?}"
        );
    }
}
