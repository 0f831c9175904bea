//! Healing as a person pauses and resumes it, with the buttons of a service's page.

use http::Method;
use kit::http::Role;
use monitor::heal::{HealRecord, HealSettings, HostHealSettings, PatientCard};
use serde_json::{Value, json};

use crate::browser::{Browser, serve};
use crate::prepared::{Monitor, card};

/// Signs in, pauses healing for four hours with a reason, and resumes it; tells each time what the page says.
const PERSON: &str = r##"
page = open("/login?next=/services/shop");
await signIn("olga-token-0123456789");
const section = () => find("section[aria-labelledby=healing]");
const button = (text) => [...(section()?.querySelectorAll("button") ?? [])].find((one) => one.textContent === text);
const says = (text) => section().querySelector("p").innerText.replace(/until .* .\d\d:\d\d: /, "until then: ") + " | " + text;
await until(() => button("Pause healing"));
await tell(says(button("Resume healing") ? "both" : "only Pause healing"));
find("input[name=comment]").value = "we look at it";
find("select[name=for]").value = "4h";
button("Pause healing").click();
await until(() => button("Resume healing"));
await tell(says(button("Pause healing") ? "both" : "only Resume healing"));
button("Resume healing").click();
await until(() => button("Pause healing"));
tell(says(page.location.pathname + page.location.hash));
"##;

/// Lets services be healed.
fn heal(monitor: &Monitor, services: &[&str]) {
    let card = |service: &&str| PatientCard {
        service: (*service).into(),
        settings: Some(HealSettings::default()),
        runs: Vec::new(),
        stops: Vec::new(),
    };
    let cards = services.iter().map(card).collect();
    monitor.shared.ward().configure(cards, HostHealSettings::default(), |_| HealRecord::default());
}

/// What the API says of the service's pause.
async fn paused(monitor: &Monitor) -> Value {
    let answer = monitor.get_as("/api/v1/services/shop", "application/json").await;
    serde_json::from_str::<Value>(&answer.text).unwrap()["healing"]["paused"].clone()
}

#[tokio::test]
async fn a_person_pauses_and_resumes_healing_with_the_buttons_of_the_page() {
    let (routes, said) = Browser::routes(PERSON);
    let monitor = serve(vec![card("shop")], routes).await;
    heal(&monitor, &["shop"]);
    monitor.know(&[("olga", Role::Operator)]);
    let mut browser = Browser::open(&monitor, said);
    let healed = "restarted if it hangs, refuses connections or ends, and a restart can help";
    assert_eq!(browser.hear().await, format!("{healed} | only Pause healing"));
    assert_eq!(browser.hear().await, "paused by olga until then: we look at it | only Resume healing");
    assert_eq!(browser.hear().await, format!("{healed} | /services/shop#healing"));
    assert_eq!(paused(&monitor).await, Value::Null);
    let rows = monitor.shared.stores.state.store().audit(20).await.unwrap();
    let hers: Vec<&str> = rows.iter().rev().filter(|row| row.who == "olga").map(|row| row.action.as_str()).collect();
    assert_eq!(hers, ["login", "healing.pause", "healing.resume"]);
    assert_eq!(rows[1].target, "shop");
    assert!(rows[1].detail.ends_with(": we look at it"), "{}", rows[1].detail);
    browser.assert_quiet();
}

#[tokio::test]
async fn healing_is_paused_for_as_long_as_is_said_and_by_nobody_who_may_not() {
    let monitor = Monitor::start(vec![card("shop")], &["shop"]).await;
    heal(&monitor, &["shop"]);
    monitor.know(&[("olga", Role::Operator), ("vera", Role::Viewer)]);
    let (olga, vera) = (monitor.sign_in("olga").await, monitor.sign_in("vera").await);
    let page = async |cookie: &str| {
        let headers = [("accept", "text/html"), ("cookie", cookie)];
        monitor.send(Method::GET, "/services/shop", &headers, "").await
    };
    for cookie in ["", &vera] {
        let shown = page(cookie).await;
        shown.assert_has("restarted if it hangs, refuses connections or ends");
        assert!(!shown.text.contains("Pause healing"), "no button for {cookie:?}");
    }
    let (csrf, hers) = (page(&olga).await.form_token().to_owned(), page(&vera).await.form_token().to_owned());
    let (pause, resume) = ("/services/shop/healing/pause", "/services/shop/healing/resume");
    let refused = [
        ("", "for=1h".to_owned()),
        (vera.as_str(), format!("for=1h&csrf={hers}")),
        (&olga, "for=1h".to_owned()),
        (&olga, format!("for=1h&csrf={hers}")),
    ];
    for (cookie, form) in &refused {
        let answer = monitor.post(pause, cookie, form).await;
        assert!([401, 403].contains(&answer.status), "{cookie} {form}: {}", answer.status);
    }
    let kind = [("content-type", "application/json")];
    let by_api = monitor.send(Method::POST, "/api/v1/healing/pause", &kind, r#"{"service": "shop"}"#).await;
    assert_eq!(by_api.status, 401, "{}", by_api.text);
    for form in ["for=9999d", "for=0s", &format!("for=1h&comment={}", "x".repeat(501))] {
        assert_eq!(monitor.post(pause, &olga, &format!("csrf={csrf}&{form}")).await.status, 400, "{form}");
    }
    assert_eq!(paused(&monitor).await, Value::Null, "nobody who may has said so");
    // Until somebody resumes it.
    assert_eq!(monitor.post(pause, &olga, &format!("csrf={csrf}&for=")).await.status, 303);
    let by_her = paused(&monitor).await;
    assert_eq!((&by_her["by"], &by_her["until"]), (&json!("olga"), &Value::Null), "{by_her}");
    page(&olga).await.assert_has("paused by olga until somebody resumes it");
    for (cookie, form) in &refused {
        let answer = monitor.post(resume, cookie, form).await;
        assert!([401, 403].contains(&answer.status), "{cookie} {form}: {}", answer.status);
    }
    assert_eq!(paused(&monitor).await["by"], "olga", "it stays paused");
    assert_eq!(monitor.post(resume, &olga, &format!("csrf={csrf}")).await.status, 303);
    assert_eq!(paused(&monitor).await, Value::Null);
}
