//! What each service over HTTP is sent, field by field, as its vendor documents it.

use kit::page::words;
use serde_json::{Value, json};
use testkit::{Request, Target};

use crate::{SECRET, messages, send};

const INCIDENT: &str = "01940000-0000-7000-8000-000000000001";
const SOURCE: &str = "https://runbook.example.com/service-down";
const TRACE: &str = "https://tempo.example.com/trace/0af7651916cd43dd8448eb211c80319c";
const LOGS: &str = "https://grafana.example.com/d/logs?var-service=shop&from=1&to=2";
const PAGE_URL: &str = "https://status.example.com/incidents/01940000-0000-7000-8000-000000000001";

/// Sends a page, and returns the one request. `{}` in the settings is the receiver's URL.
async fn request(settings: &str) -> Request {
    request_of(settings, &messages::page()).await
}

async fn request_of(settings: &str, message: &monitor::alert::Message) -> Request {
    let target = Target::ok("ok");
    let accepted = send(&settings.replace("{}", &target.url("")), message).await.unwrap();
    assert_eq!(accepted.partly, None);
    let mut requests = target.requests();
    assert_eq!(requests.len(), 1);
    let request = requests.remove(0);
    // An Alertmanager is told the same again and again, on purpose.
    let key = request.header("idempotency-key").unwrap_or_default();
    assert!(settings.starts_with("alertmanager") || key.starts_with(&message.key), "{settings}: {key:?}");
    request
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn acknowledge() -> String {
    format!("{PAGE_URL}/acknowledge?t=abc&x=1")
}

/// When the incident opened, as people on this machine read it.
fn since() -> String {
    words::time("2026-11-24T12:00:00Z".parse().unwrap(), &jiff::tz::TimeZone::system())
}

/// Label and value of everything that is known of the page.
fn facts() -> Vec<(&'static str, String)> {
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let facts = [
        ("Service", "shop"),
        ("Verdict", "down"),
        ("Since", &since()),
        ("So far", "35 s"),
        ("Impacted", "checkout, frontend, reports"),
        ("Check", "shop/health"),
        ("Target", "http://127.0.0.1:8007/health"),
        ("Reason", "connection refused by 127.0.0.1:8007"),
        ("Took", "dns 0 ms, connect 12 ms, first byte 340 ms"),
        ("Last run", "killed by SIGKILL after 3 h 12 min (out of memory)"),
        ("Changed", "program replaced 12 min before (was 60303ae2…)"),
        ("Program", digest),
        ("Trace", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ];
    facts.map(|(label, value)| (label, value.to_owned())).into()
}

const TITLE: &str = "shop is down: health: connection refused by 127.0.0.1:8007";
const LAST_LINES: &str = "2026-11-24T11:59:52Z INFO  request handled path=/cart status=200\n\
                          2026-11-24T11:59:57Z WARN  cache grows entries=1843221 bytes=1.9GiB\n\
                          2026-11-24T11:59:59Z ERROR allocation of 67108864 bytes failed";

/// As Discord and Teams want it escaped.
fn escaped(text: &str) -> String {
    text.replace('_', "\\_").replace('(', "\\(").replace(')', "\\)")
}

#[tokio::test]
async fn slack_gets_blocks_under_a_headline() {
    let field = |(label, value): &(&str, String)| json!({ "type": "mrkdwn", "text": format!("*{label}*\n{value}") });
    let fields: Vec<Value> = facts().iter().map(field).collect();
    let button =
        |text: &str, url: &str| json!({ "type": "button", "text": { "type": "plain_text", "text": text }, "url": url });
    let section = |text: &str| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    let expected = json!({
        "text": format!("[PAGE] {TITLE}"),
        "attachments": [{
            "color": "#c0312b",
            "blocks": [
                { "type": "section", "fields": fields[..10] },
                { "type": "section", "fields": fields[10..] },
                section("The service does not answer. See the runbook, section 3."),
                section(&format!("```{LAST_LINES}```")),
                { "type": "actions", "elements": [
                    button("Incident", PAGE_URL),
                    button("Acknowledge", &acknowledge()),
                    button("Source", SOURCE),
                    button("Trace", TRACE),
                    button("Logs", LOGS),
                ] },
            ],
        }],
    });
    assert_eq!(body(&request("slack: { url: '{}/services/x' }").await), expected);
}

#[tokio::test]
async fn discord_gets_an_embed_and_calls_nobody() {
    let field = |(label, value): &(&str, String)| json!({ "name": label, "value": escaped(value), "inline": value.chars().count() <= 30 });
    let description = format!(
        "The service does not answer. See the runbook, section 3.\n```\n{LAST_LINES}\n```\n[Incident](<{PAGE_URL}>) · \
         [Acknowledge](<{}>) · [Source](<{SOURCE}>) · [Trace](<{TRACE}>) · [Logs](<{LOGS}>)",
        acknowledge()
    );
    let expected = json!({
        "username": "monitor",
        "allowed_mentions": { "parse": [] },
        "embeds": [{
            "title": format!("\\[PAGE\\] {TITLE}"),
            "color": 0xc0312b,
            "url": PAGE_URL,
            "timestamp": "2026-11-24T12:00:00Z",
            "description": description,
            "fields": facts().iter().map(field).collect::<Vec<_>>(),
        }],
    });
    let request = request("discord: { url: '{}/api/webhooks/1/x' }").await;
    assert_eq!(request.path, "/api/webhooks/1/x?wait=true");
    assert_eq!(body(&request), expected);
}

#[tokio::test]
async fn teams_gets_an_adaptive_card() {
    let fact = |(label, value): &(&str, String)| json!({ "title": label, "value": escaped(value) });
    let open = |title: &str, url: &str| json!({ "type": "Action.OpenUrl", "title": title, "url": url });
    let expected = json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.5",
                "msteams": { "width": "Full" },
                "body": [
                    { "type": "TextBlock", "text": format!("\\[PAGE\\] {TITLE}"), "wrap": true, "weight": "Bolder",
                      "size": "Large", "color": "Attention" },
                    { "type": "FactSet", "facts": facts().iter().map(fact).collect::<Vec<_>>() },
                    { "type": "TextBlock", "text": "The service does not answer. See the runbook, section 3.", "wrap": true },
                    { "type": "TextBlock", "text": LAST_LINES.replace('\n', "\n\n"), "wrap": true, "fontType": "Monospace" },
                ],
                "actions": [
                    open("Incident", PAGE_URL),
                    open("Acknowledge", &acknowledge()),
                    open("Source", SOURCE),
                    open("Trace", TRACE),
                    open("Logs", LOGS),
                ],
            },
        }],
    });
    assert_eq!(body(&request("teams: { url: '{}/workflows/1?sig=x' }").await), expected);
}

