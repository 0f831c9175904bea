//! The page in headless Chromium: no complaint in its console, no sideways scroll on a phone, live without a reload.

use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::{get, post};
use kit::http::Role;
use monitor::alert::DeliveryState;
use monitor::doctor::Severity;
use monitor::export::Change;
use monitor::judge::Verdict;
use monitor::record::Stores;
use testkit::eventually;
use tokio::sync::mpsc;

use crate::findings::{examined, finding};
use crate::prepared::{Monitor, as_if_at_once, card};
use crate::told::{accepts, audit, down, fails, holds, refuses, silence, told_to, until};

/// Far longer than a browser needs to start beside other tests.
const PATIENT: Duration = Duration::from_secs(60);

/// What every script below may use: it tells us, and looks at a page in a window of its own.
const HELPERS: &str = r##"
const tell = (text) => fetch("/said", { method: "POST", body: text });
const until = async (look) => { while (!look()) await new Promise((again) => setTimeout(again, 20)); };
let page;
const find = (selector) => page.document.querySelector(selector);
const signIn = async (token) => {
  await until(() => find("input[name=token]")?.value === "");
  find("input[name=token]").value = token;
  find("form.panel button").click();
};
const openTheOnlyIncident = async () => {
  page = open("/login?next=/incidents");
  await signIn("olga-token-0123456789");
  await until(() => find(".trouble .name"));
  find(".trouble .name").click();
  await until(() => find(".acts") && find("#live")?.textContent === "live");
};
"##;

/// Writes pages into a frame as wide as a small phone and tells what sticks out.
const PHONE: &str = r##"
const frame = document.createElement("iframe"), said = [];
Object.assign(frame, { width: 360, height: 800, sandbox: "allow-same-origin" });
document.body.append(frame);
await fetch("/login", { method: "POST", body: new URLSearchParams({ token: "olga-token-0123456789" }) });
const paths = ["/", "/services/shop", "/services/nothing", "/alerts", "/findings", "/incidents"];
for (const path of paths) {
  const text = await (await fetch(path, { headers: { accept: "text/html" } })).text();
  await new Promise((loaded) => { frame.onload = loaded; frame.srcdoc = text.replace(/<script.*<\/script>/, ""); });
  const root = frame.contentDocument.documentElement;
  if (!frame.contentDocument.querySelector("h1")) said.push(path + " is empty");
  if (getComputedStyle(frame.contentDocument.body).margin !== "0px") said.push(path + " has no style");
  if (path === "/incidents") paths.push(frame.contentDocument.querySelector(".trouble a.name").getAttribute("href"));
  if (path.includes("/incidents/") && !frame.contentDocument.querySelector(".acts")) said.push("no forms");
  if (frame.clientWidth !== 360) said.push("the phone is " + frame.clientWidth + " wide");
  if (root.scrollWidth > 360) said.push(path + " is " + root.scrollWidth + " wide");
}
tell(said.join(", ") || "all fit");
"##;

/// Opens the page, opens its log lines, and tells what it shows once its headline changes.
const WATCHER: &str = r##"
page = open("/");
await until(() => find("#live")?.textContent === "live");
const before = find("h1").textContent;
find("details").open = true;
find('a[href="/services/shop"].name').focus();
await tell("live: " + before);
await until(() => find("h1").textContent !== before);
const focused = page.document.activeElement.getAttribute("href");
tell([find("h1").textContent, page.document.title, find("link[rel=icon]").getAttribute("href"), find("details").open, focused].join(" | "));
"##;

/// Signs in and out with the forms of the page, as a person does, and tells what stands at the top.
const PERSON: &str = r##"
page = open("/login?next=/audit");
const top = () => [page.location.pathname, find("h1").textContent, find(".visitor").textContent.trim()].join(" | ");
for (const token of ["wrong-token-0123456789", "ada-token-0123456789"]) {
  await signIn(token);
  await until(() => find(token.startsWith("wrong") ? ".wrong" : ".visitor button"));
  await tell(top());
}
find(".visitor button").click();
await until(() => find(".visitor a"));
tell(top());
"##;

/// Tells what an incident shows, acknowledges it with a note, and silences it.
const OPERATOR: &str = r##"
const texts = (selector) => [...page.document.querySelectorAll(selector)].map((element) => element.innerText.trim().replace(/\s+/g, " "));
await openTheOnlyIncident();
await tell([find("h1").textContent, texts(".timeline .state").join(), find(".check .lines").textContent.trim(),
  texts(".stacked tbody tr").map((row) => row.replace(/ \d\d:\d\d .\d\d:\d\d/, "")).join(" / ")].join(" | "));
