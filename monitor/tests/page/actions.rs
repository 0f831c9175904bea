//! What people do with the forms of the pages, and who may.

use http::Method;
use kit::http::Role;
use monitor::alert::{DeliveryState, Ending};
use testkit::Answer;
use uuid::Uuid;

use crate::prepared::{Monitor, card};
use crate::told::{accepts, audit, down, holds, refuses, silence, told_to, until, window};

/// A monitor with an open incident, `olga` who may act and `vera` who may look.
async fn broken() -> (Monitor, Uuid, tokio_util::sync::DropGuard) {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    let workers = told_to(&monitor, vec![accepts("ops"), refuses("mail", "550 no")]);
    monitor.know(&[("olga", Role::Operator), ("vera", Role::Viewer)]);
    let id = holds(&monitor, &[down("shop", "refused")]).await[0].id;
    (monitor, id, workers)
}

async fn get(monitor: &Monitor, path: &str, cookie: &str) -> Answer {
    monitor.send(Method::GET, path, &[("accept", "text/html"), ("cookie", cookie)], "").await
}

#[tokio::test]
async fn only_an_operator_who_has_signed_in_sees_forms_and_each_carries_her_token() {
    let (monitor, id, _workers) = broken().await;
    until(&monitor, id, "mail", DeliveryState::Dead).await;
    monitor.shared.alerts.silence(silence("shop"), audit()).await.unwrap();
    let one = format!("/incidents/{id}");
    let (olga, vera) = (monitor.sign_in("olga").await, monitor.sign_in("vera").await);
    get(&monitor, &one, "").await.assert_has(&format!(r#"<a href="/login?next={one}">Sign in</a> to acknowledge"#));
    get(&monitor, &one, &vera).await.assert_has("An operator can acknowledge, silence or close it.");
    for path in [one.as_str(), "/alerts", "/incidents", "/"] {
        for cookie in ["", &vera] {
            let page = get(&monitor, path, cookie).await;
            let acts = page.text.split("<main").nth(1).unwrap().matches(r#"method="post""#).count();
            assert_eq!(acts, 0, "{path} {cookie}");
            page.assert_has(r#"http-equiv="refresh""#);
        }
    }
    for (path, forms) in [(one.as_str(), 4), ("/alerts", 2)] {
        let page = get(&monitor, path, &olga).await;
        let main = page.text.split("<main").nth(1).unwrap();
        assert_eq!(main.matches(r#"method="post""#).count(), forms, "{path}");
        assert_eq!(main.matches(r#"name="csrf""#).count(), forms, "{path}");
        assert!(!page.text.contains("http-equiv"), "what she writes would be lost");
    }
}

#[tokio::test]
async fn a_form_without_the_token_or_from_somebody_else_changes_nothing() {
    let (monitor, id, _workers) = broken().await;
    until(&monitor, id, "mail", DeliveryState::Dead).await;
    monitor.shared.alerts.silence(silence("shop"), audit()).await.unwrap();
    let quiet = monitor.shared.alerts.suppression().silences[0].id;
    let (olga, vera) = (monitor.sign_in("olga").await, monitor.sign_in("vera").await);
    // Whoever may only look has a token for signing out.
    let hers = get(&monitor, "/", &vera).await.form_token().to_owned();
    let forms = [
        format!("/incidents/{id}/acknowledge"),
        format!("/incidents/{id}/silence"),
        format!("/incidents/{id}/close"),
        format!("/deliveries/{id}/1/mail/retry"),
        format!("/silences/{quiet}/end"),
        format!("/maintenance/{quiet}/end"),
    ];
    for path in &forms {
        for (cookie, form) in [
            ("", "for=1h".to_owned()),
            (&vera, format!("for=1h&csrf={hers}")),
            (&olga, "for=1h".to_owned()),
            (&olga, format!("for=1h&csrf={hers}")),
        ] {
            let answer = monitor.post(path, cookie, &form).await;
            assert!([401, 403].contains(&answer.status), "{path} {cookie}: {}", answer.status);
        }
        assert_eq!(
            get(&monitor, path, &olga).await.status,
            if path.ends_with("acknowledge") { 200 } else { 405 },
            "{path}"
        );
    }
    let incident = monitor.shared.alerts.incident(id).await.unwrap().unwrap();
    assert!(incident.acknowledged.is_none() && !incident.is_over());
    assert_eq!(monitor.shared.alerts.suppression().silences.len(), 1);
}

#[tokio::test]
async fn an_operator_acknowledges_silences_retries_and_closes_and_the_audit_knows() {
    let (monitor, id, _workers) = broken().await;
    until(&monitor, id, "mail", DeliveryState::Dead).await;
    let one = format!("/incidents/{id}");
    let olga = monitor.sign_in("olga").await;
    let csrf = get(&monitor, &one, &olga).await.form_token().to_owned();
    let act = async |path: &str, fields: &str, leads: &str| {
        let answer = monitor.post(path, &olga, &format!("csrf={csrf}&{fields}")).await;
        assert_eq!((answer.status, answer.header("location")), (303, leads), "{path}: {}", answer.text);
    };
    act(&format!("{one}/acknowledge"), "note=on+it", &one).await;
    let page = get(&monitor, &one, &olga).await;
    page.assert_has("Taken by olga</span>");
    page.assert_has(r#"<span class="reason">on it</span>"#);
    page.assert_has("Take it over");
    act(&format!("/deliveries/{id}/1/mail/retry"), "", &one).await;
    act(&format!("{one}/silence"), "for=4h&comment=moving", &one).await;
    let silence = monitor.shared.alerts.suppression().silences[0].clone();
    assert_eq!((silence.matchers[0].to_string().as_str(), silence.by.as_str()), ("service=\"shop\"", "olga"));
    assert_eq!(silence.until.duration_since(silence.from).as_hours(), 4);
    get(&monitor, &one, &olga).await.assert_has("silenced by olga until ");
    act(&format!("/silences/{}/end", silence.id), "", "/alerts").await;
    assert!(monitor.shared.alerts.suppression().silences.is_empty());
    let window = window("disk", &[]);
    monitor.shared.alerts.add_window(window.clone(), audit()).await.unwrap();
    act(&format!("/maintenance/{}/end", window.id), "", "/alerts").await;
    assert!(monitor.shared.alerts.suppression().windows.is_empty());
    act(&format!("{one}/close"), "", &one).await;
    let incident = monitor.shared.alerts.incident(id).await.unwrap().unwrap();
    assert_eq!(incident.resolved.unwrap().how, Ending::Closed("olga".to_owned()));
    get(&monitor, &one, &olga).await.assert_has("closed by olga");
    let rows = monitor.shared.stores.state.store().audit(20).await.unwrap();
    let hers: Vec<&str> = rows.iter().rev().filter(|row| row.who == "olga").map(|row| row.action.as_str()).collect();
    let done = [
        "login",
        "incident.acknowledge",
        "delivery.retry",
        "silence.create",
        "silence.end",
        "maintenance.end",
        "incident.close",
    ];
    assert_eq!(hers, done);
}

#[tokio::test]
async fn a_silence_of_no_length_or_with_too_long_a_comment_is_refused() {
    let (monitor, id, _workers) = broken().await;
    let olga = monitor.sign_in("olga").await;
    let csrf = get(&monitor, "/", &olga).await.form_token().to_owned();
    for fields in ["for=", "for=0s", "for=9999d", &format!("for=1h&comment={}", "x".repeat(501))] {
        let answer = monitor.post(&format!("/incidents/{id}/silence"), &olga, &format!("csrf={csrf}&{fields}")).await;
        assert_eq!(answer.status, 400, "{fields}: {}", answer.text);
    }
    assert!(monitor.shared.alerts.suppression().silences.is_empty());
}
