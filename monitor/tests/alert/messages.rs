//! Messages as the outbox hands them over: a realistic page, its end, a digest, a drill, and a hostile one.

use monitor::alert::{AlertPart, Evidence, Happening, Links, Message, Severity, Status};
use uuid::Uuid;

/// What a hostile service puts into every text it has a say in.
pub(crate) const HOSTILE: &str =
    "</pre><script>alert(1)</script> <!channel> @everyone *bold* `code` [x](javascript:alert(1)) \u{202E}\u{1b}[31m 🔥";

pub(crate) fn page() -> Message {
    let part = part(1);
    Message {
        key: format!("{}.1.ops", part.incident),
        channel: "ops".to_owned(),
        status: Status::Firing,
        severity: Severity::Page,
        title: part.title.clone(),
        alerts: vec![part],
        truncated: 0,
        group_labels: [("service".to_owned(), "shop".to_owned())].into(),
        durable: true,
        drill: false,
        late_secs: None,
        page_url: Some("https://status.example.com/".to_owned()),
    }
}

pub(crate) fn resolved() -> Message {
    let mut message = page();
    message.key = message.key.replace(".1.", ".2.");
    message.status = Status::Resolved;
    let part = &mut message.alerts[0];
    part.status = Status::Resolved;
    part.happening = Happening::Resolved;
    part.event = 2;
    part.title = "shop is up again".to_owned();
    part.resolved = Some("2026-11-24T12:09:30Z".parse().unwrap());
    part.lasted = "9 min".to_owned();
    message.title = part.title.clone();
    message
}

pub(crate) fn drill() -> Message {
    let mut message = page();
    message.drill = true;
    message.alerts[0].happening = Happening::Drill;
    message
}

/// Sixty alerts, and five more that were left out.
pub(crate) fn digest() -> Message {
    let mut message = page();
    message.title = "65 services are down".to_owned();
    message.alerts = (1..=60).map(part).collect();
    message.truncated = 5;
    message.late_secs = Some(7500);
    message
}

/// Everything that a service or a person elsewhere has a say in is hostile or very long.
pub(crate) fn hostile() -> Message {
    let mut message = page();
    message.title = format!("shop is down: {HOSTILE}\r\nBcc: victim@example.com\r\n\r\nbody");
    message.durable = false;
    let part = &mut message.alerts[0];
    part.title = message.title.clone();
    part.description = format!("{HOSTILE}\n.\nQUIT\r\n{}", "long ".repeat(2000));
    part.verdict = HOSTILE.to_owned();
    part.acknowledged_by = Some(HOSTILE.to_owned());
    part.impacted = (0..200).map(|n| format!("{HOSTILE}-{n}")).collect();
    part.labels.insert("weird label-ß".to_owned(), HOSTILE.to_owned());
    part.links.source = Some("javascript:alert(1)".to_owned());
    let evidence = part.evidence.as_mut().unwrap();
    evidence.reason = HOSTILE.to_owned();
    evidence.target = HOSTILE.to_owned();
    evidence.phases = vec![(HOSTILE.to_owned(), u64::MAX)];
    evidence.last_lines = vec![HOSTILE.to_owned(), "x".repeat(10 * 1024), "\u{0}\u{7}\r".to_owned(), ".".to_owned()];
    evidence.latency = vec![(i64::MIN, Some(f64::NAN)), (0, Some(f64::INFINITY)), (i64::MAX, Some(-1.0))];
    message
}

/// The alert of service number `n`; 1 is `shop`, with all the evidence.
fn part(n: u32) -> AlertPart {
    let service = if n == 1 { "shop".to_owned() } else { format!("service-{n}") };
    let incident = Uuid::from_u128(0x0194_0000_0000_7000_8000_0000_0000_0000 + u128::from(n));
    AlertPart {
        incident,
        event: 1,
        happening: Happening::Opened,
        status: Status::Firing,
        severity: Severity::Page,
        name: "ServiceDown".to_owned(),
        title: format!("{service} is down: health: connection refused by 127.0.0.1:8007"),
        description: "The service does not answer. See the runbook, section 3.".to_owned(),
        verdict: "down".to_owned(),
        labels: [("service".to_owned(), service.clone()), ("team".to_owned(), "payments".to_owned())].into(),
        impacted: vec!["checkout".to_owned(), "frontend".to_owned(), "reports".to_owned()],
        opened: "2026-11-24T12:00:00Z".parse().unwrap(),
        resolved: None,
        lasted: "35 s".to_owned(),
        acknowledged_by: None,
        flapping: false,
        evidence: (n == 1).then(|| evidence(&service)),
        links: Links {
            incident: Some(format!("https://status.example.com/incidents/{incident}")),
            acknowledge: Some(format!("https://status.example.com/incidents/{incident}/acknowledge?t=abc&x=1")),
            source: Some("https://runbook.example.com/service-down".to_owned()),
            trace: (n == 1).then(|| "https://tempo.example.com/trace/0af7651916cd43dd8448eb211c80319c".to_owned()),
            logs: Some(format!("https://grafana.example.com/d/logs?var-service={service}&from=1&to=2")),
        },
        service: Some(service),
    }
}

fn evidence(service: &str) -> Evidence {
    let start = 1_795_521_600_000 - 120 * 10_000;
    let latency = |n: i64| {
        let wave = 42.0 + 9.0 * (n as f64 / 7.0).sin() + (n % 5) as f64 * 2.0;
        let slow = if n > 100 { (n - 100) as f64 * 17.0 } else { 0.0 };
        (start + n * 10_000, (n < 116).then_some(wave + slow))
    };
    Evidence {
        check: format!("{service}/health"),
        target: "http://127.0.0.1:8007/health".to_owned(),
        reason: "connection refused by 127.0.0.1:8007".to_owned(),
        phases: vec![("dns".to_owned(), 0), ("connect".to_owned(), 12), ("first byte".to_owned(), 340)],
        exit: "killed by SIGKILL after 3 h 12 min (out of memory)".to_owned(),
        last_lines: vec![
            "2026-11-24T11:59:52Z INFO  request handled path=/cart status=200".to_owned(),
            "2026-11-24T11:59:57Z WARN  cache grows entries=1843221 bytes=1.9GiB".to_owned(),
            "2026-11-24T11:59:59Z ERROR allocation of 67108864 bytes failed".to_owned(),
        ],
        digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
        changed: "program replaced 12 min before (was 60303ae2…)".to_owned(),
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        latency: (0..120).map(latency).collect(),
    }
}
