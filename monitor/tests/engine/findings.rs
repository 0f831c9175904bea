//! What a running monitor finds by itself: in files, while they are mended and broken, over its own restarts.

use std::path::Path;
use std::process::Command;

use monitor::Kinds;
use serde_json::{Value, json};
use testkit::{DockerEngine, Target, eventually, free_port};

use crate::alerts::{accepted, told};
use crate::harness::{Binary, LIMIT, Running, TOKEN, write_config};

/// The project that never worked, in a folder of its own.
fn original(folder: &Path) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/doctor/bad");
    for entry in std::fs::read_dir(fixtures).unwrap() {
        let file = entry.unwrap();
        std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    folder.join("original.yml").display().to_string()
}

/// A project with nothing to mend.
const CLEAN: &str = "services:\n  web:\n    image: registry.example.com/shop/web:1.2.3\n";
const SERVICES: &str = "services: {}\n";

async fn findings(running: &Running) -> Value {
    running.get("/api/v1/findings").await.1
}

/// Waits until the doctor has found as many errors and warnings.
async fn until_found(running: &Running, errors: usize, warnings: usize) -> Value {
    let what = format!("{errors} errors and {warnings} warnings");
    eventually(&what, LIMIT, async || {
        let found = findings(running).await;
        let is_examined = found["examined"].is_string();
        (is_examined && found["errors"] == errors && found["warnings"] == warnings).then_some(found)
    })
    .await
}

