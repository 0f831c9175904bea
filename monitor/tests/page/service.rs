//! `GET /services/{name}`: everything that is known of one service.

use std::time::Duration;

use monitor::judge::Verdict;

use crate::prepared::{Monitor, card};

#[tokio::test]
async fn a_service_shows_its_check_its_last_answer_and_whom_it_has_to_do_with() {
    let (mut shop, mut cart) = (card("shop"), card("cart"));
    shop.about = Some("the web shop".to_owned());
    shop.hard_needs = vec!["database".into()];
    shop.soft_needs = vec!["traces".into()];
    shop.availability = Some(0.999);
    shop.latency_p95 = Some(Duration::from_millis(200));
    cart.hard_needs = vec!["shop".into()];
    let monitor = Monitor::start(vec![shop, cart, card("database"), card("traces")], &[]).await;
    monitor.observe("shop", None);
    let page = monitor.get("/services/shop").await;
    page.assert_has("<h1>shop is up</h1>");
    page.assert_has("<title>✓ shop is up – monitor</title>");
    for text in
        ["the web shop", "Needs", "Would miss", "Needed by", "/services/cart", "made-up 127.0.0.1:9 · every 10 s"]
    {
        page.assert_has(text);
    }
    for text in
        ["passed after 42 ms", "first byte <b>40 ms</b>", "99.90 %", "200 ms", "0af7651916cd43dd8448eb211c80319c"]
    {
        page.assert_has(text);
    }
    page.assert_has(r#"<a href="?back=24h">24 hours</a>"#);
    page.assert_has(r#"<a href="?back=1h" aria-current="true">"#);
}

#[tokio::test]
async fn a_broken_need_is_named_as_the_cause() {
    let mut shop = card("shop");
    shop.hard_needs = vec!["database".into()];
    let monitor = Monitor::start(vec![shop, card("database")], &[]).await;
    monitor.observe("database", Some("refused"));
    monitor.observe("shop", Some("status 503, expected 200"));
    let page = monitor.get("/services/shop").await;
    page.assert_has("<h1>shop is down</h1>");
    page.assert_has("health: status 503, expected 200");
    page.assert_has(r#"Because of <a href="/services/database">database</a>, which failed first."#);
}

#[tokio::test]
async fn a_process_shows_every_start_and_end_and_its_last_lines() {
    let monitor = Monitor::start(vec![card("mailer")], &["mailer"]).await;
    monitor.crash("mailer", &["cannot open key 1".to_owned()]);
    monitor.crash("mailer", &["cannot open key 2".to_owned()]);
    let page = monitor.get("/services/mailer").await;
    for text in ["exited with code 3", "cannot open key 2", "2, 2 in the last 10 min"] {
        page.assert_has(text);
    }
    assert_eq!(page.text.matches(r#"class="crash""#).count(), 2, "both ends are on the timeline");
}

#[tokio::test]
async fn an_unknown_service_is_a_page_for_a_browser_and_json_for_a_program() {
    let monitor = Monitor::start(vec![card("database")], &[]).await;
    let page = monitor.get("/services/databose").await;
    assert_eq!(page.status, 404);
    page.assert_has("There is no service “databose”");
    page.assert_has(r#"Did you mean <a href="/services/database">database</a>?"#);
    let json = monitor.get_as("/services/databose", "application/json").await;
    assert_eq!((json.status, json.header("content-type")), (404, "application/json"));
    let api = monitor.get("/api/v1/services/databose").await;
    assert_eq!((api.status, api.header("content-type")), (404, "application/json"));
}

#[tokio::test]
async fn a_verdict_is_said_as_people_say_it() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    for (verdict, said) in [
        (Verdict::GaveUp, "shop is given up"),
        (Verdict::CrashLooping, "shop is crash looping"),
        (Verdict::Completed, "shop has completed"),
        (Verdict::Stale, "shop is stale"),
    ] {
        monitor.set("shop", verdict, "");
        monitor.get("/services/shop").await.assert_has(&format!("<h1>{said}</h1>"));
    }
}
