//! `monitor import gatus`: what comes out loads, asks what Gatus asked, and says what means something else.

use std::path::{Path, PathBuf};
use std::process::Output;

use testkit::Target;

use super::{run, said, write_config};

fn import(file: &Path, secrets: &Path) -> Output {
    run(&["import", "gatus", file.to_str().unwrap(), "--secrets", secrets.to_str().unwrap()])
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import/gatus.yml")
}

/// Imports a text, and returns the configuration it comes to, in a file, with what was said.
fn imported(folder: &Path, text: &str) -> (PathBuf, String) {
    let theirs = folder.join("gatus.yml");
    std::fs::write(&theirs, text).unwrap();
    let output = import(&theirs, &folder.join("secrets"));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let ours = String::from_utf8(output.stdout.clone()).unwrap();
    let file = write_config(folder, &ours);
    let checked = run(&["check-config", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}\n{ours}", said(&checked));
    (file, said(&output))
}

#[test]
fn a_whole_gatus_becomes_a_configuration_that_loads() {
    let folder = tempfile::tempdir().unwrap();
    let output = import(&fixture(), &folder.path().join("secrets"));
    let told = said(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let ours = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(!ours.contains("hunter2") && !told.contains("hunter2"), "{ours}\n{told}");
    let file = write_config(folder.path(), &ours);
    let checked = run(&["check-config", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}\n{ours}", said(&checked));
    assert!(!told.contains("to mend: "), "{told}");
    for line in [
        "changed: endpoint core/front end: [BODY].count == 5: 5 is a number here, and no longer also the text \"5\"\n",
        "changed: endpoint core/front end: [BODY].queue < 0.99: what is missing or no number is a fail now; Gatus counted it as 0",
        "changed: endpoint core/front end: [CERTIFICATE_EXPIRATION] > 30d: 30d is no duration of Gatus, which counted it as 0\n",
        "changed: endpoint core/front end: [DOMAIN_EXPIRATION]: the registration of example.com is asked for; check that name\n",
        "changed: endpoint lab/front_end: all its conditions pass while nothing answers; that is a fail now\n",
        "left out: endpoint core/front end: [STATSU] != 500: [STATSU] is no placeholder of Gatus, which takes it for a text\n",
        "left out: alerting: github: there is no such channel; use webhook with a template, or exec\n",
        "left out: endpoint lab/front_end: alerts: github, which is no channel here\n",
        "left out: endpoint command: it runs a command over SSH; do that with exec\n",
        "left out: endpoint diameter: there is no kind for SCTP; ask by exec\n",
        "left out: endpoint closed port: it is watched for not answering, which no check can expect; ask by exec\n",
        "left out: endpoint behind: it signs in by OAuth 2; write a journey whose first step fetches the token\n",
        "left out: endpoint old: it is disabled\n",
        "left out: external endpoint silent: no heartbeat.interval, so that its silence means nothing; write how often",
        "left out: suite shop/check out: sign in: store: when: only what stands in [BODY] can be taken\n",
        "left out: endpoint time: it sends nothing, so that silence says nothing; write udp with send",
        "left out: quick: Gatus does not read it\n",
        "left out: storage: what was measured stays there; write data_dir: FOLDER\n",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    for part in [
        "  front-end:\n    about: \"the page of the shop (core_front-end in Gatus)\"\n",
        "  lab-front-end:\n    about: \"lab_front-end in Gatus\"\n",
        "every: \"Mon,Thu 23:00\"",
        "    labels:\n      group: lab\n      team: shop\n      their_service: front\n",
        "        every: 10s\n        every_when_failing: 10s\n        expect:\n          status: [200]\n        http:\n          url: \"http://127.0.0.1:8084/\"\n    group: merged\n",
        "url: \"https://shop.example.com/health?api_key={{ secrets.api_key }}\"",
        "url: \"http://127.0.0.1:8083/orders/{{ taken_session }}\"",
    ] {
        assert!(ours.contains(part), "{part}\n{ours}");
    }
    let secret = folder.path().join("secrets/slack-core-url");
    assert_eq!(std::fs::read_to_string(secret).unwrap(), "https://hooks.slack.com/services/T000/B000/hunter2core\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_true_and_false_of_the_answers_that_gatus_judges_so() {
    let body = r#"{"status":"UP","count":5,"text":"5","load":0.5,"items":[1,2],"name":"ab","none":null,"deep":{"a":[{"id":7}]}}"#;
    let target = Target::ok(body);
    let folder = tempfile::tempdir().unwrap();
    for (condition, passes) in [
        ("[STATUS] == 200", true),
        ("[STATUS] != any(200, 201)", false),
        ("[STATUS] < 0x12c", true),
        ("[BODY].status == UP", true),
        ("[BODY].status == DOWN", false),
        ("[BODY].status != DOWN", true),
        ("[BODY].status != UP", false),
        ("[BODY].missing != DOWN", false),
        ("[BODY].count == 5", true),
        ("[BODY].text != 5", false),
        ("[BODY].count >= 5", true),
        ("[BODY].text < 6", true),
        ("[BODY].missing < 5", false),
        ("[BODY].load >= 0.99", false),
        ("[BODY].load < 0.9", true),
        ("[BODY].deep.a[0].id == 7", true),
        ("7 < [BODY].deep.a[0].id", false),
        ("[BODY].status == pat(U*)", true),
        ("[BODY].status != pat(U?)", false),
        ("[BODY].count == any(4, 5)", true),
        ("[BODY].status != any(UP, ok)", false),
        ("[BODY] == pat(*\"UP\"*)", true),
        ("[BODY] == pat(UP)", false),
        ("[BODY] != pat(*DOWN*)", true),
        ("len([BODY].items) == 2", true),
        ("len([BODY].items) > 2", false),
        ("len([BODY]) > 0", true),
        ("has([BODY].status) == true", true),
        ("has([BODY].none) == true", false),
        ("has([BODY].gone) == false", true),
        ("has([BODY].status) == false", false),
        ("[BODY].name == [BODY].status", false),
        ("[RESPONSE_TIME] < 60000", true),
        ("[RESPONSE_TIME] > 1m", false),
        ("[CONNECTED] == true", true),
    ] {
        let quoted = format!("'{condition}'");
        let url = target.url("/");
        let (file, told) =
            imported(folder.path(), &format!("endpoints: [{{ name: web, url: \"{url}\", conditions: [{quoted}] }}]\n"));
        let probe = run(&["probe", "web/http", "--config", file.to_str().unwrap()]);
        let code = if passes { 0 } else { 1 };
        let shown = String::from_utf8_lossy(&probe.stdout).into_owned();
        assert_eq!(probe.status.code(), Some(code), "{condition}: {shown}{}{told}", said(&probe));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_too_large_to_judge_may_still_be_quick() {
    let target = Target::ok("x".repeat(300 * 1024));
    let folder = tempfile::tempdir().unwrap();
    let text =
        format!("endpoints: [{{ name: web, url: \"{}\", conditions: ['[RESPONSE_TIME] < 1m'] }}]\n", target.url("/"));
    let (file, _) = imported(folder.path(), &text);
    let probe = run(&["probe", "web/http", "--config", file.to_str().unwrap()]);
    assert_eq!(probe.status.code(), Some(0), "{}", String::from_utf8_lossy(&probe.stdout));
}

#[test]
fn a_folder_is_read_as_one_and_variables_stay() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("config");
    std::fs::create_dir(&theirs).unwrap();
    std::fs::write(
        theirs.join("a.yaml"),
        "endpoints: [{ name: a, url: \"http://$HOST/\", conditions: ['[STATUS] == 200'] }]\n",
    )
    .unwrap();
    let b = "alerting: { slack: { webhook-url: \"${HOOK}\" } }\nendpoints: [{ name: b, url: \"tcp://x:1\", conditions: ['[CONNECTED] == true'], alerts: [{ type: slack }] }]\n";
    std::fs::write(theirs.join("b.yml"), b).unwrap();
    let output = import(&theirs, &folder.path().join("secrets"));
    let ours = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(ours.contains("url: \"http://${HOST}/\"") && ours.contains("url: \"${HOOK}\""), "{ours}");
    assert!(
        said(&output).contains("changed: variables HOOK, HOST: one that is not set is a mistake here"),
        "{}",
        said(&output)
    );
    let file = write_config(folder.path(), &ours);
    let mut command = super::monitor(&["check-config", file.to_str().unwrap()]);
    let checked = command.env("HOST", "web:80").env("HOOK", "https://hooks.example.com/x").output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}{ours}", said(&checked));
    std::fs::write(theirs.join("c.yml"), "metrics: true\n").unwrap();
    std::fs::write(theirs.join("d.yml"), "metrics: false\n").unwrap();
    let output = import(&theirs, &folder.path().join("secrets"));
    assert!(said(&output).contains("d.yml:1:10: another file says otherwise"), "{}", said(&output));
}

#[test]
fn what_gatus_takes_and_we_do_not_is_to_be_mended_at_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("g.yml");
    let text = "endpoints: [{ name: a, url: \"http://x y/\", conditions: ['[STATUS] == 200'] }, { name: b, url: \"http://${NOBODY_SETS_THIS}/\", conditions: ['[STATUS] == 200'] }]\n";
    std::fs::write(&file, text).unwrap();
    let output = import(&file, folder.path());
    assert_eq!(output.status.code(), Some(0));
    let url = "to mend: monitor.yml:18:16: services.a.checks.http.http.url: \"http://x y/\" is not an http URL; write it like";
    let variable = "services.b.checks.http.http.url: environment variable NOBODY_SETS_THIS is not set";
    assert!(said(&output).contains(url) && said(&output).contains(variable), "{}", said(&output));
}

#[test]
fn what_is_no_gatus_is_refused_with_what_to_give() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("g.yml");
    for (text, message) in [
        ("scrape_configs: []\n", "g.yml: there are no endpoints; give Gatus' config.yaml, or the folder of its files"),
        ("endpoints:\n  - url: http://x/\n", "g.yml:2:5: this endpoint has no name; write name: …"),
        ("endpoints:\n  - name: x\n", "g.yml:2:5: endpoint x has no url; write url: …"),
        ("endpoints: [\n", "g.yml:1:12: this is not YAML"),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = import(&file, folder.path());
        assert_eq!(output.status.code(), Some(78), "{}", said(&output));
        assert!(said(&output).contains(message), "{}", said(&output));
    }
    let output = import(Path::new("/nonexistent.yml"), folder.path());
    assert!(said(&output).contains("cannot read /nonexistent.yml"), "{}", said(&output));
}
