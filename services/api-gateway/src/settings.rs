//! The gateway's settings, read once from the environment and checked whole.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use axum::http::HeaderValue;
use kit::config::Environment;
use kit::env::Variables;
use kit::service;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

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
    /// `HEALTH_CHECK_TIMEOUT`, default 5 s: what existing deployments use.
    pub health_check_timeout: Duration,
    /// `UPSTREAM_TIMEOUT`, default 30 s: from the start of a request to the head of its answer, and then between two
    /// pieces of the answer's body. What existing clients wait.
    pub upstream_timeout: Duration,
}

impl service::Settings for Settings {
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "The platform's front door: aggregate health, and the way to the Airtable gateway.";
    const VARIABLES: &'static str = "\
Environment:
  API_KEY                    key that clients send as X-API-Key; required
  AIRTABLE_GATEWAY_API_KEY   key sent to the Airtable gateway [API_KEY]
                             (either key may be in a file: API_KEY_FILE, AIRTABLE_GATEWAY_API_KEY_FILE)
  HOST                       address to listen on; 0.0.0.0 in containers [127.0.0.1]
  PORT                       port to listen on [8000]
  AIRTABLE_GATEWAY_URL       [http://127.0.0.1:8002]
  MCP_SERVER_URL             [AI_PROCESSING_SERVICE_URL]
  AI_PROCESSING_SERVICE_URL  [http://127.0.0.1:8001]
  LLM_ORCHESTRATOR_URL       [http://127.0.0.1:8003]
  PLATFORM_SERVICES_URL      [http://127.0.0.1:8007]
  AUTOMATION_SERVICES_URL    [http://127.0.0.1:8006]
  SAGA_ORCHESTRATOR_URL      [http://127.0.0.1:8008]
  HEALTH_CHECK_TIMEOUT       longest wait for one service's health, as 5 (seconds) or 500ms [5]
  UPSTREAM_TIMEOUT           longest wait for a service's answer [30]
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
        let ai_url = variables.base_url("AI_PROCESSING_SERVICE_URL").unwrap_or_else(|| local(8001));
        let mcp_url = variables.base_url("MCP_SERVER_URL").unwrap_or_else(|| ai_url.clone());
        let other = variables.text("AI_PROCESSING_SERVICE_URL").is_some() && ai_url != mcp_url;
        let settings = Self {
            address: variables.address(Self::PORT),
            api_key,
            airtable_gateway_api_key: own_key,
            airtable_gateway: upstream("airtable-gateway", "AIRTABLE_GATEWAY_URL", 8002),
            mcp_server: Upstream::new("mcp-server", mcp_url),
            ai_processing_service: other.then(|| Upstream::new("ai-processing-service", ai_url)),
            llm_orchestrator: upstream("llm-orchestrator", "LLM_ORCHESTRATOR_URL", 8003),
            platform_services: upstream("platform-services", "PLATFORM_SERVICES_URL", 8007),
            automation_services: upstream("automation-services", "AUTOMATION_SERVICES_URL", 8006),
            saga_orchestrator: upstream("saga-orchestrator", "SAGA_ORCHESTRATOR_URL", 8008),
            health_check_timeout: variables.duration("HEALTH_CHECK_TIMEOUT", Duration::from_secs(5)),
            upstream_timeout: variables.duration("UPSTREAM_TIMEOUT", Duration::from_secs(30)),
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