find(".acts input[name=note]").focus();
find(".acts input[name=note]").value = "on it";
find(".acts form button").click();
await until(() => find(".note .busy"));
await tell([find(".note").innerText.replace(/ at .*: /, ": "), texts(".timeline .state").join(), find(".acts button").textContent].join(" | "));
find(".acts form[action$='/silence'] button").click();
await until(() => page.document.body.innerText.includes("silenced by olga"));
tell(texts(".acts button").join());
"##;

/// Begins a note, and tells what is there when news come, and what once the note is gone.
const WRITER: &str = r##"
await openTheOnlyIncident();
find(".acts input[name=note]").value = "half a no";
await tell("writing");
await until(() => find("#live").textContent !== "live");
await tell(find("#live").textContent + " | " + find(".acts input[name=note]").value);
find(".acts input[name=note]").value = "";
await until(() => find(".note .busy"));
tell(find(".note .busy").innerText + " | " + find("#live").textContent);
"##;

/// Chromium on a page of ours that tells what it sees; ended when dropped.
pub(crate) struct Browser {
    said: mpsc::Receiver<String>,
    _process: tokio::process::Child,
    folder: tempfile::TempDir,
}

impl Browser {
    /// Returns the route of the page `/look` that runs `script`, and where it tells.
    pub(crate) fn routes(script: &str) -> (Router, mpsc::Receiver<String>) {
        let page = format!("<!doctype html><body><script type=\"module\">{HELPERS}{script}</script>");
        let (sender, said) = mpsc::channel(8);
        let tell = async move |body: String| {
            sender.send(body).await.unwrap();
        };
        (Router::new().route("/look", get(Html(page))).route("/said", post(tell)), said)
    }

    pub(crate) fn open(monitor: &Monitor, said: mpsc::Receiver<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = tokio::process::Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-popup-blocking", "--enable-logging=stderr", "--v=0", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg(format!("http://{}/look", monitor.address))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("chromium is installed by compose/e2e/setup");
        Self { said, _process: process, folder }
    }