#[tokio::test]
async fn telegram_gets_html() {
    let request = request("telegram: { base_url: '{}', bot_token: '${SECRET}', chat_id: 42 }").await;
    assert_eq!(request.path, format!("/bot{SECRET}/sendMessage"));
    let sent = body(&request);
    let mut lines = vec![format!("<b>[PAGE] {TITLE}</b>")];
    lines.extend(facts().iter().map(|(label, value)| format!("<b>{label}:</b> {value}")));
    lines.push("The service does not answer. See the runbook, section 3.".to_owned());
    lines.push(format!("<pre>{LAST_LINES}</pre>"));
    lines.push(format!(
        r#"<a href="{PAGE_URL}">Incident</a> · <a href="{}">Acknowledge</a> · <a href="{SOURCE}">Source</a> · <a href="{TRACE}">Trace</a> · <a href="{}">Logs</a>"#,
        acknowledge().replace('&', "&amp;"),
        LOGS.replace('&', "&amp;")
    ));
    assert_eq!(sent["text"], lines.join("\n"));
    assert_eq!((&sent["chat_id"], &sent["parse_mode"]), (&json!("42"), &json!("HTML")));
    assert_eq!(sent["link_preview_options"], json!({ "is_disabled": true }));
    assert_eq!(sent["disable_notification"], false);
}

/// Facts as the details of a service.
fn details() -> serde_json::Map<String, Value> {
    facts().into_iter().map(|(label, value)| (label.to_lowercase(), value.into())).collect()
}

#[tokio::test]
async fn pagerduty_gets_a_trigger_and_then_a_resolve_for_the_same_incident() {
    let settings = "pagerduty: { base_url: '{}', routing_key: '${SECRET}' }";
    let request = request(settings).await;
    assert_eq!(request.path, "/v2/enqueue");
    let mut details = details();
    details.insert("labels".to_owned(), json!({ "service": "shop", "team": "payments" }));
    details.insert("description".to_owned(), "The service does not answer. See the runbook, section 3.".into());
    details.insert("last lines".to_owned(), LAST_LINES.into());
    let expected = json!({
        "routing_key": SECRET,
        "dedup_key": INCIDENT,
        "event_action": "trigger",
        "client": "monitor",
        "client_url": "https://status.example.com/",
        "links": [
            { "href": PAGE_URL, "text": "Incident" },
            { "href": acknowledge(), "text": "Acknowledge" },
            { "href": SOURCE, "text": "Source" },
            { "href": TRACE, "text": "Trace" },
            { "href": LOGS, "text": "Logs" },
        ],
        "payload": {
            "summary": TITLE,
            "source": "shop",
            "severity": "critical",
            "timestamp": "2026-11-24T12:00:00Z",
            "component": "shop/health",
            "group": "shop",
            "class": "ServiceDown",
            "custom_details": details,
        },
    });
    assert_eq!(body(&request), expected);
    let end = json!({ "routing_key": SECRET, "dedup_key": INCIDENT, "event_action": "resolve" });
    assert_eq!(body(&request_of(settings, &messages::resolved()).await), end);
}

