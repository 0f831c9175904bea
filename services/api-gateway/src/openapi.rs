//! What the gateway says of its routes: its own, and those of the table as the services behind describe them.

use kit::openapi::{Description, answer};
use serde_json::{Value, json};

use crate::app::VERSION;
use crate::table::{ANY, Guard, ROWS, Row, Service};

/// What platform-services says of itself.
const PLATFORM: &str = include_str!("../../platform-services/src/openapi.yml");
/// What is described of a path that takes any method.
const OF_ANY: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// Returns the description.
pub(crate) fn description() -> Description {
    let platform = Description::new(PLATFORM, VERSION);
    let mut description = Description::new(include_str!("openapi.yml"), VERSION).with_components_of(&platform);
    for row in &ROWS {
        for (path, method, operation) in operations(row, &platform) {
            if let Value::Object(item) = description.paths_mut().entry(path).or_insert_with(|| json!({})) {
                item.insert(method, operation);
            }
        }
    }
    description
}

/// Returns what is said of a row: path, method, operation.
fn operations(row: &Row, platform: &Description) -> Vec<(String, String, Value)> {
    let method = row.method.to_lowercase();
    if row.service != Service::Platform {
        let methods = if row.method == ANY { OF_ANY.map(str::to_owned).to_vec() } else { vec![method] };
        let path = row.path.replace("{*", "{");
        return methods.into_iter().map(|method| (path.clone(), method, with_own(row, unknown(row)))).collect();
    }
    let (place, is_tree) = row.target.split_once("{*").map_or((row.target, false), |(place, _)| (place, true));
    let start = row.path.split_once("{*").map_or(row.path, |(start, _)| start);
    let below = platform.paths().filter_map(|(path, item)| Some((path.strip_prefix(place)?, item.get(&method)?)));
    let wanted = below.filter(|(rest, _)| is_tree || rest.is_empty());
    wanted
        .map(|(rest, operation)| (format!("{start}{rest}"), method.clone(), with_own(row, operation.clone())))
        .collect()
}

/// Returns what is said of a service that does not describe itself.
fn unknown(row: &Row) -> Value {
    let names = row.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name: &str| json!({ "name": name.trim_start_matches('*'), "in": "path", "required": true, "schema": { "type": "string" } });
    let security = match row.guard {
        Guard::Key(_) => json!([{ "service": [] }]),
        Guard::User => json!([{ "user": [] }]),
        Guard::Open | Guard::Theirs | Guard::TheirsIfShown => json!([]),
    };
    json!({
        "summary": "Handed on to the service behind.",
        "tags": ["services"],
        "security": security,
        "parameters": names.map(parameter).collect::<Vec<_>>(),
        "responses": { "default": { "description": "What the service behind answers." } },
    })
}

/// Adds what the gateway itself answers, and names statuses as clients of this path know them.
fn with_own(row: &Row, mut operation: Value) -> Value {
    if let Some(Value::Object(responses)) = operation.get_mut("responses") {
        for (there, here) in row.statuses {
            if let Some(response) = responses.remove(&there.to_string()) {
                responses.entry(here.to_string()).or_insert(response);
            }
        }
    }
    for status in ["400", "401", "408", "413", "429", "502", "503", "504"] {
        answer(&mut operation, status);
    }
    if matches!(row.guard, Guard::Key(_)) {
        answer(&mut operation, "403");
    }
    operation
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kit::config::Environment;
    use kit::service::Settings as _;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::app::App;
    use crate::settings::Settings;

    /// As the document writes a route.
    fn written(route: &str, described: &BTreeSet<String>) -> Vec<String> {
        let (method, path) = route.split_once(' ').unwrap();
        if let Some((tree, _)) = path.split_once("analytics/{*") {
            let below = format!("{method} {tree}analytics/");
            return described.iter().filter(|operation| operation.starts_with(&below)).cloned().collect();
        }
        let methods = if method == ANY { OF_ANY.to_vec() } else { vec![method] };
        methods.iter().map(|method| format!("{} {}", method.to_uppercase(), path.replace("{*", "{"))).collect()
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let settings = Settings::read(&Environment::of([("API_KEY", "k")])).unwrap();
        let router = App::new(settings, CancellationToken::new()).router();
        let described = description().operations();
        let routes = testkit::routes(&router);
        assert_eq!(described, routes.iter().flat_map(|route| written(route, &described)).collect());
        for below in ["events", "metrics", "usage/{user}", "costs", "dashboard"] {
            assert!(described.contains(&format!("GET /api/v1/analytics/{below}")), "{below}");
        }
    }

    #[test]
    fn statuses_are_those_that_clients_of_the_path_know() {
        let description = description();
        let statuses = |path: &str| {
            let (_, item) = description.paths().find(|(known, _)| *known == path).unwrap();
            item["post"]["responses"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
        };
        let shared = ["400", "401", "408", "413", "429", "502", "503", "504"];
        assert_eq!(statuses("/api/auth/register"), [&["200"], &shared[..]].concat());
        assert_eq!(statuses("/api/v1/auth/register"), [&["201"], &shared[..]].concat());
    }
}
