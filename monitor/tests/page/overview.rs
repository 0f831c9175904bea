//! `GET /`: the whole first, then what is broken and why, then everything.

use std::time::Duration;

use kit::page::Tone;
use monitor::judge::Verdict;
use testkit::eventually;

use crate::prepared::{Monitor, card};

const SCRIPT: &str = "<script>alert('x')</script>";

#[tokio::test]
async fn everything_works_is_said_in_one_sentence_and_in_the_title() {
    let monitor = Monitor::start(vec![card("shop"), card("search")], &[]).await;
    monitor.observe("shop", None);
    monitor.observe("search", None);
    let page = monitor.get("/").await;
    assert_eq!(page.status, 200);
    page.assert_has("<h1>Everything works</h1>");
    page.assert_has("<title>✓ Everything works – monitor</title>");
    page.assert_has("2 services: 2 up");
    page.assert_has("42 ms");
}

#[tokio::test]
async fn a_broken_service_is_the_sentence_with_its_reason_and_what_it_takes_along() {
    let mut shop = card("shop");
    shop.hard_needs = vec!["database".into()];
    let monitor = Monitor::start(vec![shop, card("database"), card("search")], &[]).await;
    monitor.observe("search", None);
    monitor.observe("database", Some("connection refused by 127.0.0.1:5432"));
    monitor.observe("shop", Some("status 503"));
    let page = monitor.get("/").await;
    page.assert_has("<h1>database is down: connection refused by 127.0.0.1:5432, for ");
    page.assert_has(r#"Takes down with it: <a href="/services/shop">shop</a>"#);
    page.assert_has("because of database");
    assert_eq!(page.text.matches(r#"<li class="trouble">"#).count(), 1, "the root cause only");
}

#[tokio::test]
async fn every_state_is_a_word_a_mark_and_a_colour() {
    for verdict in Verdict::ALL {
        let monitor = Monitor::start(vec![card("shop")], &[]).await;
        monitor.set("shop", verdict, "because");
        let page = monitor.get("/").await;
        let word = verdict.as_str().replace('_', " ");
        let is_shown = Tone::ALL.iter().any(|tone| {
            let name = tone.as_str();
            page.text.contains(&format!(r#"<span class="state {name}">{}{word}</span>"#, tone.mark()))
        });
        assert!(is_shown, "{word}");
        assert!(page.text.contains(&format!("1 service: 1 {word}")), "{word}");
        let title = page.text.split("<title>").nth(1).unwrap();
        assert!(Tone::ALL.iter().any(|tone| title.starts_with(tone.sign())), "{title}");
    }
}

#[tokio::test]
async fn hostile_text_stays_text_wherever_it_comes_from() {
    let mut shop = card("shop");
    shop.about = Some(format!("about {SCRIPT}"));
    shop.group = Some(format!("group {SCRIPT}"));
    let monitor = Monitor::start(vec![shop], &["shop"]).await;
    monitor.crash("shop", &[format!("line {SCRIPT}"), "\u{1b}[31mred\u{0}".to_owned()]);
    monitor.observe("shop", Some(&format!("body: {SCRIPT}")));
    monitor.set("shop", Verdict::Down, &format!("health: body: {SCRIPT}"));
    for path in
        ["/", "/services/shop", "/services/shop?back=%3Cscript%3E", "/services/%3Cscript%3Ealert('x')%3C%2Fscript%3E"]
    {
        let page = monitor.get(path).await;
        assert!(!page.text.contains("<script>"), "{path}: {}", page.text);
        assert!(page.text.contains("script"), "{path}");
    }
    let page = monitor.get("/").await;
    for place in ["about", "group", "line", "body:"] {
        page.assert_has(&format!("{place} &#60;script&#62;"));
    }
}

#[tokio::test]
async fn foreign_code_has_no_way_in() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    for path in ["/", "/services/shop", "/services/nothing"] {
        let page = monitor.get(path).await;
        let policy = page.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("referrer-policy"), "same-origin");
        assert_eq!(page.header("cache-control"), "no-store");
        // What the policy would refuse is not there in the first place.
        for inline in [" style=", "<style", " onclick=", "javascript:", "http://", "https://"] {
            assert!(!page.text.contains(inline), "{path} has {inline}");
        }
    }
}

#[tokio::test]
async fn the_style_sheet_and_the_script_are_named_by_their_content_and_kept_for_ever() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    let page = monitor.get("/").await;
    let paths: Vec<&str> = page.text.split('"').filter(|text| text.starts_with("/assets/")).collect();
    assert_eq!(paths.len(), 3, "{paths:?}");
    for path in paths {
        let asset = monitor.get(path).await;
        assert_eq!(asset.status, 200, "{path}");
        assert!(asset.header("cache-control").contains("max-age="), "{path}");
        assert!(path.ends_with(".svg") || asset.header("cache-control").contains("immutable"), "{path}");
    }
    assert_eq!(monitor.get("/assets/page-0.css").await.status, 404);
}

#[tokio::test]
async fn without_a_script_the_page_is_whole_and_reloads_itself() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    monitor.observe("shop", None);
    let page = monitor.get("/").await;
    page.assert_has(r#"<noscript><meta http-equiv="refresh" content="30"></noscript>"#);
    page.assert_has(r##"<a class="skip" href="#main">"##);
    page.assert_has(r#"<html lang="en">"#);
    page.assert_has(r#"<a class="name" href="/services/shop""#);
    assert_eq!(page.text.matches("<h1").count(), 1);
    assert_eq!(page.text.matches("<script").count(), 1, "one deferred script");
}

#[tokio::test]
async fn a_page_of_two_hundred_services_is_small_and_asks_no_database_for_them() {
    let names: Vec<String> = (0..200).map(|n| format!("service-{n}")).collect();
    let monitor = Monitor::start(names.iter().map(|name| card(name)).collect(), &[]).await;
    names.iter().for_each(|name| monitor.observe(name, None));
    let page = monitor.get("/").await;
    assert_eq!(page.text.matches(r#"<li class="row">"#).count(), 200);
    assert!(page.text.len() < 400_000, "{} bytes", page.text.len());
    let commits = monitor.shared.stores.history.figures.read();
    assert_eq!(commits.0 + commits.2, 0, "{commits:?}");
}

#[tokio::test]
async fn live_events_end_with_the_loop_so_that_an_open_page_holds_up_nobody() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    let limit = Duration::from_secs(30);
    let changes = &monitor.shared.changes;
    let end = async {
        eventually("somebody listens", limit, async || (changes.receiver_count() > 0).then_some(())).await;
        monitor.end();
    };
    let (stream, ()) = tokio::join!(tokio::time::timeout(limit, monitor.get("/api/v1/events")), end);
    assert_eq!(stream.unwrap().status, 200);
}
