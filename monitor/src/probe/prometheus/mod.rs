//! Kind `prometheus`: one instant query (`/api/v1/query`, the HTTP API of Prometheus, Mimir, Thanos, VictoriaMetrics),
//! judged by its own limits or by what `json` and `expr` see.
//!
//! The JSON: `count` of series, `value` where there is one, `min` and `max` over all, `series: [{ labels, value }]`, and
//! with `max_age` also `newest_age_secs`. What is no number (NaN, infinities) is a text, so that it fits no comparison.

mod answer;
mod selector;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::{Cursor, Fields, show_duration};

use self::answer::{Series, read};
use self::selector::is_selector;
use super::address::Address;
use super::expect::excerpt;
use super::http::Api;
use super::kinds::{Expectation, Kind, Probe, Target};
use super::observation::{Facts, Outcome, ReasonCode};
use super::run::Run;
use super::sql::time_for_query;

/// Longest query, in bytes: it travels in a URL, of which servers and proxies take 8 KiB, and it may grow when escaped.
const MAX_QUERY_BYTES: usize = 2048;
/// Series that are named in a message.
const MAX_NAMED: usize = 3;

/// Asks Prometheus.
pub(crate) struct Prometheus;

impl Kind for Prometheus {
    fn name(&self) -> &'static str {
        "prometheus"
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
struct PrometheusProbe {
    api: Api,
    query: String,
    min: Option<f64>,
    max: Option<f64>,
    empty: Empty,
    age: Option<Age>,
}

/// What an answer without any series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Empty {
    /// Nothing is known.
    Fail,
    /// Nothing is wrong: the query looks for what is.
    Pass,
}

/// How old the newest sample may be.
#[derive(Debug)]
struct Age {
    max: Duration,
    selector: String,
}

fn decode(fields: &Fields<'_>) -> Option<PrometheusProbe> {
    let api = Api::decode(fields);
    let query = fields.require("query");
    let text = query.as_ref().and_then(decode_query);
    let bound = |key| fields.get(key).map_or(Some(None), |c| c.number().map(Some));
    let (min, max) = (bound("min"), bound("max"));
    let empty =
        fields.get("empty").map_or(Some(Empty::Fail), |c| c.one_of(&[("fail", Empty::Fail), ("pass", Empty::Pass)]));
    let age = decode_age(fields, text.as_deref());
    let (min, max) = (min?, max?);
    if min.zip(max).is_some_and(|(min, max)| min > max) {
        fields.cursor().mistake("\"max\" is less than \"min\"");
        return None;
    }
    Some(PrometheusProbe { api: api?, query: text?, min, max, empty: empty?, age: age? })
}

fn decode_query(cursor: &Cursor<'_>) -> Option<String> {
    let query = cursor.text()?;
    if query.trim().is_empty() || query.len() > MAX_QUERY_BYTES {
        cursor.mistake(format!("expected a query of 1 to {MAX_QUERY_BYTES} bytes, such as up{{job=\"shop\"}}"));
        return None;
    }
    Some(query)
}

/// The API gives the age of samples of a selector alone: what is computed is always as old as the question.
fn decode_age(fields: &Fields<'_>, query: Option<&str>) -> Option<Option<Age>> {
    let (written, selector) = (fields.get("max_age"), fields.get("age_of"));
    let of = selector.as_ref().map(|cursor| (cursor.text(), cursor));
    let Some(written) = written else {
        if let Some((_, cursor)) = of {
            cursor.mistake("\"age_of\" says whose age \"max_age\" limits; write max_age: 2m too, or leave it out");
            return None;
        }
        return Some(None);
    };
    let max = written.duration(Duration::from_secs(1)..=Duration::from_secs(86_400));
    let selector = match of {
        Some((text, cursor)) => {
            let text = text?;
            if !is_selector(&text) {
                cursor.mistake("expected a selector alone, such as up{job=\"shop\"}");
                return None;
            }
            text
        }
        None => {
            let query = query?;
            if !is_selector(query) {
                written.mistake(
                    "what a query computes has no age; write age_of: the selector whose samples must be new, such as \
                     up{job=\"shop\"}",
                );
                return None;
            }
            query.to_owned()
        }
    };
    Some(Some(Age { max: max?, selector }))
}

