//! `GET /findings`: what is to be mended, by file and by service, and who sees it.

use std::sync::Arc;

use jiff::Timestamp;
use kit::http::Role;
use monitor::doctor::{Examined, Finding, Found, Look, Looked, Severity};
use monitor::export::{AccessSettings, Public};
use monitor::supervise::discovery::{Finds, FoundBy};

use crate::prepared::{Monitor, card};

const SCRIPT: &str = "<script>alert('x')</script>";

/// A finding of the doctor, by a rule of that severity.
pub(crate) fn finding(severity: Severity, file: &str, line: u64, service: &str, message: &str) -> Finding {
    Finding {
        rule: if severity == Severity::Error { "gate-never-opens" } else { "image-not-pinned" },
        severity,
        file: file.to_owned(),
        line,
        column: u64::from(line > 0),
        service: service.to_owned(),
        message: message.to_owned(),
        why: "It never starts.",
        fix: format!("fix of {message}"),
    }
}

fn found(finding: Finding) -> Found {
    let source = (finding.line > 0).then(|| format!("source of {}", finding.message));
    Found { finding, source, stale: false }
}

/// Lets the doctor find these in one project.
pub(crate) fn examined(monitor: &Monitor, findings: Vec<Finding>) {
    let looked = Looked {
        findings: findings.into_iter().map(found).collect(),
        not_checked: vec!["image x".to_owned()],
        ..Looked::default()
    };
    look(monitor, ("a.yml".to_owned(), Ok(looked)));
}

fn look(monitor: &Monitor, look: Look) {
    let before = monitor.shared.examined.load();
    monitor.shared.examined.store(Arc::new(Examined::after(&before, vec![look], Timestamp::now())));
}

#[tokio::test]
async fn without_findings_it_says_so_and_how_files_are_named() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    let page = monitor.get("/findings").await;
    assert_eq!((page.status, page.header("cache-control")), (200, "no-store"));
    page.assert_has("<h1>Nothing was examined yet</h1>");
    page.assert_has("compose: [/srv/app/docker-compose.yml]");
    examined(&monitor, Vec::new());
    let page = monitor.get("/findings").await;
    page.assert_has("<h1>Nothing is to be mended</h1>");
    page.assert_has("Not looked into (1)");
    assert!(!page.text.contains("class=\"many"), "nothing is counted");
}

#[tokio::test]
async fn errors_come_first_by_file_with_the_line_the_reason_and_what_to_write() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    examined(
        &monitor,
        vec![
            finding(Severity::Warning, "a.yml", 3, "shop", "old"),
            finding(Severity::Error, "b.yml", 9, "shop", SCRIPT),
            finding(Severity::Warning, "self", 0, "", "few open files"),
        ],
    );
    let page = monitor.get("/findings").await;
    page.assert_has("<h1>1 error to mend</h1>");
    page.assert_has("1 error, 2 warnings");
    page.assert_has("<title>✕ 1 error to mend – monitor</title>");
    page.assert_has("Findings <span class=\"many bad\">3</span>");
    for text in
        ["</svg>error</span>", "</svg>warning</span>", "line 9:1", "What the monitor stands on", "It never starts."]
    {
        page.assert_has(text);
    }
    assert!(!page.text.contains("<script>alert"), "hostile text stays text");
    page.assert_has("source of &#60;script&#62;");
    page.assert_has("tabindex=\"0\">fix of &#60;script&#62;");
    let places: Vec<usize> = [">b.yml</h2>", ">a.yml</h2>", ">What the monitor stands on</h2>"]
        .map(|title| page.text.find(title).unwrap_or_else(|| panic!("{title} is missing in {}", page.text)))
        .into();
    assert!(places.is_sorted(), "{places:?}");
    let filtered = monitor.get("/findings?severity=warning&service=shop").await;
    assert!(filtered.text.contains("line 3:1") && !filtered.text.contains("line 9:1"), "{}", filtered.text);
    monitor.get("/findings?rule=docker-socket").await.assert_has("Nothing like that is found.");
    let service = monitor.get("/services/shop").await;
    service.assert_has("To be mended in its files");
    service.assert_has("b.yml, line 9:1");
    assert!(!service.text.contains("few open files"), "that is not about this service");
}