    pub(crate) async fn hear(&mut self) -> String {
        let said = tokio::time::timeout(PATIENT, self.said.recv()).await;
        said.unwrap_or_else(|_| panic!("the browser says nothing:\n{}", self.log())).unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// No page wrote to its console: no errors of scripts, nothing refused by the policy or not found.
    #[track_caller]
    pub(crate) fn assert_quiet(&self) {
        let log = self.log();
        assert_eq!(log.lines().filter(|line| line.contains("CONSOLE")).collect::<Vec<_>>(), [""; 0]);
    }
}

pub(crate) async fn serve(cards: Vec<monitor::export::ServiceCard>, routes: Router) -> Monitor {
    let folder = tempfile::tempdir().unwrap();
    let stores = Stores::open(folder.path()).await.unwrap();
    Monitor::start_with(cards, &["shop"], stores, folder, routes).await
}

#[tokio::test]
async fn no_page_scrolls_sideways_on_a_phone() {
    let (routes, said) = Browser::routes(PHONE);
    let long = "a-name-that-goes-on-and-on-as-generated-names-do-in-real-life";
    let mut shop = card("shop");
    shop.about = Some("word ".repeat(40));
    shop.hard_needs = vec![long.into()];
    shop.availability = Some(0.999);
    let monitor = serve(vec![shop, card(long)], routes).await;
    monitor.observe(long, Some(&"unbroken".repeat(60)));
    monitor.crash("shop", &["/a/very/long/path".repeat(20)]);
    monitor.observe("shop", Some(&"/a/very/long/path".repeat(20)));
    monitor.know(&[("olga", Role::Operator)]);
    let answer = "unbroken".repeat(60);
    let _workers = told_to(&monitor, vec![accepts(long), fails("pager", &answer), refuses("mail", &answer)]);
    let mut broken = down("shop", &"unbroken".repeat(60));
    broken.impacted = vec![long.to_owned()];
    broken.labels.insert("a_label".repeat(12), "value".repeat(30));
    let id = holds(&monitor, &[broken]).await[0].id;
    until(&monitor, id, "mail", DeliveryState::Dead).await;
    monitor.shared.alerts.silence(silence(long), audit()).await.unwrap();
    let file = format!("/{}.yml", "folder/".repeat(40));
    examined(&monitor, vec![finding(Severity::Error, &file, 7, "shop", &"unbroken".repeat(60))]);
    let mut browser = Browser::open(&monitor, said);
    assert_eq!(browser.hear().await, "all fit");
}

#[tokio::test]
async fn an_open_page_shows_a_change_and_loses_neither_the_place_nor_what_was_opened() {
    let (routes, said) = Browser::routes(WATCHER);
    let monitor = serve(vec![card("shop"), card("search")], routes).await;
    monitor.crash("shop", &["cannot open key".to_owned()]);
    monitor.set("shop", Verdict::CrashLooping, "exited with code 3");
    monitor.observe("search", None);
    let mut browser = Browser::open(&monitor, said);
    let before = browser.hear().await;
    assert!(before.starts_with("live: shop is crash looping: exited with code 3, for "), "{before}");
    eventually("the page listens", PATIENT, async || (monitor.shared.changes.receiver_count() > 0).then_some(())).await;
    monitor.set("shop", Verdict::GaveUp, "exited with code 3");
    let change = Change::Verdict { service: "shop".to_owned(), verdict: "gave_up", why: String::new() };
    monitor.shared.changes.send(change).unwrap();
    let after = browser.hear().await;
    let wanted = "shop is given up: exited with code 3, for 0 s | ✕ shop is given up: exited with code 3, for 0 s – monitor | /assets/bad.svg | true | /services/shop";
    assert_eq!(as_if_at_once(&after), wanted);
    browser.assert_quiet();
}

#[tokio::test]
async fn a_person_signs_in_and_out_with_the_pages_own_forms() {
    let (routes, said) = Browser::routes(PERSON);
    let monitor = serve(vec![card("shop")], routes).await;
    monitor.know(&[("ada", Role::Operator)]);
    let mut browser = Browser::open(&monitor, said);
    assert_eq!(browser.hear().await, "/login | Sign in | sign in");
    assert_eq!(browser.hear().await, "/audit | Who did what | signed in as ada (operator) · sign out");
    assert_eq!(browser.hear().await, "/ | Nothing is known yet | sign in");
    browser.assert_quiet();
}

#[tokio::test]
async fn an_operator_sees_what_is_wrong_and_who_was_told_and_takes_it() {
    let (routes, said) = Browser::routes(OPERATOR);
    let monitor = serve(vec![card("shop"), card("cart")], routes).await;
    monitor.know(&[("olga", Role::Operator)]);
    let _workers = told_to(&monitor, vec![accepts("ops"), fails("pager", "503 Busy")]);
    let mut shop = down("shop", "refused");
    shop.impacted = vec!["cart".to_owned()];
    let mut cart = down("cart", "status 502");
    cart.roots = vec!["shop".into()];
    let id = holds(&monitor, std::slice::from_ref(&shop)).await[0].id;
    until(&monitor, id, "ops", DeliveryState::Sent).await;
    until(&monitor, id, "pager", DeliveryState::Due).await;
    holds(&monitor, &[shop, cart]).await;
    let mut browser = Browser::open(&monitor, said);
    let shown = browser.hear().await;
    let (before, deliveries) = shown.rsplit_once(" | ").unwrap();
    assert_eq!(before, "shop is down: health: refused | opened,impact | cannot open key");
    for row in ["pager event opened #1 due tries ", " 503 Busy / ops event opened #1 sent tries 1 200 OK"] {
        assert!(deliveries.contains(row), "no {row:?} in {deliveries}");
    }
    assert_eq!(browser.hear().await, "Taken by olga: on it | opened,impact,acknowledged | Take it over");
    assert_eq!(browser.hear().await, "Take it over,Silence,Close");
    let silences = monitor.shared.alerts.suppression().silences;
    assert_eq!((silences.len(), silences[0].by.as_str()), (1, "olga"));
    browser.assert_quiet();
}

#[tokio::test]
async fn an_open_incident_page_hears_of_an_acknowledgement_but_leaves_alone_who_writes() {
    let (routes, said) = Browser::routes(WRITER);
    let monitor = serve(vec![card("shop")], routes).await;
    monitor.know(&[("olga", Role::Operator)]);
    let id = holds(&monitor, &[down("shop", "refused")]).await[0].id;
    let mut browser = Browser::open(&monitor, said);
    assert_eq!(browser.hear().await, "writing");
    eventually("the page listens", PATIENT, async || (monitor.shared.changes.receiver_count() > 0).then_some(())).await;
    monitor.shared.alerts.acknowledge(id, "ada", "", audit()).await.unwrap();
    assert_eq!(browser.hear().await, "waits while you write | half a no");
    assert_eq!(browser.hear().await, "Taken by ada | live");
    browser.assert_quiet();
}