impl Probe for PrometheusProbe {
    fn target(&self) -> Target {
        self.api.target()
    }

    fn connects_to(&self) -> Option<&Address> {
        self.api.connects_to()
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        self.hold(run).boxed()
    }
}

impl PrometheusProbe {
    async fn hold(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let series = self.query(run, &self.query).await?;
        if series.is_empty() && self.empty == Empty::Fail {
            let query = excerpt(self.query.as_bytes());
            let text = format!("no series matches {query}, so nothing is known; where that is well, write empty: pass");
            return Err(Outcome::fail(ReasonCode::Body, text));
        }
        run.seen.remark(answer::note(&series));
        let mut facts = answer::facts(&series);
        // Where no series is well, only those of `age_of` show that anything is still known.
        if let Some(age) = self.age.as_ref().filter(|age| !series.is_empty() || age.selector != self.query) {
            let newest = self.newest(run, age).await?;
            facts.insert("newest_age_secs".to_owned(), newest.as_secs_f64().into());
        }
        self.judge(&series)?;
        Ok(Facts { body: Some(serde_json::Value::Object(facts).to_string().into()), ..Facts::default() })
    }

    async fn query(&self, run: &mut Run, query: &str) -> Result<Vec<Series>, Outcome> {
        // It gives up before we do, so that it can say so.
        let timeout = format!("{}ms", time_for_query(run.deadline).as_millis());
        let answer = self.api.get(run, &["api", "v1", "query"], &[("query", query), ("timeout", &timeout)]).await?;
        let (series, warnings) = read(&answer)?;
        run.soft.extend(warnings);
        Ok(series)
    }

    /// Returns the age of the newest sample, by the clock of whoever keeps it.
    async fn newest(&self, run: &mut Run, age: &Age) -> Result<Duration, Outcome> {
        let samples = self.query(run, &format!("timestamp({})", age.selector)).await?;
        let ages = samples.iter().map(|sample| sample.at - sample.value).filter(|age| age.is_finite());
        let Some(newest) = ages.min_by(f64::total_cmp) else {
            let selector = excerpt(age.selector.as_bytes());
            return Err(Outcome::fail(
                ReasonCode::Body,
                format!("no series matches {selector}, so its age is not known"),
            ));
        };
        let newest = Duration::try_from_secs_f64(newest.max(0.0)).unwrap_or(Duration::MAX);
        if newest > age.max {
            let whole = Duration::from_secs(newest.as_secs());
            let text =
                format!("the newest sample is {} old, allowed are {}", show_duration(whole), show_duration(age.max));
            return Err(Outcome::fail(ReasonCode::Body, text));
        }
        Ok(newest)
    }

    fn judge(&self, series: &[Series]) -> Result<(), Outcome> {
        if self.min.is_none() && self.max.is_none() {
            return Ok(());
        }
        let broken: Vec<String> = series.iter().filter_map(|series| self.broken(series)).collect();
        if broken.is_empty() {
            return Ok(());
        }
        let mut text = broken.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join("; ");
        if broken.len() > MAX_NAMED {
            text = format!("{text}; and {} more", broken.len() - MAX_NAMED);
        }
        Err(Outcome::fail(ReasonCode::Limit, text))
    }

    /// How a value breaks its limits. NaN is within none.
    fn broken(&self, series: &Series) -> Option<String> {
        let shown = series.shown();
        if series.value.is_nan() {
            return Some(format!("{shown}, which is within no limit"));
        }
        let less = self.min.filter(|min| series.value < *min).map(|min| format!("{shown}: less than {min}"));
        less.or_else(|| self.max.filter(|max| series.value > *max).map(|max| format!("{shown}: more than {max}")))
    }
}
