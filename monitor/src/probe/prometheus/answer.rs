//! Reads the answers of Prometheus' HTTP API (<https://prometheus.io/docs/prometheus/latest/querying/api/>).

use serde_json::{Map, Value as Json, json};

use crate::probe::expect::excerpt;
use crate::probe::http::Answer;
use crate::probe::observation::{Outcome, Reason, ReasonCode};

/// Series that `json` and `expr` see one by one; counts and limits are over all.
const MAX_SERIES: usize = 100;

/// One series' labels, value and the time of the question.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    labels: Map<String, Json>,
    pub(super) value: f64,
    /// When it was asked, in seconds since 1970.
    pub(super) at: f64,
}

impl Series {
    /// `up{job="shop"} is 0`, with its labels in their order.
    pub(super) fn shown(&self) -> String {
        format!("{} is {}", self.name(), self.value)
    }

    fn name(&self) -> String {
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let name = self.labels.get("__name__").map(text).unwrap_or_default();
        let labels = self.labels.iter().filter(|(label, _)| *label != "__name__");
        let labels: Vec<String> = labels.map(|(label, value)| format!("{label}={value}")).collect();
        match (name.is_empty(), labels.is_empty()) {
            (true, true) => "the value".to_owned(),
            (false, true) => excerpt(name.as_bytes()),
            _ => excerpt(format!("{name}{{{}}}", labels.join(",")).as_bytes()),
        }
    }
}

/// Returns the series of an answer, and what the server warns of.
///
/// # Errors
/// The fail in words if the server refuses the query, or is none of Prometheus.
pub(super) fn read(answer: &Answer) -> Result<(Vec<Series>, Vec<Reason>), Outcome> {
    let of_api = answer.json.as_ref().filter(|json| json.get("status").is_some_and(Json::is_string));
    let Some(json) = of_api else { return Err(answer.refusal("the API of Prometheus")) };
    let text = |key| json.get(key).and_then(Json::as_str).unwrap_or_default();
    if text("status") != "success" {
        return Err(refused(answer, text("errorType"), text("error")));
    }
    let data = json.get("data").unwrap_or(&Json::Null);
    let kind = data.get("resultType").and_then(Json::as_str).unwrap_or_default();
    let result = data.get("result").unwrap_or(&Json::Null);
    let wrong = || answer.refusal("the API of Prometheus");
    let series: Option<Vec<Series>> = match kind {
        "vector" => result.as_array().and_then(|items| items.iter().map(one).collect()),
        "scalar" => sample(result).map(|(at, value)| vec![Series { labels: Map::new(), value, at }]),
        "matrix" => return Err(unfit("it gives many samples of a series (a matrix), not one")),
        "string" => return Err(unfit("it gives a text, not a number")),
        _ => return Err(wrong()),
    };
    if series.is_none()
        && result.as_array().is_some_and(|items| items.iter().any(|item| item.get("histogram").is_some()))
    {
        return Err(unfit("it gives histograms, not numbers"));
    }
    Ok((series.ok_or_else(wrong)?, warnings(json)))
}

fn refused(answer: &Answer, kind: &str, error: &str) -> Outcome {
    let (code, meaning) = match (kind, answer.status) {
        (_, 401 | 403) => return answer.refusal("the API of Prometheus"),
        ("bad_data", _) => (ReasonCode::Rejected, "the query is wrong"),
        ("execution", _) => (ReasonCode::Rejected, "the query cannot be run"),
        ("timeout" | "canceled", _) => (ReasonCode::Rejected, "the query took too long"),
        ("unavailable", _) => (ReasonCode::Rejected, "it is not ready"),
        _ => (ReasonCode::Rejected, "it answers with an error"),
    };
    Outcome::fail(code, format!("{meaning}: {}: {}", excerpt(kind.as_bytes()), excerpt(error.as_bytes())))
}

fn unfit(why: &str) -> Outcome {
    Outcome::fail(ReasonCode::Rejected, format!("the query does not fit: {why}"))
}

fn one(item: &Json) -> Option<Series> {
    let labels = item.get("metric")?.as_object()?.clone();
    let (at, value) = sample(item.get("value")?)?;
    Some(Series { labels, value, at })
}

/// A time as a number and a value as a text, which may be `NaN`, `+Inf` or `-Inf`.
fn sample(pair: &Json) -> Option<(f64, f64)> {
    let [at, value] = pair.as_array()?.as_slice() else { return None };
    Some((at.as_f64()?, value.as_str()?.parse().ok()?))
}

