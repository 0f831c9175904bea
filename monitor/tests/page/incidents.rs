//! `GET /incidents` and `GET /incidents/{id}`: what is wrong, who knows of it, what proves it.

use kit::clock::Stamp;
use monitor::alert::{Condition, DeliveryState, Severity};
use monitor::judge::Verdict;
use testkit::Answer;
use uuid::Uuid;

use crate::prepared::{Monitor, as_if_at_once, card};
use crate::told::{accepts, audit, down, fails, holds, refuses, silence, told_to, until, window};

const SCRIPT: &str = "<script>alert('x')</script>";

/// The mark and the word of a state, as pages write it.
fn state(tone: &str, word: &str) -> String {
    format!(
        r##"<span class="state {tone}"><svg class="mark {tone}" viewBox="0 0 16 16" aria-hidden="true"><use href="#mark-{tone}"/></svg>{word}</span>"##
    )
}

/// Everything that may be read, without mark-up and runs of white space.
fn text(page: &Answer) -> String {
    let mut text = String::new();
    for piece in page.text.split('<') {
        text.push_str(piece.split_once('>').map_or(piece, |(_, rest)| rest));
        text.push(' ');
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn without_any_incident_the_page_says_so_nicely() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    let _workers = told_to(&monitor, vec![accepts("ops")]);
    let page = monitor.get("/incidents").await;
    assert_eq!((page.status, page.header("cache-control")), (200, "no-store"));
    page.assert_has("<h1>No open incidents</h1>");
    page.assert_has("<title>✓ No open incidents – monitor</title>");
    page.assert_has("Nothing is open. Have a quiet day.");
    page.assert_has("No incident has ended yet.");
    page.assert_has(r#"aria-label="No incident opened in the last 30 days.""#);
    assert_eq!(page.text.matches(r#"class="none""#).count(), 30, "a tick a day");
    assert!(!page.text.contains("Nobody is told"), "there is a channel");
}

#[tokio::test]
async fn open_incidents_come_first_with_their_cause_and_whether_people_were_told() {
    let monitor = Monitor::start(vec![card("shop"), card("cart"), card("search")], &[]).await;
    let _workers =
        told_to(&monitor, vec![accepts("ops"), fails("pager", "503 Service Unavailable"), refuses("mail", "550 no")]);
    let mut shop = down("shop", "connection refused");
    shop.impacted = vec!["cart".to_owned(), "search".to_owned()];
    let mut search = down("search", "status 500");
    search.severity = Severity::Ticket;
    let open = holds(&monitor, &[search, shop]).await;
    let shop = open.iter().find(|incident| incident.service.as_deref() == Some("shop")).unwrap();
    until(&monitor, shop.id, "ops", DeliveryState::Sent).await;
    until(&monitor, shop.id, "pager", DeliveryState::Due).await;
    until(&monitor, shop.id, "mail", DeliveryState::Dead).await;
    let page = monitor.get("/incidents").await;
    page.assert_has("<h1>2 open incidents</h1>");
    page.assert_has(&state("bad", "page"));
    page.assert_has(&state("warn", "ticket"));
    page.assert_has(&format!(
        r#"<a class="name" href="/incidents/{}">shop is down: health: connection refused</a>"#,
        shop.id
    ));
    let text = text(&page);
    assert!(text.find("shop is down") < text.find("search is down"), "pages before tickets: {text}");
    assert!(text.contains("2 services need it"), "{text}");
    assert!(
        text.contains("dead letter: mail 550 no waiting: pager 503 Service Unavailable, 1 try told ops "),
        "{text}"
    );
    page.assert_has("Incidents that opened in the last 30 days: 1 page, 1 ticket.");
}

#[tokio::test]
async fn whoever_took_it_what_comes_and_goes_and_what_is_kept_quiet_is_marked() {
    let monitor = Monitor::start(vec![card("shop"), card("cart")], &[]).await;
    let _workers = told_to(&monitor, vec![accepts("ops")]);
    monitor.shared.alerts.silence(silence("cart"), audit()).await.unwrap();
    let open = holds(&monitor, &[down("shop", "refused"), down("cart", "refused")]).await;
    let shop = open.iter().find(|incident| incident.service.as_deref() == Some("shop")).unwrap();
    assert!(monitor.shared.alerts.acknowledge(shop.id, "ada", "on it", audit()).await.unwrap());
    let page = text(&monitor.get("/incidents").await);
    assert!(page.contains("taken by ada at "), "{page}");
    assert!(page.contains("silenced by ada until "), "{page}");
    assert!(page.contains("not told: ops"), "{page}");
    let page = text(&monitor.get(&format!("/incidents/{}", shop.id)).await);
    assert!(page.contains("Taken by ada at ") && page.contains("on it"), "{page}");
    assert!(page.contains("acknowledged ada has taken it: on it"), "{page}");
}

#[tokio::test]
async fn an_incident_shows_facts_impact_evidence_timeline_and_deliveries() {
    let monitor = Monitor::start(vec![card("shop"), card("cart"), card("search")], &[]).await;
    let _workers = told_to(&monitor, vec![accepts("ops"), fails("pager", "503 Service Unavailable")]);
    let mut shop = down("shop", "connection refused");
    shop.impacted = vec!["cart".to_owned(), "search".to_owned()];
    shop.labels.insert("team".to_owned(), "sales".to_owned());
    shop.source_url = Some("https://prometheus.example.com/graph".to_owned());
    let mut cart = down("cart", "status 502");
    cart.roots = vec!["shop".into()];
    monitor.set("cart", Verdict::Down, "status 502");
    let id = holds(&monitor, std::slice::from_ref(&shop)).await[0].id;
    until(&monitor, id, "ops", DeliveryState::Sent).await;
    until(&monitor, id, "pager", DeliveryState::Due).await;
    assert_eq!(holds(&monitor, &[shop, cart]).await.len(), 1, "cart stands in the incident of shop");
    let page = monitor.get(&format!("/incidents/{id}")).await;
    assert_eq!(page.header("cache-control"), "no-store");
    page.assert_has("<h1>shop is down: health: connection refused</h1>");
    page.assert_has("<title>✕ shop is down: health: connection refused – monitor</title>");
    page.assert_has(r#"<a href="https://prometheus.example.com/graph" rel="noreferrer noopener">"#);
    page.assert_has(r#"<a class="name" href="/services/cart">cart</a> <span class="tag">fails because of it</span>"#);
    page.assert_has(r#"aria-label="connect 2.0 ms, first byte 40 ms""#);
    page.assert_has("Latency of shop/health");
    page.assert_has("cannot open key\n</pre>");
    for (tone, word) in
        [("bad", "page"), ("bad", "down"), ("bad", "opened"), ("warn", "impact"), ("good", "sent"), ("warn", "due")]
    {
        page.assert_has(&state(tone, word));
    }
    let text = text(&page);
    for said in [
        "team=sales",
        "Failing check shop/health",
        "Last run exited with code 3",
        "Trace 0af7651916cd43dd8448eb211c80319c",
    ] {
        assert!(text.contains(said), "no {said:?} in {text}");
    }
    assert!(text.contains("cart fails too: cart is down: health: status 502"), "{text}");
    assert!(text.contains("pager event opened #1 due tries 1 "), "{text}");
    assert!(text.contains("503 Service Unavailable"), "{text}");
}

#[tokio::test]
async fn what_is_over_says_how_and_after_how_long_and_is_found_under_past() {
    let monitor = Monitor::start(vec![card("shop"), card("cart")], &[]).await;
    let _workers = told_to(&monitor, vec![accepts("ops")]);
    let id = holds(&monitor, &[down("shop", "refused")]).await[0].id;
    until(&monitor, id, "ops", DeliveryState::Sent).await;
    holds(&monitor, &[]).await;
    let page = monitor.get(&format!("/incidents/{id}")).await;
    page.assert_has(&state("good", "resolved"));
    let said = text(&page);
    assert!(said.contains("works again") && said.contains(" Lasted "), "{said}");
    page.assert_has("<title>✓ recovered: shop is down: health: refused – monitor</title>");
    let page = monitor.get("/incidents").await;
    page.assert_has("<h1>No open incidents</h1>");
    page.assert_has(&state("good", "recovered"));
    let said = text(&page);
    assert!(said.contains("page · lasted ") && said.contains("told ops"), "{said}");
    assert!(text(&monitor.get("/incidents?service=cart").await).contains("No incident has ended yet."));
    assert!(text(&monitor.get("/incidents?service=shop&state=past").await).contains("shop is down"));
    assert!(!text(&monitor.get("/incidents?state=open").await).contains("shop is down"));
    let service = text(&monitor.get("/services/shop").await);
    assert!(service.contains("Past incidents") && service.contains("shop is down: health: refused"), "{service}");
}

#[tokio::test]
async fn past_incidents_that_opened_at_once_are_all_found_page_by_page() {
    let names: Vec<String> = (0..60).map(|n| format!("service-{n}")).collect();
    let monitor = Monitor::start(names.iter().map(|name| card(name)).collect(), &[]).await;
    let conditions: Vec<Condition> = names.iter().map(|name| down(name, "refused")).collect();
    assert_eq!(holds(&monitor, &conditions).await.len(), 60);
    holds(&monitor, &[]).await;
    let (mut path, mut seen, mut pages) = ("/incidents".to_owned(), std::collections::BTreeSet::new(), 0);
    loop {
        let page = monitor.get(&path).await;
        pages += 1;
        let ids = page.text.split(r#"<a class="name text" href="/incidents/"#).skip(1);
        for id in ids.map(|rest| rest.split('"').next().unwrap().to_owned()) {
            assert!(seen.insert(id), "twice");
        }
        let Some(rest) = page.text.split(r#"<p class="more"><a href="?"#).nth(1) else { break };
        path = format!("/incidents?{}", rest.split('"').next().unwrap());
    }
    assert_eq!((pages, seen.len()), (3, 60));
}

#[tokio::test]
async fn what_waits_behind_an_earlier_event_says_so_and_shows_that_ones_tries() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    let _workers = told_to(&monitor, vec![fails("pager", "503 Busy")]);
    let mut shop = down("shop", "refused");
    let id = holds(&monitor, std::slice::from_ref(&shop)).await[0].id;
    until(&monitor, id, "pager", DeliveryState::Due).await;
    shop.rank = 1;
    holds(&monitor, &[shop]).await;
    let page = text(&monitor.get(&format!("/incidents/{id}")).await);
    assert!(page.contains("waiting: pager 503 Busy, "), "{page}");
    assert!(page.contains("pager event worsened #2 due tries 0 "), "{page}");
    assert!(page.contains("next try after #1"), "{page}");
}

#[tokio::test]
async fn a_held_incident_says_that_a_need_may_be_the_cause() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    let _workers = told_to(&monitor, vec![accepts("ops")]);
    let mut shop = down("shop", "refused");
    (shop.needs, shop.vouched) = (vec!["database".into()], false);
    let id = holds(&monitor, &[shop]).await[0].id;
    for path in ["/incidents".to_owned(), format!("/incidents/{id}")] {
        let page = text(&monitor.get(&path).await);
        assert!(page.contains("held back: ops a need may turn out to be the cause"), "{page}");
    }
}

#[tokio::test]
async fn hostile_text_stays_text_and_a_hostile_link_is_no_link() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    let _workers = told_to(&monitor, vec![refuses("ops", &format!("answer {SCRIPT}"))]);
    let mut shop = down("shop", &format!("reason {SCRIPT}"));
    shop.title = format!("title {SCRIPT}");
    shop.description = format!("description {SCRIPT}");
    shop.verdict = format!("verdict {SCRIPT}");
    shop.labels.insert(format!("label {SCRIPT}"), format!("value {SCRIPT}"));
    shop.source_url = Some("javascript:alert(1)".to_owned());
    shop.impacted = vec![format!("impacted {SCRIPT}")];
    shop.evidence.exit = format!("exit {SCRIPT}");
    shop.evidence.last_lines = vec![format!("line {SCRIPT}"), "\u{1b}[31mred\u{0}".to_owned()];
    shop.evidence.phases = vec![(format!("phase {SCRIPT}"), 1), ("b".to_owned(), 2)];
    let id = holds(&monitor, std::slice::from_ref(&shop)).await[0].id;
    until(&monitor, id, "ops", DeliveryState::Dead).await;
    assert!(monitor.shared.alerts.acknowledge(id, "ada", &format!("note {SCRIPT}"), audit()).await.unwrap());
    let one = format!("/incidents/{id}");
    let list = "/incidents?service=%3Cscript%3Ealert(1)%3C/script%3E&state=%22%3E%3Cscript%3E";
    for path in ["/", "/incidents", list, &one, "/alerts", "/services/shop", "/incidents/%3Cscript%3E"] {
        let page = monitor.get(path).await;
        assert!(!page.text.contains("<script>"), "{path}: {}", page.text);
        assert!(!page.text.contains("javascript:"), "{path}");
        for inline in [" style=", "<style", " onclick="] {
            assert!(!page.text.contains(inline), "{path} has {inline}");
        }
    }
    let page = monitor.get(&one).await;
    for place in
        ["title", "description", "verdict", "label", "value", "impacted", "exit", "line", "reason", "answer", "note"]
    {
        page.assert_has(&format!("{place} &#60;script&#62;"));
    }
    page.assert_has("phase &lt;script&gt;");
}

#[tokio::test]
async fn an_unknown_incident_is_a_page_for_a_browser_and_json_for_a_program() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    for path in [format!("/incidents/{}", Uuid::nil()), "/incidents/7".to_owned()] {
        let page = monitor.get(&path).await;
        assert_eq!(page.status, 404);
        page.assert_has("There is no such incident");
        let json = monitor.get_as(&path, "application/json").await;
        assert_eq!((json.status, json.header("content-type")), (404, "application/json"));
    }
}

#[tokio::test]
async fn without_a_script_every_page_is_whole_and_its_filter_is_a_plain_form() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    let id = holds(&monitor, &[down("shop", "refused")]).await[0].id;
    for path in ["/incidents".to_owned(), format!("/incidents/{id}"), "/alerts".to_owned()] {
        let page = monitor.get(&path).await;
        page.assert_has(r#"<noscript><meta http-equiv="refresh" content="30"></noscript>"#);
        assert_eq!(page.text.matches("<h1").count(), 1, "{path}");
        assert_eq!(page.text.matches("<script").count(), 1, "{path}: one deferred script");
        assert!(page.header("content-security-policy").contains("form-action 'self'"));
    }
    let page = monitor.get("/incidents?service=shop&state=open").await;
    page.assert_has(r#"<form class="filter" method="get" action="/incidents""#);
    page.assert_has("<option selected>shop</option>");
    page.assert_has(r#"<option value="open" selected>open</option>"#);
}

#[tokio::test]
async fn the_overview_says_what_is_open_and_the_status_names_it_without_hiding_the_verdict() {
    let monitor = Monitor::start(vec![card("shop"), card("cart")], &[]).await;
    let page = monitor.get("/").await;
    page.assert_has("Nobody is told</span>: no channels are configured.");
    assert!(!page.text.contains(r#"class="strip"#));
    let _workers = told_to(&monitor, vec![accepts("ops")]);
    monitor.observe("shop", Some("refused"));
    monitor.shared.alerts.silence(silence("shop"), audit()).await.unwrap();
    monitor.shared.alerts.add_window(window("new disk", &["cart"]), audit()).await.unwrap();
    let id = holds(&monitor, &[down("shop", "refused")]).await[0].id;
    let page = monitor.get("/").await;
    assert!(!page.text.contains("Nobody is told</span>"));
    let said = as_if_at_once(&text(&page));
    assert!(said.contains("1 open incident 1 page newest: shop is down: health: refused"), "{said}");
    assert!(said.contains("shop down for 0 s silenced"), "{said}");
    page.assert_has(r#"<span class="tag" title="maintenance until "#);
    let service = text(&monitor.get("/services/shop").await);
    assert!(
        service.contains("silenced until ") && service.contains("by ada: moving house; nobody is told meanwhile."),
        "{service}"
    );
    let cart = text(&monitor.get("/services/cart").await);
    assert!(cart.contains("maintenance until ") && cart.contains("by ada: new disk"), "{cart}");
    let status: serde_json::Value = serde_json::from_str(&monitor.get("/api/v1/status").await.text).unwrap();
    let of =
        |name: &str| status["services"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
    let (shop, cart) = (of("shop"), of("cart"));
    assert_eq!((&shop["incident"], &shop["verdict"]), (&id.to_string().into(), &"down".into()));
    assert_eq!((&shop["silenced"]["by"], &shop["silenced"]["why"]), (&"ada".into(), &"moving house".into()));
    assert_eq!(
        (&cart["maintenance"]["why"], cart.get("silenced"), cart.get("incident")),
        (&"new disk".into(), None, None)
    );
    monitor.get("/api/v1/openapi.json").await.assert_has("OverlayStatus");
}

#[tokio::test]
async fn live_readers_hear_of_incidents_and_of_what_people_do() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    let mut shown = monitor.shared.alerts.shown();
    let id = holds(&monitor, &[down("shop", "refused")]).await[0].id;
    shown.mark_unchanged();
    monitor.shared.alerts.acknowledge(id, "ada", "", audit()).await.unwrap();
    assert!(shown.has_changed().unwrap());
    let became =
        monitor.shared.alerts.follow(Vec::new(), &|_| true, Stamp::now(), monitor::record::StateBatch::default());
    let changes: Vec<monitor::export::Change> = became.into_iter().map(Into::into).collect();
    let changes = serde_json::to_value(changes).unwrap();
    let wanted = serde_json::json!([{ "type": "incident", "id": id, "service": "shop", "state": "resolved" }]);
    assert_eq!(changes, wanted);
}