fn rules(found: &Value) -> Vec<&str> {
    found["findings"].as_array().unwrap().iter().map(|finding| finding["rule"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_of_a_project_is_listed_told_in_one_ticket_and_gone_once_it_is_mended() {
    let (files, sink) = (tempfile::tempdir().unwrap(), Target::ok(""));
    let file = original(files.path());
    let yaml = format!(
        "doctor: {{ compose: [{file}], self: false, every: 1s }}\n{SERVICES}\
         channels:\n  hook: {{ webhook: {{ url: \"{}\" }} }}\n",
        sink.url("/hook")
    );
    let running = Running::start(&yaml).await;
    let found = until_found(&running, 25, 17).await;
    let gate = found["findings"].as_array().unwrap().iter().find(|finding| {
        (&finding["rule"], &finding["service"]) == (&"gate-never-opens".into(), &"auth-monitor".into())
    });
    let gate = gate.unwrap();
    assert_eq!((&gate["line"], &gate["column"], &gate["source"]), (&92.into(), &7.into(), &"api-gateway:".into()));
    assert_eq!(
        gate["message"],
        "auth-monitor never starts: it waits for api-gateway, which waits for automation-services"
    );
    assert_eq!((&gate["file"], &gate["severity"]), (&file.as_str().into(), &"error".into()));

    let (_, metrics) = running.get("/metrics").await;
    let metrics = metrics.as_str().unwrap();
    for line in [
        "monitor_findings{rule=\"gate-never-opens\",severity=\"error\"} 3\n",
        "monitor_findings{rule=\"image-not-pinned\",severity=\"warning\"} 1\n",
        "monitor_findings{rule=\"docker-socket\",severity=\"warning\"} 0\n",
        "monitor_findings_left_out 0\n",
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
    let (_, page) = running.get("/findings").await;
    assert!(page.as_str().unwrap().contains("25 errors to mend"), "{page}");

    let opened = async || accepted(&sink).into_iter().next();
    let opened = eventually("the ticket", LIMIT, opened).await;
    assert_eq!((&opened["severity"], &opened["status"]), (&"ticket".into(), &"firing".into()));
    assert!(opened["title"].as_str().unwrap().starts_with("the doctor finds 25 errors in 3 files: "), "{opened}");

    std::fs::write(&file, CLEAN).unwrap();
    until_found(&running, 0, 0).await;
    let ended = async || {
        let messages = accepted(&sink);
        (told(&messages).into_values().collect::<Vec<_>>() == ["opened resolved"]).then_some(())
    };
    eventually("the end of the ticket, which was the only one", LIMIT, ended).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_breaks_is_a_finding_and_what_was_known_of_it_stays_as_old() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("compose.yml");
    let unpinned = CLEAN.replace(":1.2.3", "");
    std::fs::write(&file, &unpinned).unwrap();
    let yaml = format!("doctor: {{ compose: [{}], self: false, every: 1s }}\n{SERVICES}", file.display());
    let running = Running::start(&yaml).await;
    let first = until_found(&running, 0, 1).await;
    std::fs::write(&file, "services:\n  web: [\n").unwrap();
    let broken = until_found(&running, 1, 1).await;
    assert_eq!(rules(&broken), ["file-unreadable", "image-not-pinned"]);
    assert_eq!((&broken["findings"][0]["stale"], &broken["findings"][1]["stale"]), (&false.into(), &true.into()));
    std::fs::write(&file, format!("# A line more.\n{unpinned}")).unwrap();
    let back = until_found(&running, 0, 1).await;
    assert_eq!(back["findings"][0]["since"], first["findings"][0]["since"], "its line moved, and it is the same");
    assert_eq!((&first["findings"][0]["line"], &back["findings"][0]["line"]), (&3.into(), &4.into()));

    // Another monitor knows since when.
    let folder = running.stop().await;
    let running = Running::start_in(folder, &yaml, Kinds::standard()).await;
    let known = until_found(&running, 0, 1).await;
    assert_eq!(known["findings"][0]["since"], first["findings"][0]["since"]);

    // A reload is a reason to examine, and takes what is to be examined.
    write_config(running.folder.path(), &yaml.replace("every: 1s", "every: 1s, ignore: [image-not-pinned]"));
    running.reload.send(()).await.unwrap();
    until_found(&running, 0, 0).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_no_ticket_gets_none_and_a_missing_file_never_looks_clean() {
    let sink = Target::ok("");
    let yaml = format!(
        "doctor: {{ compose: [/nonexistent/compose.yml], self: false, every: 1s, ticket: false }}\n{SERVICES}\
         channels:\n  hook: {{ webhook: {{ url: \"{}\" }} }}\n",
        sink.url("/hook")
    );
    let running = Running::start(&yaml).await;
    let found = until_found(&running, 1, 0).await;
    assert_eq!(rules(&found), ["file-unreadable"]);
    assert_eq!(found["findings"][0]["message"], "cannot read this file: No such file or directory (os error 2)");
    write_config(running.folder.path(), &yaml.replace("ticket: false", "ticket: true"));
    running.reload.send(()).await.unwrap();
    let opened = async || accepted(&sink).into_iter().next();
    let opened = eventually("the ticket, now that it is wanted", LIMIT, opened).await;
    assert!(opened["title"].as_str().unwrap().starts_with("the doctor finds 1 error in compose.yml: "), "{opened}");
    write_config(running.folder.path(), &yaml);
    running.reload.send(()).await.unwrap();
    let ended =
        async || (told(&accepted(&sink)).into_values().collect::<Vec<_>>() == ["opened resolved"]).then_some(());
    eventually("its end", LIMIT, ended).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_looked_into_if_an_engine_is_named_and_one_that_is_away_is_told() {
    let (mut docker, files) = (DockerEngine::start().await, tempfile::tempdir().unwrap());
    docker.docker(&["tag", "program", "shop:1"]);
    let file = files.path().join("compose.yml");
    let check = "healthcheck: { test: [CMD, curl, -f, \"http://localhost/\"], start_period: 1m }";
    std::fs::write(&file, format!("services:\n  web:\n    image: shop:1\n    {check}\n")).unwrap();
    let doctor = format!("compose: [{}], self: false, every: 1s", file.display());
    let engine = docker.address();
    let with_engine = format!("doctor: {{ {doctor}, engine: \"{engine}\" }}\n{SERVICES}");
    let running = Running::start(&with_engine).await;
    let found = until_found(&running, 1, 0).await;
    assert_eq!(found["findings"][0]["message"], "\"curl\" is not in the image shop:1", "{found}");
    docker.kill();
    let missed = async || {
        let found = findings(&running).await;
        found["not_checked"][0].as_str().is_some_and(|what| what.contains("cannot be asked")).then_some(found)
    };
    let missed = eventually("the engine to be missed", LIMIT, missed).await;
    assert_eq!(missed["errors"], 1, "that it is away mends nothing: {missed}");
    docker.start_again().await;
    until_found(&running, 1, 0).await;
    write_config(running.folder.path(), &format!("doctor: {{ {doctor} }}\n{SERVICES}"));
    running.reload.send(()).await.unwrap();
    let nothing = until_found(&running, 0, 0).await;
    assert_eq!(nothing["not_checked"], json!([]), "nobody is asked any more");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_lists_them_and_its_exit_code_says_whether_there_are_any() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let file = original(folder.path());
    let doctor =
        format!("doctor: {{ compose: [{file}], self: false, every: 1s }}\nlisten: 127.0.0.1:{port}\n{SERVICES}");
    let config = write_config(folder.path(), &doctor);
    let monitor = Binary::start("run", &config, port);
    let list = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_monitor"));
        let output = command.args(["findings", "--url", &monitor.url]).args(args).env("MONITOR_TOKEN", TOKEN).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let shown = eventually("the list", LIMIT, async || {
        let (code, shown) = list(&[]);
        (code == Some(1) && shown.contains("25 errors, 17 warnings")).then_some(shown)
    });
    let shown = shown.await;
    assert!(shown.contains("original.yml:58") && shown.contains("MAX_FILE_SIZE=10MB is no whole number"), "{shown}");
    let (code, one) = list(&["--rule", "image-not-pinned", "--json"]);
    let one: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(
        (code, &one["warnings"], &one["findings"][0]["service"]),
        (Some(1), &json!(1), &json!("tempo")),
        "{one}"
    );
    assert_eq!(list(&["--rule", "docker-socket"]).0, Some(0), "none of that rule");
    assert_eq!(list(&["--rule", "docker-sock"]).0, Some(64), "there is no such rule");
    monitor.signal(nix::sys::signal::Signal::SIGTERM);
    let url = monitor.url.clone();
    assert_eq!(monitor.ended().await, Some(0));
    let gone = Command::new(env!("CARGO_BIN_EXE_monitor")).args(["findings", "--url", &url]).output().unwrap();
    assert_eq!(gone.status.code(), Some(69));
}
