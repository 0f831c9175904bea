//! The gateway's settings, read once from the environment and checked whole.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use axum::http::HeaderValue;
use kit::config::Environment;
use kit::env::Variables;
use kit::http::{Network, ServerTls};
use kit::service;
use kit::token::MIN_SECRET_BYTES;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::limit::Failure;
use crate::upstream::Upstream;

/// Everything that can be set. Names and defaults are those of existing deployments.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `HOST` (default 127.0.0.1, so that nothing is open by accident; 0.0.0.0 in containers) and `PORT` (default 8000).
    pub address: SocketAddr,
    /// `API_KEY` or `API_KEY_FILE`: what clients must send as `X-API-Key`. No default: an open gateway is a mistake.
    pub api_key: SecretString,
    /// `AIRTABLE_GATEWAY_API_KEY` or `AIRTABLE_GATEWAY_API_KEY_FILE`: sent to the Airtable gateway instead of the
    /// client's key. Default: `API_KEY`, since small deployments share one.
    pub airtable_gateway_api_key: SecretString,
    /// `AIRTABLE_GATEWAY_URL`, default `http://127.0.0.1:8002`.
    pub airtable_gateway: Upstream,
    /// `MCP_SERVER_URL`, default `AI_PROCESSING_SERVICE_URL`: two names of one service.
    pub mcp_server: Upstream,
    /// `AI_PROCESSING_SERVICE_URL`, default `http://127.0.0.1:8001`; only if it is another server than `mcp_server`.
    pub ai_processing_service: Option<Upstream>,
    /// `LLM_ORCHESTRATOR_URL`, default `http://127.0.0.1:8003`.
    pub llm_orchestrator: Upstream,
    /// `PLATFORM_SERVICES_URL`, default `http://127.0.0.1:8007`.
    pub platform_services: Upstream,
    /// `AUTOMATION_SERVICES_URL`, default `http://127.0.0.1:8006`.
    pub automation_services: Upstream,
    /// `SAGA_ORCHESTRATOR_URL`, default `http://127.0.0.1:8008`.
    pub saga_orchestrator: Upstream,
    /// `COST_TRACKING_URL`, default `LLM_ORCHESTRATOR_URL`: knows what a session has cost.
    pub cost_tracking: Upstream,
    /// `HEALTH_CHECK_TIMEOUT`, default 5 s: what existing deployments use.
    pub health_check_timeout: Duration,
    /// `UPSTREAM_TIMEOUT`, default 30 s: from the start of a request to the head of its answer, and then between two
    /// pieces of the answer's body. What existing clients wait.
    pub upstream_timeout: Duration,
    /// `AIRTABLE_GATEWAY_TIMEOUT` and the like: for one service, instead of that.
    pub timeouts: Vec<(&'static str, Duration)>,
    /// `JWT_ALGORITHM` and `JWT_SECRET`: how tokens are checked before anybody is asked about them.
    pub signed: Signed,
    /// `HTTPS_ENABLED` with `TLS_CERT_FILE` and `TLS_KEY_FILE`: clients come by https.
    pub tls: Option<ServerTls>,
    /// `CORS_ORIGINS`: whose pages may ask, exactly as browsers write it. Default: those of the platform's own frontends.
    pub cors_origins: Vec<HeaderValue>,
    /// `TRUSTED_PROXIES`: networks whose `X-Forwarded-For` is believed. Default none: the gateway is in front.
    pub trusted_proxies: Vec<Network>,
    /// `RATE_LIMIT_RPM`: requests a minute of each user, key and address, default 1000; none if `off`.
    pub rate_limit: Option<NonZeroU32>,
    /// `REDIS_URL`: counts requests of several gateways together; without it each counts alone.
    pub redis: Option<SecretString>,
    /// `RATE_LIMIT_FAILURE`: what to do while Redis does not answer; default [`Failure::Open`].
    pub rate_limit_failure: Failure,
}

/// How tokens are signed.
#[derive(Debug, Clone)]
pub enum Signed {
    /// That is not known here.
    Unknown,
    /// With this secret, by HS256.
    Secret(SecretString),
    /// With keys that platform-services publishes.
    Published,
}

