//! Asks by another way what healing wants to know before a restart. The loop does not wait for it.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use kit::clock::Moment;
use tokio::sync::mpsc;

use super::plan::{CheckPlan, ServicePlan};
use super::turn::News;
use crate::export::Shared;
use crate::heal::{Inquiry, Stop};
use crate::probe::{CheckId, Observation, Outcome, Vantage, observe_by};

/// What every check asks.
pub(super) type Checks = HashMap<CheckId, Arc<CheckPlan>>;

/// Returns where the checks of a service connect to.
pub(super) fn stops(service: &ServicePlan) -> Vec<Stop> {
    let stop = |check: &CheckPlan| {
        let address = check.question.probe.connects_to()?.clone();
        Some(Stop { check: check.question.id.check.clone(), address, timeout: check.question.timeout })
    };
    service.checks.iter().filter_map(stop).collect()
}

/// Asks everything at once, each with its own timeout; what was found comes back as news.
pub(super) fn ask(vantage: Arc<Vantage>, checks: &Checks, news: mpsc::Sender<News>, inquiry: Inquiry) {
    // What a reload has taken away meanwhile is not asked, and so does not pass.
    let plans =
        inquiry.checks.iter().filter_map(|asked| Some((checks.get(&asked.check)?.clone(), asked.detour.clone())));
    let plans: Vec<_> = plans.collect();
    // Ends by itself: every probe has its deadline.
    tokio::spawn(async move {
        let asking = plans.iter().map(|(plan, detour)| observe_by(detour.clone(), vantage.clone(), &plan.question));
        let found = join_all(asking).await;
        let _loop_has_ended = news.send(News::Elsewhere(inquiry, found)).await;
    });
}

/// Hands on what was found.
pub(super) fn answered(shared: &Shared, inquiry: &Inquiry, found: &[Observation], now: Moment) {
    if let Some(why) = shared.ward().answered(inquiry, found, now) {
        tracing::info!(service.id = &*inquiry.service, "only we cannot reach it: {why}");
        return;
    }
    for observation in found {
        if let Outcome::Fail(reason) | Outcome::Unknown(reason) = &observation.outcome {
            tracing::info!(check.id = %observation.check, why = reason.text, "it does not pass by another way either");
        }
    }
}
