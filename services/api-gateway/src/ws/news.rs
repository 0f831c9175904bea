//! What sessions are told without having asked: how the services are, and what the session has cost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use kit::http::API_KEY;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::time::{Instant, interval_at};

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
        let now = Instant::now();
        let (mut status, mut costs) =
            (interval_at(now + STATUS_EVERY, STATUS_EVERY), interval_at(now + COSTS_EVERY, COSTS_EVERY));
        let mut told = HashMap::new();
        loop {
            tokio::select! {
                _ = status.tick() => {
                    self.hub.forget_old();
                    self.tell_status().await;
                }
                _ = costs.tick() => self.tell_costs(&mut told).await,
            }
        }
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
        for session in sessions {
            let Some((cost, data)) = self.cost_of(&session).await else { continue };
            let before = told.get(&session).copied().unwrap_or(0.0);
            if (cost - before).abs() > WORTH_TELLING {
                self.hub.tell(&session, Topic::CostUpdate, &data);
                told.insert(session, cost);
            }
        }
    }

    async fn cost_of(&self, session: &str) -> Option<(f64, Value)> {
        let uri = self.costs.uri(&format!("/sessions/{session}/cost-summary")).ok()?;
        let request =
            Request::get(uri).header(API_KEY, self.key.expose_secret()).body(Full::<Bytes>::default()).ok()?;
        let (status, body) = kit::http::get(request, COST_WITHIN, MAX_ANSWER_BYTES).await.ok()?;
        let json: Value = serde_json::from_slice(&body).ok().filter(|_| status.is_success())?;
        let cost = ["current_cost", "total_cost"].iter().find_map(|name| dollars(json.get(*name)?))?;
        let data = json!({
            "current_cost": cost,
            "budget_remaining": json.get("budget_remaining"),
            "cost_breakdown": json.get("cost_breakdown"),
            "period": json.get("period"),
        });
        Some((cost, data))
    }
}

/// A number, or one that is written as text.
fn dollars(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim_start_matches('$').parse().ok())
}

fn alert(service: &Value) -> Option<String> {
    let text = |name: &str| service.get(name).and_then(Value::as_str).unwrap_or_default();
    (text("status") != "healthy").then(|| format!("{} is {}", text("name"), text("status")))
}