impl service::Settings for Settings {
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "The platform's front door: every path that clients know, and who may ask.";
    const VARIABLES: &'static str = "\
Environment:
  API_KEY                    key that clients send as X-API-Key; required
  AIRTABLE_GATEWAY_API_KEY   key sent to the Airtable gateway [API_KEY]
  JWT_ALGORITHM              that of platform-services: HS256, or EdDSA or RS256, whose keys it publishes [HS256]
  JWT_SECRET                 that of platform-services: with HS256 tokens are checked here, before anybody is asked
                             (secrets may be in files: API_KEY_FILE, AIRTABLE_GATEWAY_API_KEY_FILE, JWT_SECRET_FILE,
                             REDIS_URL_FILE)
  HOST                       address to listen on; 0.0.0.0 in containers [127.0.0.1]
  PORT                       port to listen on [8000]
  AIRTABLE_GATEWAY_URL       [http://127.0.0.1:8002]
  MCP_SERVER_URL             [AI_PROCESSING_SERVICE_URL]
  AI_PROCESSING_SERVICE_URL  [http://127.0.0.1:8001]
  LLM_ORCHESTRATOR_URL       [http://127.0.0.1:8003]
  PLATFORM_SERVICES_URL      [http://127.0.0.1:8007]
  AUTOMATION_SERVICES_URL    [http://127.0.0.1:8006]
  SAGA_ORCHESTRATOR_URL      [http://127.0.0.1:8008]
  COST_TRACKING_URL          knows what a session has cost [LLM_ORCHESTRATOR_URL]
  HEALTH_CHECK_TIMEOUT       longest wait for one service's health, as 5 (seconds) or 500ms [5]
  UPSTREAM_TIMEOUT           longest wait for a service's answer [30]; for one of them AIRTABLE_GATEWAY_TIMEOUT,
                             MCP_SERVER_TIMEOUT, LLM_ORCHESTRATOR_TIMEOUT, PLATFORM_SERVICES_TIMEOUT,
                             AUTOMATION_SERVICES_TIMEOUT
  HTTPS_ENABLED              true: clients come by https [false]; with TLS_CERT_FILE, a PEM chain, and TLS_KEY_FILE, its
                             key; both are read again when they change
  CORS_ORIGINS               whose pages may ask, as https://app.example.com,… or none
                             [http://localhost:5173,http://localhost:3000,http://localhost:8000]
  TRUSTED_PROXIES            networks whose X-Forwarded-For is believed, as 127.0.0.1,10.0.0.0/8, or none [none]
  RATE_LIMIT_RPM             requests a minute of each user, key and address, or off [1000]
  REDIS_URL                  redis://…: counts requests of several gateways together
  RATE_LIMIT_FAILURE         while Redis does not answer: open (each counts alone) or closed (503) [open]
  LOG_LEVEL                  error, warn, info, debug or trace [info]
  LOG_FORMAT                 human or json [human on a terminal, else json]";
    // Where the platform expects it.
    const PORT: NonZeroU16 = NonZeroU16::new(8000).expect("a port");

    fn read(environment: &Environment) -> Result<Self, Vec<String>> {
        let variables = Variables::new(environment);
        let upstream = |name: &'static str, variable: &str, port: u16| {
            Upstream::new(name, variables.base_url(variable).unwrap_or_else(|| local(port)))
        };
        let api_key = variables.required_secret("API_KEY", "clients send it as X-API-Key");
        let own_key = variables.secret("AIRTABLE_GATEWAY_API_KEY").unwrap_or_else(|| api_key.clone());
        for (name, key) in [("API_KEY", &api_key), ("AIRTABLE_GATEWAY_API_KEY", &own_key)] {
            if HeaderValue::from_str(key.expose_secret()).is_err() {
                variables.mistake(name, "has characters that no HTTP header can carry; use letters and digits");
            }
        }
        let has_credentials = |url: &Url| !url.username().is_empty() || url.password().is_some();
        if variables.base_url("PLATFORM_SERVICES_URL").is_some_and(|url| has_credentials(&url)) {
            let text = "carries credentials, which would take the place of users' tokens; leave them out";
            variables.mistake("PLATFORM_SERVICES_URL", text);
        }
        let ai_url = variables.base_url("AI_PROCESSING_SERVICE_URL").unwrap_or_else(|| local(8001));
        let mcp_url = variables.base_url("MCP_SERVER_URL").unwrap_or_else(|| ai_url.clone());
        let other = variables.text("AI_PROCESSING_SERVICE_URL").is_some() && ai_url != mcp_url;
        let llm_orchestrator = upstream("llm-orchestrator", "LLM_ORCHESTRATOR_URL", 8003);
        let cost_tracking = variables.base_url("COST_TRACKING_URL").map(|url| Upstream::new("cost-tracking", url));
        let settings = Self {
            address: variables.address(Self::PORT),
            api_key,
            airtable_gateway_api_key: own_key,
            airtable_gateway: upstream("airtable-gateway", "AIRTABLE_GATEWAY_URL", 8002),
            mcp_server: Upstream::new("mcp-server", mcp_url),
            ai_processing_service: other.then(|| Upstream::new("ai-processing-service", ai_url)),
            cost_tracking: cost_tracking.unwrap_or_else(|| llm_orchestrator.clone()),
            llm_orchestrator,
            platform_services: upstream("platform-services", "PLATFORM_SERVICES_URL", 8007),
            automation_services: upstream("automation-services", "AUTOMATION_SERVICES_URL", 8006),
            saga_orchestrator: upstream("saga-orchestrator", "SAGA_ORCHESTRATOR_URL", 8008),
            health_check_timeout: variables.duration("HEALTH_CHECK_TIMEOUT", Duration::from_secs(5)),
            upstream_timeout: variables.duration("UPSTREAM_TIMEOUT", Duration::from_secs(30)),
            timeouts: timeouts(&variables),
            signed: signed(&variables),
            tls: tls(&variables),
            cors_origins: origins(&variables),
            trusted_proxies: variables.networks("TRUSTED_PROXIES", "none"),
            rate_limit: rate_limit(&variables),
            redis: variables.redis_url("REDIS_URL"),
            rate_limit_failure: failure(&variables),
        };
        variables.finish(settings)
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Settings {
    /// Returns the services behind the gateway, in the order of the health answer.
    pub fn upstreams(&self) -> Vec<Upstream> {
        let six = [
            &self.airtable_gateway,
            &self.mcp_server,
            &self.llm_orchestrator,
            &self.platform_services,
            &self.automation_services,
            &self.saga_orchestrator,
        ];
        six.into_iter().chain(&self.ai_processing_service).cloned().collect()
    }

    /// Returns the longest wait for a service.
    pub(crate) fn timeout_of(&self, upstream: &Upstream) -> Duration {
        let own = self.timeouts.iter().find(|(name, _)| *name == upstream.name());
        own.map_or(self.upstream_timeout, |(_, timeout)| *timeout)
    }
}

fn signed(variables: &Variables<'_>) -> Signed {
    let secret = variables.secret("JWT_SECRET");
    let length = secret.as_ref().map_or(0, |secret| secret.expose_secret().len());
    if length > 0 && length < MIN_SECRET_BYTES {
        let text = format!("has {length} bytes; write that of platform-services, {MIN_SECRET_BYTES} bytes or more");
        variables.mistake("JWT_SECRET", text);
    }
    match variables.text("JWT_ALGORITHM") {
        None | Some("HS256") => secret.map_or(Signed::Unknown, Signed::Secret),
        Some("EdDSA" | "RS256") => Signed::Published,
        Some(other) => {
            let text = format!("{other:?} is not known here; write that of platform-services: HS256, EdDSA or RS256");
            variables.mistake("JWT_ALGORITHM", text);
            Signed::Unknown
        }
    }
}

fn timeouts(variables: &Variables<'_>) -> Vec<(&'static str, Duration)> {
    let names = ["airtable-gateway", "mcp-server", "llm-orchestrator", "platform-services", "automation-services"];
    let own = |name: &'static str| {
        let variable = format!("{}_TIMEOUT", name.to_ascii_uppercase().replace('-', "_"));
        variables.text(&variable).map(|_| (name, variables.duration(&variable, Duration::from_secs(30))))
    };
    names.into_iter().filter_map(own).collect()
}

fn tls(variables: &Variables<'_>) -> Option<ServerTls> {
    if !variables.parsed("HTTPS_ENABLED", false, "true or false; write one of them") {
        return None;
    }
    let file = |name: &str, what: &str| {
        let file = variables.text(name);
        if file.is_none() {
            variables.mistake(name, format_args!("not set, and HTTPS_ENABLED is true; write the path of {what}"));
        }
        file
    };
    let chain = file("TLS_CERT_FILE", "a PEM file with the certificate and its chain");
    let key = file("TLS_KEY_FILE", "a PEM file with its key");
    let (chain, key) = chain.zip(key)?;
    let read = ServerTls::read(chain.as_ref(), key.as_ref());
    read.map_err(|error| variables.mistake("TLS_CERT_FILE", error)).ok()
}

/// Origins are compared as texts, so each must be written as browsers write it (RFC 6454 section 6.2).
fn origins(variables: &Variables<'_>) -> Vec<HeaderValue> {
    let default = "http://localhost:5173,http://localhost:3000,http://localhost:8000";
    let text = match variables.text("CORS_ORIGINS").unwrap_or(default) {
        "none" => return Vec::new(),
        text => text,
    };
    let mut origins = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let origin = Url::parse(part).ok().filter(|url| url.has_host()).map(|url| url.origin().ascii_serialization());
        match origin.and_then(|origin| HeaderValue::try_from(origin).ok()) {
            // A slash at the end is no harm.
            Some(origin) if origin.as_bytes() == part.trim_end_matches('/').as_bytes() => origins.push(origin),
            Some(origin) => {
                let written = origin.to_str().unwrap_or_default();
                variables.mistake("CORS_ORIGINS", format_args!("{part:?} is no origin; write {written}"));
            }
            None => {
                let text = format!("{part:?} is no origin; write each like https://app.example.com, \"*\" is none");
                variables.mistake("CORS_ORIGINS", text);
            }
        }
    }
    origins
}

fn rate_limit(variables: &Variables<'_>) -> Option<NonZeroU32> {
    const REQUESTS: NonZeroU32 = NonZeroU32::new(1000).expect("above 0");
    if variables.text("RATE_LIMIT_RPM") == Some("off") {
        return None;
    }
    Some(variables.parsed("RATE_LIMIT_RPM", REQUESTS, "a number of requests a minute; write 1000, or off"))
}

fn failure(variables: &Variables<'_>) -> Failure {
    match variables.text("RATE_LIMIT_FAILURE") {
        None | Some("open") => Failure::Open,
        Some("closed") => Failure::Closed,
        Some(other) => {
            variables.mistake("RATE_LIMIT_FAILURE", format_args!("{other:?} is neither; write open or closed"));
            Failure::Open
        }
    }
}

fn local(port: u16) -> Url {
    Url::parse(&format!("http://127.0.0.1:{port}")).expect("a literal with a number is a URL")
}

#[cfg(test)]
mod tests {
    use kit::service::Settings as _;

    use super::*;

    #[test]
    fn a_key_alone_is_enough_and_six_services_are_listed() {
        let settings = Settings::read(&Environment::of([("API_KEY", "k")])).unwrap();
        assert_eq!(settings.address.to_string(), "127.0.0.1:8000");
        assert_eq!((settings.health_check_timeout.as_secs(), settings.upstream_timeout.as_secs()), (5, 30));
        assert_eq!(settings.airtable_gateway_api_key.expose_secret(), "k");
        let listed: Vec<String> = settings.upstreams().iter().map(|up| format!("{} {}", up.name(), up.url())).collect();
        assert_eq!(
            listed,
            [
                "airtable-gateway http://127.0.0.1:8002",
                "mcp-server http://127.0.0.1:8001",
                "llm-orchestrator http://127.0.0.1:8003",
                "platform-services http://127.0.0.1:8007",
                "automation-services http://127.0.0.1:8006",
                "saga-orchestrator http://127.0.0.1:8008",
            ]
        );
    }

    #[test]
    fn two_names_of_the_ai_service_are_one_unless_they_differ() {
        let (mcp, ai) = (("MCP_SERVER_URL", "http://mcp:1"), ("AI_PROCESSING_SERVICE_URL", "http://ai:2"));
        let key = ("API_KEY", "k");
        for (environment, expected) in [
            (Environment::of([key, mcp]), vec!["http://mcp:1"]),
            (Environment::of([key, ai]), vec!["http://ai:2"]),
            (Environment::of([key, ai, ("MCP_SERVER_URL", "http://ai:2")]), vec!["http://ai:2"]),
            (Environment::of([key, mcp, ai]), vec!["http://mcp:1", "http://ai:2"]),
        ] {
            let settings = Settings::read(&environment).unwrap();
            let found = std::iter::once(&settings.mcp_server).chain(&settings.ai_processing_service);
            assert_eq!(found.map(Upstream::url).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn every_mistake_is_reported_and_no_value_that_may_be_secret() {
        let environment = Environment::of([
            ("AIRTABLE_GATEWAY_API_KEY", "hush\u{1}"),
            ("SAGA_ORCHESTRATOR_URL", "hush"),
            ("HOST", "localhost"),
            ("PORT", "0"),
            ("UPSTREAM_TIMEOUT", "soon"),
        ]);
        let mistakes = Settings::read(&environment).unwrap_err();
        assert_eq!(
            mistakes,
            [
                "API_KEY: not set; set API_KEY, or API_KEY_FILE to the path of a file that holds it \
                 (clients send it as X-API-Key)",
                "AIRTABLE_GATEWAY_API_KEY: has characters that no HTTP header can carry; use letters and digits",
                "HOST: \"localhost\" is not an IP address; write 127.0.0.1, or 0.0.0.0 in containers",
                "PORT: \"0\" is not a port; write a number from 1 to 65535",
                "SAGA_ORCHESTRATOR_URL: not the URL of a server (relative URL without a base); \
                 write it like http://127.0.0.1:8000",
                "UPSTREAM_TIMEOUT: \"soon\" is not a duration above zero; \
                 write seconds or a number with a unit, like 5, 500ms or 2m",
            ]
        );
    }

    #[test]
    fn what_is_set_is_what_holds() {
        let read = |name: &str, value: &str| Settings::read(&Environment::of([("API_KEY", "k"), (name, value)]));
        let right = |name: &str, value: &str| read(name, value).unwrap();
        let origins = right("CORS_ORIGINS", "https://a.example, https://b.example:8443/").cors_origins;
        assert_eq!(origins, ["https://a.example", "https://b.example:8443"]);
        assert_eq!(right("CORS_ORIGINS", "none").cors_origins, [""; 0]);
        assert_eq!(right("RATE_LIMIT_RPM", "7").rate_limit.map(NonZeroU32::get), Some(7));
        assert_eq!(right("RATE_LIMIT_RPM", "off").rate_limit, None);
        assert_eq!(right("HOST", "127.0.0.1").rate_limit.map(NonZeroU32::get), Some(1000));
        assert_eq!(right("RATE_LIMIT_FAILURE", "closed").rate_limit_failure, Failure::Closed);
        assert_eq!(right("RATE_LIMIT_FAILURE", "open").rate_limit_failure, Failure::Open);
        let patient = right("LLM_ORCHESTRATOR_TIMEOUT", "2m");
        assert_eq!(patient.timeout_of(&patient.llm_orchestrator).as_secs(), 120);
        assert_eq!(patient.timeout_of(&patient.airtable_gateway).as_secs(), 30);
        assert!(right("HTTPS_ENABLED", "false").tls.is_none());
        for (name, value, expected) in [
            (
                "CORS_ORIGINS",
                "*",
                "CORS_ORIGINS: \"*\" is no origin; write each like https://app.example.com, \"*\" is none",
            ),
            (
                "CORS_ORIGINS",
                "https://a.example/x",
                "CORS_ORIGINS: \"https://a.example/x\" is no origin; write https://a.example",
            ),
            ("RATE_LIMIT_RPM", "0", "RATE_LIMIT_RPM: \"0\" is not a number of requests a minute; write 1000, or off"),
            ("RATE_LIMIT_FAILURE", "maybe", "RATE_LIMIT_FAILURE: \"maybe\" is neither; write open or closed"),
            ("HTTPS_ENABLED", "yes", "HTTPS_ENABLED: \"yes\" is not true or false; write one of them"),
        ] {
            assert_eq!(read(name, value).unwrap_err(), [expected]);
        }
        assert_eq!(
            read("HTTPS_ENABLED", "true").unwrap_err(),
            [
                "TLS_CERT_FILE: not set, and HTTPS_ENABLED is true; write the path of a PEM file with the certificate and its chain",
                "TLS_KEY_FILE: not set, and HTTPS_ENABLED is true; write the path of a PEM file with its key",
            ]
        );
    }

    #[test]
    fn debug_output_has_no_secret() {
        let environment = Environment::of([("API_KEY", "hush"), ("MCP_SERVER_URL", "http://user:hush@mcp:1")]);
        let shown = format!("{:?}", Settings::read(&environment).unwrap());
        assert!(!shown.contains("hush") && shown.contains("http://mcp:1"), "{shown}");
    }

    #[test]
    fn the_help_names_every_variable() {
        let source = include_str!("settings.rs");
        let documented = source
            .split('`')
            .filter(|word| word.len() > 3 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
        for name in documented {
            assert!(Settings::VARIABLES.contains(name), "{name}");
        }
    }
}