/// An answer may be whole and yet not all: Thanos says so when a store did not answer.
fn warnings(json: &Json) -> Vec<Reason> {
    let warnings = json.get("warnings").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let texts = warnings.iter().filter_map(Json::as_str).take(1);
    texts.map(|text| Reason::new(ReasonCode::Partial, format!("it warns: {}", excerpt(text.as_bytes())))).collect()
}

/// What `json` and `expr` see.
pub(super) fn facts(series: &[Series]) -> Map<String, Json> {
    let mut facts = Map::new();
    facts.insert("count".to_owned(), series.len().into());
    if let [one] = series {
        facts.insert("value".to_owned(), number(one.value));
    }
    for (key, value) in [("min", fold(series, f64::min)), ("max", fold(series, f64::max))] {
        if let Some(value) = value {
            facts.insert(key.to_owned(), number(value));
        }
    }
    let each = |series: &Series| json!({ "labels": series.labels, "value": number(series.value) });
    facts.insert("series".to_owned(), series.iter().take(MAX_SERIES).map(each).collect());
    facts
}

/// Over all values; one that is NaN makes it NaN, as it is not known.
fn fold(series: &[Series], better: fn(f64, f64) -> f64) -> Option<f64> {
    let mut values = series.iter().map(|series| series.value);
    let first = values.next()?;
    Some(values.fold(first, |one, other| if one.is_nan() || other.is_nan() { f64::NAN } else { better(one, other) }))
}

fn number(value: f64) -> Json {
    serde_json::Number::from_f64(value).map_or_else(|| Json::String(value.to_string()), Json::Number)
}

/// `up{job="shop"} is 1` or `3 series from 0 to 7`
pub(super) fn note(series: &[Series]) -> String {
    match (series, fold(series, f64::min), fold(series, f64::max)) {
        ([one], ..) => one.shown(),
        (_, Some(min), Some(max)) => format!("{} series from {min} to {max}", series.len()),
        _ => "no series".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, text: &str) -> Answer {
        let (json, excerpt) = (serde_json::from_str(text).ok(), excerpt(text.as_bytes()));
        Answer { status, headers: Vec::new(), json, excerpt, body: text.to_owned().into() }
    }

    fn vector(series: &str) -> Answer {
        answer(200, &format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#))
    }

    #[test]
    fn values_that_are_no_numbers_are_texts_and_hide_the_others() {
        let two = vector(r#"{"metric":{"a":"1"},"value":[10,"7"]},{"metric":{"a":"2"},"value":[10,"NaN"]}"#);
        let (series, warnings) = read(&two).unwrap();
        assert!(warnings.is_empty());
        let facts = Json::Object(facts(&series));
        assert_eq!((&facts["count"], &facts["max"], &facts["min"]), (&json!(2), &json!("NaN"), &json!("NaN")));
        assert_eq!(facts["series"][1], json!({ "labels": { "a": "2" }, "value": "NaN" }));
        let one = read(&vector(r#"{"metric":{"__name__":"up","job":"x"},"value":[10,"+Inf"]}"#)).unwrap().0;
        assert_eq!(note(&one), "up{job=\"x\"} is inf");
        assert_eq!(self::facts(&one)["value"], json!("inf"));
        assert_eq!(note(&[]), "no series");
    }

    #[test]
    fn what_is_no_answer_to_use_is_told_in_words() {
        for (answer, code, text) in [
            (
                answer(400, r#"{"status":"error","errorType":"bad_data","error":"1:3: parse error"}"#),
                ReasonCode::Rejected,
                "the query is wrong: bad_data: 1:3: parse error",
            ),
            (
                answer(503, r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#),
                ReasonCode::Rejected,
                "the query took too long: timeout: query timed out",
            ),
            (
                answer(503, "Service Unavailable"),
                ReasonCode::Rejected,
                "it cannot answer now: status 503: Service Unavailable",
            ),
            (answer(401, ""), ReasonCode::Auth, "it wants to know who we are, or refuses it: status 401"),
            (
                answer(200, "<html>"),
                ReasonCode::Protocol,
                "the answer is not of the API of Prometheus; is the URL right?: status 200: <html>",
            ),
            (answer(404, "no"), ReasonCode::Status, "the API of Prometheus is not at this URL: status 404: no"),
            (
                answer(200, r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#),
                ReasonCode::Rejected,
                "the query does not fit: it gives many samples of a series (a matrix), not one",
            ),
            (
                vector(r#"{"metric":{},"histogram":[10,{}]}"#),
                ReasonCode::Rejected,
                "the query does not fit: it gives histograms, not numbers",
            ),
        ] {
            assert_eq!(read(&answer), Err(Outcome::fail(code, text)));
        }
    }
}
