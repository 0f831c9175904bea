//! Kind `qdrant`: whether the vector database is ready, and what it says of a collection (Qdrant's REST API, the
//! operations `root`, `readyz` and `get_collection` of its OpenAPI description).
//!
//! The JSON that `json` and `expr` see: `version`, and of the collection `status`, `points_count`,
//! `indexed_vectors_count`, `segments_count` …, as it is answered.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::HeaderName;
use kit::config::{Cursor, Fields};
use serde_json::{Map, Value as Json};

use super::address::Address;
use super::expect::excerpt;
use super::http::{Answer, Api};
use super::kinds::{Expectation, Kind, Probe, Target};
use super::observation::{Facts, Outcome, Reason, ReasonCode};
use super::run::Run;

/// What a name may not hold, and how long it may be (Qdrant, `validate_collection_name`).
const NOT_IN_NAMES: [char; 9] = ['<', '>', ':', '"', '/', '\\', '|', '?', '*'];
const MAX_NAME_BYTES: usize = 255;
/// Who asks (Qdrant, security guide).
const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// A vector database.
pub(crate) struct Qdrant;

impl Kind for Qdrant {
    fn name(&self) -> &'static str {
        "qdrant"
    }

    fn expectations(&self) -> &'static [Expectation] {
        Expectation::OF_SERVERS
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let probe = decode(&fields);
        fields.end();
        Some(Arc::new(probe?))
    }
}

#[derive(Debug)]
struct QdrantProbe {
    api: Api,
    collection: Option<String>,
    min_points: u64,
}

fn decode(fields: &Fields<'_>) -> Option<QdrantProbe> {
    let api = Api::decode(fields);
    let collection = fields.get("collection").map_or(Some(None), |c| decode_collection(&c).map(Some));
    let min_points = fields.get("min_points").map_or(Some(0), |c| c.whole(1..=1_000_000_000_000));
    let has_key = fields.has("api_key") | fields.has("api_key_file");
    let key = fields.secret("api_key", "api_key_file");
    if fields.has("min_points") && !fields.has("collection") {
        fields.cursor().mistake("\"min_points\" counts those of a collection; write collection: …");
    }
    let mut api = api?;
    match &key {
        Some(key) if !api.show_with_each(API_KEY, key) => {
            fields.cursor().mistake("the key holds characters that a header cannot carry");
            return None;
        }
        None if has_key => return None,
        Some(_) | None => {}
    }
    Some(QdrantProbe { api, collection: collection?, min_points: min_points? })
}

fn decode_collection(cursor: &Cursor<'_>) -> Option<String> {
    let name = cursor.text()?;
    let is_strange =
        name.contains(NOT_IN_NAMES) || name.contains(char::is_control) || [".", ".."].contains(&name.as_str());
    if name.is_empty() || name.len() > MAX_NAME_BYTES || is_strange {
        cursor.mistake(format!("{} cannot be the name of a collection", cursor.node().shown()));
        return None;
    }
    Some(name)
}

impl Probe for QdrantProbe {
    fn target(&self) -> Target {
        let target = self.api.target();
        let of = self.collection.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        Target { shown: format!("{}{of}", target.shown), ..target }
    }

    fn connects_to(&self) -> Option<&Address> {
        self.api.connects_to()
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        self.hold(run).boxed()
    }
}

impl QdrantProbe {
    async fn hold(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let root = self.api.get(run, &[], &[]).await?;
        let mut facts = read_root(&root)?;
        let ready = self.api.get(run, &["readyz"], &[]).await?;
        if ready.status != 200 {
            let said = &ready.excerpt;
            return Err(Outcome::fail(
                ReasonCode::Rejected,
                format!("it is not ready: status {}: {said}", ready.status),
            ));
        }
        if let Some(name) = &self.collection {
            let answer = self.api.get(run, &["collections", name], &[]).await?;
            facts.extend(self.judge(run, name, &answer)?);
        }
        Ok(Facts { body: Some(Json::Object(facts).to_string().into()), ..Facts::default() })
    }

    /// Judges a collection by its colour (Qdrant manual, "Collection info") and its points.
    fn judge(&self, run: &mut Run, name: &str, answer: &Answer) -> Result<Map<String, Json>, Outcome> {
        let found = answer.json.as_ref().and_then(|json| json.get("result")).and_then(Json::as_object);
        let Some(found) = found else { return Err(refusal(name, answer)) };
        let text = |key| found.get(key).and_then(Json::as_str).unwrap_or_default();
        let (status, optimizer) = (text("status"), optimizer_error(found));
        let points = found.get("points_count").and_then(Json::as_u64);
        let because = optimizer.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        match status {
            "red" => {
                return Err(Outcome::fail(
                    ReasonCode::Body,
                    format!("collection {name:?} is red, an operation failed{because}"),
                ));
            }
            "green" | "yellow" => {}
            "grey" => {
                let text = format!("collection {name:?} is grey, its optimizations wait for the next update");
                run.soft.push(Reason::new(ReasonCode::Partial, text));
            }
            _ => return Err(refusal(name, answer)),
        }
        if let Some(error) = optimizer {
            run.soft.push(Reason::new(ReasonCode::Partial, format!("collection {name:?} is not optimized: {error}")));
        }
        let points = points.unwrap_or_default();
        run.seen.remark(format!("{status}, {points} points"));
        if points < self.min_points {
            let text = format!("collection {name:?} has {points} points, fewer than {}", self.min_points);
            return Err(Outcome::fail(ReasonCode::Limit, text));
        }
        Ok(found.iter().filter(|(key, _)| *key != "config").map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// `ok`, or `{ "error": … }`.
fn optimizer_error(found: &Map<String, Json>) -> Option<String> {
    let error = found.get("optimizer_status")?.get("error")?;
    Some(excerpt(error.as_str().unwrap_or("it does not say why").as_bytes()))
}

/// Takes the version from what stands at the root, and makes sure that it is Qdrant.
fn read_root(root: &Answer) -> Result<Map<String, Json>, Outcome> {
    let text = |key| root.json.as_ref().and_then(|json| json.get(key)).and_then(Json::as_str);
    match (text("title"), text("version")) {
        (Some(title), Some(version)) if title.starts_with("qdrant") => {
            Ok([("version".to_owned(), Json::from(version))].into_iter().collect())
        }
        _ => Err(root.refusal("the API of Qdrant")),
    }
}

/// What is wrong with the answer for a collection; errors are at `status.error`.
fn refusal(name: &str, answer: &Answer) -> Outcome {
    let error = answer.json.as_ref().and_then(|json| json.get("status")?.get("error")?.as_str());
    match (answer.status, error) {
        (404, Some(error)) => {
            let error = excerpt(error.as_bytes());
            Outcome::fail(ReasonCode::Rejected, format!("there is no collection {name:?}: {error}"))
        }
        (401 | 403, _) => {
            let said = &answer.excerpt;
            Outcome::fail(ReasonCode::Auth, format!("it wants a key, or refuses ours; write api_key_file: …: {said}"))
        }
        _ => answer.refusal("the API of Qdrant"),
    }
}
