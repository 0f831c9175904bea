//! What a service says of its routes (OpenAPI 3.1): a file beside its source, served as JSON at `/openapi.json`.
//!
//! What is so for the same reason everywhere is written once: `openapi.yml` beside this file, and `ANSWERS`.

use std::collections::BTreeSet;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};

/// What every service answers.
const COMMON: &str = include_str!("openapi.yml");
/// The methods that a path may have.
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];
/// The statuses of each operation that has this.
const ANSWERS: [(&str, &[&str]); 3] = [
    ("parameters", &["400", "503", "504"]),
    ("requestBody", &["400", "413", "415", "422", "503", "504"]),
    ("security", &["401", "503", "504"]),
];

/// A description.
#[derive(Debug, Clone)]
pub struct Description(Value);

impl Description {
    /// Reads a service's own file, which says what `COMMON` does not.
    ///
    /// # Panics
    /// If it is no YAML: it is part of the program, and a test reads it.
    pub fn new(own: &str, version: &str) -> Self {
        let read = |text| serde_saphyr::from_str::<Value>(text).expect("a file of this program is YAML");
        let mut document = read(COMMON);
        lay_over(&mut document, read(own));
        let mut description = Self(document);
        description.set("/info/version", version);
        for path in description.paths_mut().values_mut() {
            for method in METHODS {
                path.get_mut(method).into_iter().for_each(complete);
            }
        }
        description
    }

    /// Sets what only settings know. A place that is not there is not made.
    pub fn set(&mut self, pointer: &str, value: impl Into<Value>) {
        let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
        if let Some(Value::Object(parent)) = self.0.pointer_mut(parent) {
            parent.insert(name.to_owned(), value.into());
        }
    }

    /// Returns what is said of each path; of one that is another one, what is said there.
    pub fn paths(&self) -> impl Iterator<Item = (&str, &Value)> {
        let paths = self.0.get("paths").and_then(Value::as_object).into_iter().flatten();
        paths.map(|(path, item)| {
            let link = item.get("$ref").and_then(Value::as_str).map(|link| link.trim_start_matches('#'));
            (path.as_str(), link.and_then(|link| self.0.pointer(link)).unwrap_or(item))
        })
    }

    /// Returns what is said of each path, to be changed.
    pub fn paths_mut(&mut self) -> &mut Map<String, Value> {
        let paths = self.0.get_mut("paths").and_then(Value::as_object_mut);
        paths.expect("every description has paths: those of every service")
    }

    /// Returns the components of both; where they differ, ours.
    #[must_use]
    pub fn with_components_of(mut self, other: &Self) -> Self {
        let mut components = other.0.get("components").cloned().unwrap_or_default();
        lay_over(&mut components, self.0.get("components").cloned().unwrap_or_default());
        self.set("/components", components);
        self
    }

    /// Returns every operation, as `METHOD path`.
    pub fn operations(&self) -> BTreeSet<String> {
        let mut operations = BTreeSet::new();
        for (path, item) in self.paths() {
            let methods = METHODS.iter().filter(|method| item.get(method).is_some());
            operations.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
        }
        operations
    }

    /// Returns the route `/openapi.json`.
    pub fn routes(self) -> Router {
        let document = self.0;
        Router::new().route("/openapi.json", get(async move || Json(document)))
    }
}

/// Adds an answer that is described for every service, unless the operation says something of it itself.
pub fn answer(operation: &mut Value, status: &str) {
    if let Some(Value::Object(responses)) = operation.get_mut("responses") {
        let link = json!({ "$ref": format!("#/components/responses/{status}") });
        responses.entry(status).or_insert(link);
    }
}

fn complete(operation: &mut Value) {
    for (what, statuses) in ANSWERS {
        if operation.get(what).is_some() {
            statuses.iter().for_each(|status| answer(operation, status));
        }
    }
}

/// Lays one document over another: objects are put together, anything else is replaced.
fn lay_over(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (name, value) in above {
                lay_over(below.entry(name).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "
info: { title: x }
paths:
  /a:
    post: { security: [{ user: [] }], requestBody: {}, responses: { '200': { description: ok }, '401': { description: own } } }
  /b: { $ref: '#/paths/~1a' }
";

    #[test]
    fn what_is_so_everywhere_is_added_and_what_is_said_stays() {
        let description = Description::new(OWN, "1.2");
        assert_eq!(description.0.pointer("/info"), Some(&json!({ "title": "x", "version": "1.2" })));
        let responses = description.0.pointer("/paths/~1a/post/responses").and_then(Value::as_object).unwrap();
        let statuses: Vec<&String> = responses.keys().collect();
        assert_eq!(statuses, ["200", "400", "401", "413", "415", "422", "503", "504"]);
        assert_eq!(responses["401"], json!({ "description": "own" }));
        assert!(description.0.pointer("/components/responses/413").is_some());
    }

    #[test]
    fn a_path_that_is_another_one_has_its_operations() {
        let operations = Description::new(OWN, "1").operations();
        for operation in ["POST /a", "POST /b", "GET /livez", "GET /openapi.json"] {
            assert!(operations.contains(operation), "{operation}");
        }
    }

    #[test]
    fn settings_are_set_where_there_is_a_place() {
        let mut description = Description::new(OWN, "1");
        description.set("/paths/~1a/post/summary", "s");
        description.set("/nowhere/at/all", "s");
        assert_eq!(description.0.pointer("/paths/~1a/post/summary"), Some(&json!("s")));
    }
}
