//! What sessions are told without having asked: how the services are, and what the session has cost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::stream::{self, StreamExt};
use http_body_util::Full;
use kit::http::API_KEY;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::frame::Topic;
use super::hub::Hub;
use crate::health::Platform;
use crate::upstream::Upstream;

const STATUS_EVERY: Duration = Duration::from_secs(30);
const COSTS_EVERY: Duration = Duration::from_secs(60);
/// What has become dearer by less is not told, in dollars.
const WORTH_TELLING: f64 = 0.01;
/// Longest wait for what a session has cost.
const COST_WITHIN: Duration = Duration::from_secs(5);
/// Sessions that are asked about at once.
const COSTS_AT_ONCE: usize = 8;
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Looks, and tells.
pub(crate) struct News {
    pub(crate) hub: Arc<Hub>,
    pub(crate) platform: Arc<Platform>,
    /// Where costs are known, and the key to show there.
    pub(crate) costs: Upstream,
    pub(crate) key: SecretString,
}

impl News {
    /// Tells for ever; nobody is asked while nobody listens.
    pub(crate) async fn run(self) {
        let status = async {
            let mut ticks = every(STATUS_EVERY);
            loop {
                ticks.tick().await;
                self.hub.forget_old();
                self.tell_status().await;
            }
        };
        let costs = async {
            let (mut ticks, mut told) = (every(COSTS_EVERY), HashMap::new());
            loop {
                ticks.tick().await;
                // A round that is not over by the next is one too much.
                if timeout(COSTS_EVERY, self.tell_costs(&mut told)).await.is_err() {
                    tracing::warn!("what sessions have cost takes too long to ask");
                }
            }
        };
        tokio::join!(status, costs);
    }

    async fn tell_status(&self) {
        if self.hub.listened().is_empty() {
            return;
        }
        let health: Value = serde_json::from_slice(&self.platform.health().await).unwrap_or_default();
        let services = health.get("services").and_then(Value::as_array).cloned().unwrap_or_default();
        let alerts: Vec<String> = services.iter().filter_map(alert).collect();
        let data = json!({ "services": services, "overall_status": health.get("status"), "alerts": alerts });
        self.hub.tell_all(Topic::SystemStatus, &data);
    }

    /// `told` is what each session was told last, in dollars.
    async fn tell_costs(&self, told: &mut HashMap<String, f64>) {
        let sessions = self.hub.listened();
        told.retain(|session, _| sessions.contains(session));
        let (mut missed, mut last) = (0_usize, String::new());
        let asked = stream::iter(sessions).map(async |session| (self.cost_of(&session).await, session));
        let mut costs = std::pin::pin!(asked.buffer_unordered(COSTS_AT_ONCE));
        while let Some((cost, session)) = costs.next().await {
            match cost {
                Ok(Some((cost, data))) => {
                    let before = told.get(&session).copied().unwrap_or(0.0);
                    if (cost - before).abs() > WORTH_TELLING {
                        self.hub.tell(&session, Topic::CostUpdate, &data);
                        told.insert(session, cost);
                    }
                }
                Ok(None) => {}
                Err(why) => (missed, last) = (missed + 1, why),
            }
        }
        if missed > 0 {
            tracing::warn!(sessions = missed, error = last, "what sessions have cost cannot be had");
        }
    }

    /// Returns what a session has cost, and what it is told of that; none if it has cost nothing yet.
    ///
    /// # Errors
    /// Why that is not known.
    async fn cost_of(&self, session: &str) -> Result<Option<(f64, Value)>, String> {
        let path = format!("/sessions/{session}/cost-summary");
        let request = self.costs.get(&path).map_err(|error| error.to_string())?;
        let request = request.header(API_KEY, self.key.expose_secret()).body(Full::default());
        let request = request.map_err(|error| error.to_string())?;
        let (status, body) = kit::http::get(request, COST_WITHIN, MAX_ANSWER_BYTES).await?;
        match status {
            // A session in which nothing has been said is not known there.
            StatusCode::NOT_FOUND => return Ok(None),
            status if !status.is_success() => return Err(format!("HTTP {}", status.as_u16())),
            _ => {}
        }
        let json: Value = serde_json::from_slice(&body).map_err(|error| format!("the answer is no JSON: {error}"))?;
        let cost = ["current_cost", "total_cost"].iter().find_map(|name| dollars(json.get(*name)?));
        Ok(cost.map(|cost| {
            let data = json!({
                "current_cost": cost,
                "budget_remaining": json.get("budget_remaining"),
                "cost_breakdown": json.get("cost_breakdown"),
                "period": json.get("period"),
            });
            (cost, data)
        }))
    }
}

