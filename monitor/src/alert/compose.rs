//! Writes a message: from deliveries and the incidents behind them to what a channel is told. Pure.

use std::time::Duration;

use jiff::Timestamp;
use kit::clock::elapsed;
use kit::config::show_duration;
use uuid::Uuid;

use super::channel::EvidenceLevel;
use super::delivery::Delivery;
use super::elsewhere::Elsewhere;
use super::incident::Incident;
use super::message::{AlertPart, Evidence, Happening, Links, Message, Severity, Status};
use super::route::group_labels;

/// Alerts in one message, at most; the rest is counted.
const MAX_PARTS: usize = 100;
/// A message that goes out so much later than it was due says so.
const LATE_AFTER: Duration = Duration::from_secs(60);
/// What has been over for so long when it is told is no page any more (DESIGN section 8).
const OVER_LONG_AFTER: Duration = Duration::from_secs(15 * 60);

/// What a message needs besides the deliveries.
pub struct Context<'a> {
    /// The channel.
    pub channel: &'a str,
    /// How much evidence it gets.
    pub evidence: EvidenceLevel,
    /// The present.
    pub now: Timestamp,
    /// Whether everything in it is on disk.
    pub durable: bool,
    /// Where the status page is reached from outside.
    pub public_url: Option<&'a str>,
    /// Where traces and logs are shown.
    pub elsewhere: &'a Elsewhere,
    /// Signs the link that acknowledges.
    pub acknowledge_token: &'a dyn Fn(Uuid) -> String,
}

/// Writes one message. `parts` are not empty, and in order.
pub fn compose(parts: &[(&Delivery, &Incident)], context: &Context<'_>) -> Option<Message> {
    let (first, _) = parts.first()?;
    let alerts: Vec<AlertPart> =
        parts.iter().take(MAX_PARTS).map(|(delivery, incident)| part(delivery, incident, context)).collect();
    let is_firing =
        |incident: &Incident, delivery: &Delivery| !incident.is_over() && delivery.happening != Happening::Resolved;
    let fires = parts.iter().any(|(delivery, incident)| is_firing(incident, delivery))
        || parts.iter().all(|(delivery, _)| delivery.happening != Happening::Resolved);
    let most = alerts.iter().map(|part| part.severity).max().unwrap_or(Severity::Notice);
    let oldest = parts.iter().map(|(delivery, _)| delivery.created).min().unwrap_or(context.now);
    let late = elapsed(oldest, context.now);
    let status = if fires { Status::Firing } else { Status::Resolved };
    Some(Message {
        key: first.batch.map_or_else(|| first.key(), |batch| batch.to_string()),
        channel: context.channel.to_owned(),
        status,
        severity: most,
        title: title(&alerts, parts.len()),
        truncated: parts.len().saturating_sub(MAX_PARTS),
        alerts,
        group_labels: group_labels(&first.group),
        durable: context.durable,
        drill: parts.iter().all(|(_, incident)| incident.is_trial()),
        late_secs: Some(late.as_secs()).filter(|_| late > LATE_AFTER),
        page_url: context.public_url.map(ToOwned::to_owned),
    })
}

fn part(delivery: &Delivery, incident: &Incident, context: &Context<'_>) -> AlertPart {
    let is_end = delivery.happening == Happening::Resolved;
    // What began and ended long ago is no page any more, and neither is its end.
    let is_old_news = elapsed(delivery.created, context.now) > LATE_AFTER
        && incident.resolved.as_ref().is_some_and(|end| elapsed(end.at, context.now) > OVER_LONG_AFTER);
    let resolved = incident.resolved.as_ref().map(|resolution| resolution.at);
    let lasted = show_duration(elapsed(incident.opened, resolved.unwrap_or(context.now)).max(Duration::from_secs(1)));
    let how = incident.resolved.as_ref().map(|resolution| resolution.how.words()).unwrap_or_default();
    let about = incident.service.as_deref().unwrap_or(&incident.name);
    let title = match (is_end, resolved) {
        (true, _) => format!("{about}: {how} after {lasted}"),
        (false, Some(_)) => format!("{} (meanwhile: {how} after {lasted})", incident.title),
        (false, None) if incident.flapping => format!("{} (comes and goes)", incident.title),
        (false, None) => incident.title.clone(),
    };
    let link = |path: String| context.public_url.map(|url| format!("{}{path}", url.trim_end_matches('/')));
    let acknowledge =
        || link(format!("/incidents/{}/acknowledge?token={}", incident.id, (context.acknowledge_token)(incident.id)));
    let evidence = cut(&incident.evidence, context.evidence);
    let trace_id = evidence.as_ref().map(|evidence| evidence.trace_id.as_str());
    let until = resolved.unwrap_or(context.now);
    let logs = |service: &String| context.elsewhere.logs(service, incident.opened, until);
    AlertPart {
        incident: incident.id,
        event: delivery.event,
        happening: delivery.happening,
        status: if is_end { Status::Resolved } else { Status::Firing },
        severity: if is_old_news { Severity::Notice } else { delivery.severity },
        name: incident.name.clone(),
        service: incident.service.clone(),
        title,
        description: description(delivery, incident),
        verdict: incident.verdict.clone(),
        labels: incident.labels.clone(),
        impacted: incident.impacted.clone(),
        opened: incident.opened,
        resolved,
        lasted,
        acknowledged_by: incident.acknowledged.as_ref().map(|taken| taken.by.clone()),
        flapping: incident.flapping,
        links: Links {
            trace: trace_id.and_then(|id| context.elsewhere.trace(id)),
            logs: incident.service.as_ref().and_then(logs),
            incident: link(format!("/incidents/{}", incident.id)),
            acknowledge: if is_end || incident.is_over() { None } else { acknowledge() },
            source: incident.source_url.clone(),
        },
        evidence,
    }
}

fn description(delivery: &Delivery, incident: &Incident) -> String {
    let mut lines = Vec::new();
    if !incident.description.is_empty() {
        lines.push(incident.description.clone());
    }
    match delivery.happening {
        Happening::Reminder => lines.push("Reminder: it is still open.".to_owned()),
        Happening::Escalated => lines.push("Nobody has taken it yet.".to_owned()),
        Happening::Flapping => lines.push("It comes and goes; the end is told once it has been calm.".to_owned()),
        Happening::Drill => lines.push("This is a drill. Nothing is wrong.".to_owned()),
        Happening::Opened | Happening::Worsened | Happening::Resolved => {}
    }
    lines.join("\n")
}

fn title(alerts: &[AlertPart], count: usize) -> String {
    let first = alerts.first().map(|part| part.title.clone()).unwrap_or_default();
    if count <= 1 {
        return first;
    }
    let incidents: std::collections::BTreeSet<Uuid> = alerts.iter().map(|part| part.incident).collect();
    match incidents.len() {
        1 => alerts.last().map(|part| part.title.clone()).unwrap_or(first),
        several => format!("{several} incidents: {first} …"),
    }
}

fn cut(evidence: &Evidence, level: EvidenceLevel) -> Option<Evidence> {
    let is_empty = *evidence == Evidence::default();
    match level {
        EvidenceLevel::None => None,
        _ if is_empty => None,
        EvidenceLevel::Full => Some(evidence.clone()),
        EvidenceLevel::Summary => {
            Some(Evidence { last_lines: Vec::new(), latency: Vec::new(), phases: Vec::new(), ..evidence.clone() })
        }
    }
}
