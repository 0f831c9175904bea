//! Where the configuration comes from: a file, or what is built in.

use std::path::Path;

use kit::config::{Environment, Source};
use kit::env::Variables;
use monitor::Config;
use secrecy::ExposeSecret;

/// What is watched if no file says it.
pub const BUILT_IN: &str = include_str!("built-in.yml");
/// What messages call it.
const BUILT_IN_NAME: &str = "built-in configuration";
/// Prefix of overriding environment variables: `AUTH_MONITOR_LISTEN` sets the key `listen`.
const PREFIX: &str = "AUTH_MONITOR";
/// Where it listens, if nothing else is said.
pub(crate) const LISTEN: &str = "127.0.0.1:8090";
const DATA_DIR: &str = "data/auth-monitor";
/// Secrets that configurations name as `${NAME}`, and that may be in a file that `NAME_FILE` names.
const SECRETS: [&str; 3] = ["API_KEY", "TEST_USER_PASSWORD", "JWT_SECRET"];

/// Reads the configuration at a path, or the built-in one.
pub fn load(path: Option<&Path>, environment: &Environment) -> Config {
    let source = Source { path: path.unwrap_or(Path::new(BUILT_IN_NAME)), environment, prefix: PREFIX };
    let config = match path {
        Some(_) => Config::load_of(&source),
        None => Config::parse(BUILT_IN, &source),
    };
    config.or_set("listen", LISTEN).or_set("data_dir", DATA_DIR)
}

/// Returns the process's variables, with the secrets that are in files.
///
/// # Errors
/// Every file that cannot be read, one line each.
pub(crate) fn environment() -> Result<Environment, Vec<String>> {
    with_secrets(Environment::of_process())
}

fn with_secrets(environment: Environment) -> Result<Environment, Vec<String>> {
    let variables = Variables::new(&environment);
    let found = SECRETS.map(|name| variables.secret(name).map(|secret| (name, secret)));
    let found = variables.finish(found)?;
    let add = |all: Environment, (name, secret): (&str, secrecy::SecretString)| all.with(name, secret.expose_secret());
    Ok(found.into_iter().flatten().fold(environment, add))
}

#[cfg(test)]
mod tests {
    use monitor::app::Plan;

    use super::*;
    use crate::kinds::{Means, kinds};

    fn plan(environment: &Environment) -> Plan {
        Plan::of(&load(None, environment), &kinds(&Means::new("test"))).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_built_in_configuration_is_right_without_any_variable() {
        let plan = plan(&Environment::default());
        assert_eq!((plan.listen.to_string().as_str(), plan.data_dir.to_str()), (LISTEN, Some(DATA_DIR)));
        let services: Vec<&str> = plan.services.iter().map(|service| &*service.name).collect();
        assert_eq!(services[..3], ["platform-services", "api-gateway", "airtable-gateway"]);
    }

    #[test]
    fn variables_say_where_services_are_and_where_to_listen() {
        let environment = Environment::of([
            ("AUTH_MONITOR_LISTEN", "0.0.0.0:9999"),
            ("AUTH_MONITOR_PLATFORM_URL", "http://platform:1"),
            ("AUTH_MONITOR_GATEWAY_URL", "http://gateway:2"),
            ("AUTH_MONITOR_AIRTABLE_URL", "http://airtable:3"),
            // Another program's.
            ("MONITOR_LISTEN", "127.0.0.1:1"),
        ]);
        let plan = plan(&environment);
        assert_eq!(plan.listen.to_string(), "0.0.0.0:9999");
        let target = |name: &str| plan.service(name).unwrap().checks[1].question.probe.target().shown;
        assert!(target("platform-services").starts_with("http://platform:1/"), "{}", target("platform-services"));
        assert!(target("api-gateway").starts_with("http://gateway:2/"));
        assert!(target("airtable-gateway").starts_with("http://airtable:3/"));
    }

    #[test]
    fn secrets_may_be_in_files_and_both_at_once_is_a_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "k3y-of-services\n").unwrap();
        let environment = Environment::default().with("API_KEY_FILE", file.to_str().unwrap());
        assert_eq!(with_secrets(environment.clone()).unwrap().get("API_KEY"), Some("k3y-of-services"));
        let both = with_secrets(environment.with("API_KEY", "other")).unwrap_err();
        assert_eq!(both, ["API_KEY: API_KEY and API_KEY_FILE are both set; keep one of the two"]);
    }
}