/// What takes longer than its period begins anew a whole period later.
fn every(period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// A number, or one that is written as text.
fn dollars(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim_start_matches('$').parse().ok())
}

fn alert(service: &Value) -> Option<String> {
    let text = |name: &str| service.get(name).and_then(Value::as_str).unwrap_or_default();
    (text("status") != "healthy").then(|| format!("{} is {}", text("name"), text("status")))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use kit::config::Environment;
    use kit::metrics::Metrics;
    use kit::service::Settings as _;
    use testkit::{Response, Target};
    use url::Url;

    use super::*;
    use crate::settings::Settings;

    fn news(costs: &str) -> News {
        let settings = Settings::read(&Environment::of([("API_KEY", "k")])).unwrap();
        let hub = Arc::new(Hub::new(&Metrics::new("x", "1")));
        let (platform, costs) = (Arc::new(Platform::new(&settings, hub.clone())), Url::parse(costs).unwrap());
        News { hub, platform, costs: Upstream::new("cost-tracking", costs), key: settings.api_key.clone() }
    }

    #[tokio::test]
    async fn a_session_is_told_of_costs_that_have_become_dearer_by_more_than_a_cent() {
        let cost = Arc::new(Mutex::new("0.010"));
        let asked = cost.clone();
        let target = Target::respond_with(move |_| {
            let cost = *asked.lock().unwrap();
            let body = format!(
                r#"{{"current_cost": {cost}, "budget_remaining": 4.5, "cost_breakdown": {{"llm": 1}}, "period": "daily"}}"#
            );
            Response::new(200, body)
        });
        let news = news(&target.url(""));
        let (mut place, mut told) = (news.hub.join("s", "s", None).unwrap(), HashMap::new());
        for (now, is_told) in [("0.010", false), ("0.011", true), ("0.0205", false), ("0.0215", true)] {
            *cost.lock().unwrap() = now;
            news.tell_costs(&mut told).await;
            let Ok(frame) = place.frames.try_recv() else {
                assert!(!is_told, "{now}");
                continue;
            };
            let frame: Value = serde_json::from_str(&frame).unwrap();
            assert!(is_told, "{now}: {frame}");
            let cost: f64 = now.parse().unwrap();
            let data = json!({ "current_cost": cost, "budget_remaining": 4.5, "cost_breakdown": { "llm": 1 }, "period": "daily" });
            assert_eq!((&frame["type"], &frame["data"]), (&json!("cost_update"), &data));
        }
    }

    #[tokio::test]
    async fn who_listens_is_told_how_the_services_are() {
        let news = news("http://127.0.0.1:1");
        news.tell_status().await;
        let mut place = news.hub.join("s", "s", None).unwrap();
        assert!(place.waited.is_empty(), "nobody listened");
        news.tell_status().await;
        let frame: Value = serde_json::from_str(&place.frames.try_recv().unwrap()).unwrap();
        assert_eq!((&frame["type"], &frame["data"]["overall_status"]), (&json!("system_status"), &json!("degraded")));
        let services = frame["data"]["services"].as_array().unwrap();
        let alerts = frame["data"]["alerts"].as_array().unwrap();
        assert_eq!(services.len(), 6);
        let unwell = services.iter().filter(|service| service["status"] != "healthy");
        let expected: Vec<Value> = unwell.map(|service| json!(alert(service).unwrap())).collect();
        assert_eq!(*alerts, expected);
    }

    #[tokio::test]
    async fn each_session_is_told_what_it_has_cost_however_many_cannot_be_asked_about() {
        let target = Target::respond_with(|request| {
            let is_known = request.path.starts_with("/sessions/good");
            let may = request.header("authorization").is_some() && request.header("x-api-key") == Some("k");
            let status = if is_known && may { 200 } else { 500 };
            Response::new(status, r#"{"total_cost": "$0.25", "period": "daily"}"#)
        });
        let news = news(&target.url("").replace("http://", "http://user:hush@"));
        let names = (0..20).flat_map(|number| [format!("good-{number}"), format!("bad-{number}")]);
        let mut places: Vec<_> = names.map(|name| (news.hub.join(&name, &name, None).unwrap(), name)).collect();
        let mut told = HashMap::new();
        for round in [1, 2] {
            news.tell_costs(&mut told).await;
            assert_eq!((target.requests().len(), told.len()), (round * 40, 20));
        }
        for (place, name) in &mut places {
            match place.frames.try_recv() {
                Ok(frame) => assert!(name.starts_with("good") && frame.contains("0.25"), "{name}: {frame}"),
                Err(_) => assert!(name.starts_with("bad"), "{name}"),
            }
            assert!(place.frames.try_recv().is_err(), "what has not changed is not told again");
        }
    }
}
