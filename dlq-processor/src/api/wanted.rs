//! The query of routes that choose letters: the fields of a filter, and what else the route takes. What is neither is refused.

use axum::extract::{FromRequestParts, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use kit::http::ApiError;
use serde::de::DeserializeOwned;
use url::form_urlencoded::{Serializer, parse};

use crate::ledger::Filter;

/// Fields of a filter that a query has: only plans look into data.
const FIELDS: [&str; 10] = [
    "source",
    "queue",
    "name",
    "state",
    "class",
    "fingerprint",
    "message",
    "message_re",
    "failed_after",
    "failed_before",
];

/// Longest text of a refusal that is handed on, in characters: as long as any other one (`kit::http`).
const MAX_SHOWN_CHARS: usize = 500;

/// Which letters, checked, and what else is wanted.
#[derive(Debug)]
pub(super) struct Wanted<T> {
    pub(super) filter: Filter,
    pub(super) also: T,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Wanted<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        read(parts.uri.query().unwrap_or_default()).map_err(ApiError::bad_request)
    }
}

/// Serde's `flatten` would let pass what nobody knows.
fn read<T: DeserializeOwned>(query: &str) -> Result<Wanted<T>, String> {
    let (of_filter, others): (Vec<_>, Vec<_>) =
        parse(query.as_bytes()).partition(|(name, _)| FIELDS.contains(&name.as_ref()));
    let filter: Filter = read_pairs(&of_filter)?;
    let also = read_pairs(&others)?;
    filter.check()?;
    Ok(Wanted { filter, also })
}

fn read_pairs<T: DeserializeOwned>(pairs: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<T, String> {
    let query = Serializer::new(String::new()).extend_pairs(pairs).finish();
    let uri: Uri = format!("/?{query}").parse().map_err(|_error| "the query is too long".to_owned())?;
    let Query(wanted) = Query::try_from_uri(&uri).map_err(|refused| short(&refused.body_text()))?;
    Ok(wanted)
}

/// It may repeat all that was asked.
fn short(refusal: &str) -> String {
    refusal.chars().take(MAX_SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Also {
        before: Option<i64>,
        reason: String,
    }

    #[test]
    fn a_query_is_a_filter_and_what_else_is_taken_and_nothing_besides() {
        let mut all = json!({ "data": { "pointer": "/a", "value": 1 } });
        for field in FIELDS {
            let text = match field {
                "state" => "parked",
                "class" => "auth",
                "failed_after" | "failed_before" => "2026-01-31T12:00:00Z",
                _ => "a b&c=d",
            };
            all[field] = json!(text);
        }
        let whole: Filter = serde_json::from_value(all.clone()).unwrap();
        assert_eq!(serde_json::to_value(&whole).unwrap(), all, "every field of a filter, but those that are skipped");
        let texts = all.as_object().unwrap().iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
        let query = Serializer::new(String::new()).extend_pairs(texts).append_pair("reason", "x").finish();
        let wanted = read::<Also>(&(query + "&before=7")).unwrap();
        assert_eq!(wanted.filter, Filter { data: None, ..whole });
        assert_eq!(wanted.also, Also { before: Some(7), reason: "x".to_owned() });
        for (query, why) in [
            ("", "missing field `reason`"),
            ("reason=x&data=1", "unknown field `data`"),
            ("reason=x&surprise=1", "unknown field `surprise`"),
            ("reason=x&state=sad", "state is \"sad\"; write one of observed"),
            ("reason=x&queue=a&queue=b", "duplicate field `queue`"),
            ("reason=x&before=soon", "invalid digit"),
            ("reason=x&message_re=a(", "is no regular expression"),
        ] {
            let refused = read::<Also>(query).unwrap_err();
            assert!(refused.contains(why), "{query}: {refused}");
        }
    }
}