#[tokio::test]
async fn opsgenie_gets_an_alert_and_then_its_end_under_the_same_alias() {
    let settings = "opsgenie: { base_url: '{}', api_key: '${SECRET}' }";
    let request = request(settings).await;
    assert_eq!(request.path, "/v2/alerts");
    assert_eq!(request.header("authorization").unwrap(), format!("GenieKey {SECRET}"));
    let expected = json!({
        "message": TITLE,
        "alias": INCIDENT,
        "description": format!(
            "{TITLE}\nThe service does not answer. See the runbook, section 3.\n{LAST_LINES}\nIncident: {PAGE_URL}\n\
             Acknowledge: {}\nSource: {SOURCE}\nTrace: {TRACE}\nLogs: {LOGS}",
            acknowledge()
        ),
        "entity": "shop",
        "source": "monitor",
        "priority": "P1",
        "tags": ["monitor", "page"],
        "details": details(),
    });
    assert_eq!(body(&request), expected);
    let end = request_of(settings, &messages::resolved()).await;
    assert_eq!(end.path, format!("/v2/alerts/{INCIDENT}/close?identifierType=alias"));
    assert_eq!(body(&end), json!({ "source": "monitor", "note": "shop is up again" }));
}

#[tokio::test]
async fn ntfy_gets_a_title_a_priority_and_buttons() {
    let sent = body(&request("ntfy: { base_url: '{}', topic: pages }").await);
    let view = |label: &str, url: &str| json!({ "action": "view", "label": label, "url": url });
    let mut lines: Vec<String> = facts().iter().map(|(label, value)| format!("{label}: {value}")).collect();
    lines.push("The service does not answer. See the runbook, section 3.".to_owned());
    lines.push(format!("Last lines:\n  {}", LAST_LINES.replace('\n', "\n  ")));
    lines.push(format!("Incident: {PAGE_URL}\nAcknowledge: {}", acknowledge()));
    lines.push(format!("Source: {SOURCE}\nTrace: {TRACE}\nLogs: {LOGS}"));
    lines.push("Status page: https://status.example.com/".to_owned());
    let expected = json!({
        "topic": "pages",
        "title": format!("[PAGE] {TITLE}"),
        "message": lines.join("\n"),
        "priority": 5,
        "tags": ["rotating_light"],
        "click": PAGE_URL,
        "actions": [
            view("Incident", PAGE_URL),
            view("Acknowledge", &acknowledge()),
            view("Source", SOURCE),
        ],
    });
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn alertmanager_gets_labels_and_times() {
    let before = jiff::Timestamp::now();
    let request = request("alertmanager: { urls: ['{}/prefix/'] }").await;
    assert_eq!(request.path, "/prefix/api/v2/alerts");
    let mut sent = body(&request);
    let ends_at: jiff::Timestamp = sent[0]["endsAt"].take().as_str().unwrap().parse().unwrap();
    let left = ends_at.duration_since(before).as_secs();
    assert!((300..330).contains(&left), "{left}");
    let expected = json!([{
        "labels": { "alertname": "ServiceDown", "severity": "page", "service": "shop", "team": "payments" },
        "annotations": {
            "summary": TITLE,
            "description": "The service does not answer. See the runbook, section 3.",
            "impacted": "checkout, frontend, reports",
            "monitor_incident": INCIDENT,
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "trace_url": TRACE,
            "logs_url": LOGS,
        },
        "startsAt": "2026-11-24T12:00:00Z",
        "endsAt": null,
        "generatorURL": PAGE_URL,
    }]);
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_message_that_is_too_large_goes_without_what_can_be_looked_up() {
    let receiver = testkit::Target::ok("");
    let mut message = messages::digest();
    let part = message.alerts[0].clone();
    message.alerts = (0..100).map(|_| part.clone()).collect();
    for part in &mut message.alerts {
        part.evidence.get_or_insert_default().last_lines = vec!["x".repeat(16 * 1024)];
    }
    let settings = format!("webhook: {{ url: '{}' }}", receiver.url("/hook"));
    let arrived = async |message: &monitor::alert::Message| -> serde_json::Value {
        crate::send(&settings, message).await.unwrap();
        serde_json::from_slice(&receiver.requests().pop().unwrap().body).unwrap()
    };
    let told = arrived(&message).await;
    assert_eq!((told["alerts"].as_array().unwrap().len(), told["alerts"][7]["evidence"].is_null()), (100, true));
    assert_ne!(told["alerts"][7]["description"], "");
    message.alerts.iter_mut().for_each(|part| part.title = "y".repeat(15 * 1024));
    let told = arrived(&message).await;
    assert_eq!((told["alerts"].as_array().unwrap().len(), &told["truncated"]), (50, &(message.truncated + 50).into()));
}