#[tokio::test]
async fn what_goes_on_now_stands_in_the_same_list_as_what_files_say() {
    let (mut shop, loose) = (card("shop"), card("loose"));
    let mistakes = vec!["container \"shop-1\", label monitor.check.a.http: no path".to_owned()];
    shop.found = Some(FoundBy { discovery: "docker".into(), shown: "container \"shop-1\"".to_owned(), mistakes });
    let monitor = Monitor::start(vec![shop, loose], &[]).await;
    let mut catalogue = (**monitor.shared.catalogue.load()).clone();
    catalogue.discoveries.push(Finds {
        discovery: "docker".into(),
        address: "unix:///x".to_owned(),
        looks_for: "containers".to_owned(),
        services: 1,
        left_out: 2,
        blind: None,
        problems: vec!["2 more are there than the limit of 1".to_owned()],
        blind_since: None,
        mistakes: Default::default(),
        wrong_since: None,
    });
    monitor.shared.catalogue.store(Arc::new(catalogue));
    examined(&monitor, vec![finding(Severity::Error, "a.yml", 3, "shop", "never opens")]);
    let answer = monitor.get("/api/v1/findings").await.json();
    let rules: Vec<&str> = answer["findings"].as_array().unwrap().iter().map(|f| f["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["discovery_problem", "label_mistake", "gate-never-opens"], "{answer}");
    assert_eq!((&answer["errors"], &answer["warnings"], &answer["left_out"]), (&3.into(), &0.into(), &0.into()));
    let page = monitor.get("/findings").await;
    for text in
        ["What is found by itself", "2 more are there than the limit of 1", "label monitor.check.a.http: no path"]
    {
        page.assert_has(text);
    }
    page.assert_has("<a href=\"/services/shop\">shop</a></h2>");
    let of_shop = monitor.get("/api/v1/findings?service=shop&rule=label_mistake&severity=error").await.json();
    assert_eq!(of_shop["findings"].as_array().unwrap().len(), 1, "{of_shop}");
    let wrong = monitor.get("/api/v1/findings?rule=label_mistakes").await;
    assert_eq!(wrong.status, 400);
    wrong.assert_has("did you mean \\\"label_mistake\\\"?");
    assert_eq!(monitor.get("/api/v1/findings?severity=fatal").await.status, 400);
}

#[tokio::test]
async fn what_could_not_be_looked_at_again_is_marked_as_old() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    examined(&monitor, vec![finding(Severity::Warning, "a.yml", 3, "shop", "old")]);
    let broken = Finding { rule: "file-unreadable", ..finding(Severity::Error, "a.yml", 1, "", "this is not YAML") };
    look(&monitor, ("a.yml".to_owned(), Err(broken)));
    let page = monitor.get("/findings").await;
    page.assert_has("this is not YAML");
    assert_eq!(page.text.matches("not looked at again").count(), 1, "{}", page.text);
    let answer = monitor.get("/api/v1/findings").await.json();
    assert_eq!((&answer["findings"][0]["stale"], &answer["findings"][1]["stale"]), (&false.into(), &true.into()));
}

#[tokio::test]
async fn strangers_who_see_names_only_see_nothing_of_it() {
    let monitor = Monitor::start(vec![card("shop")], &[]).await;
    examined(&monitor, vec![finding(Severity::Error, "a.yml", 3, "shop", "never opens")]);
    monitor.know(&[("vera", Role::Viewer)]);
    let settings = AccessSettings { public: Public::Names, ..AccessSettings::STANDARD };
    monitor.reception.configure(&settings, None);
    let home = monitor.get("/").await;
    assert!(!home.text.contains("/findings") && !home.text.contains("class=\"many"), "{}", home.text);
    assert_ne!(monitor.get("/findings").await.status, 200);
    assert_eq!(monitor.get_as("/api/v1/findings", "application/json").await.status, 401);
}
