//! The command as people and pipelines see it.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use serde_json::Value;

use super::fixtures;

fn doctor(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_monitor")).arg("doctor").args(args).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn exit_codes_tell_findings_from_files_that_cannot_be_read() {
    let original = fixtures("bad/original.yml");
    let clean = fixtures("clean/wordpress/compose.yml");
    let folder = tempfile::tempdir().unwrap();
    let (warned, broken) = (folder.path().join("warned.yml"), folder.path().join("broken.yml"));
    std::fs::write(&warned, "services:\n  web:\n    image: nginx\n").unwrap();
    std::fs::write(&broken, "services:\n  web: [\n").unwrap();
    for (args, code) in [
        (vec!["compose", original.to_str().unwrap()], 1),
        (vec!["compose", clean.to_str().unwrap()], 0),
        (vec!["compose", warned.to_str().unwrap()], 1),
        (vec!["compose", warned.to_str().unwrap(), "--deny", "error"], 0),
        (vec!["compose", broken.to_str().unwrap()], 78),
        (vec!["compose", "/nonexistent.yml"], 78),
        (vec!["compose"], 64),
        (vec!["rules"], 0),
    ] {
        let output = doctor(&args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let said = doctor(&["compose", broken.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("broken.yml:") && said.contains("this is not YAML"), "{said}");
}

#[test]
fn people_read_place_line_reason_and_fix() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.yml");
    std::fs::write(&file, "services:\n  web:\n    image: nginx\n").unwrap();
    let shown =
        text(&doctor(&["compose", file.to_str().unwrap()])).replace(&folder.path().display().to_string(), "dir");
    assert_eq!(
        shown,
        "dir/c.yml\n  dir/c.yml:3:12 warning image-not-pinned\n      | image: nginx\n    web: nginx has no tag, which means latest\n    \
         why: The next pull may bring another program; after a bad one nobody knows what to go back to.\n    fix:\n      \
         image: nginx:1.2.3   # the version that runs now\n\n0 errors, 1 warning\n"
    );
}

#[test]
fn json_has_every_field_of_a_finding() {
    let output = doctor(&["compose", fixtures("bad/original.yml").to_str().unwrap(), "--format", "json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let first = &json["findings"][0];
    for field in ["rule", "severity", "file", "line", "column", "service", "message", "why", "fix"] {
        assert!(!first[field].is_null(), "{field}: {first}");
    }
    assert!(json["not_checked"].is_array());
}

#[test]
fn sarif_names_each_rule_once_and_each_result_with_its_region() {
    let output = doctor(&["compose", fixtures("bad/original.yml").to_str().unwrap(), "--format", "sarif"]);
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(
        (&run["columnKind"], &run["tool"]["driver"]["name"]),
        (&"unicodeCodePoints".into(), &"monitor doctor".into())
    );
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert!(results.len() > 40);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let location = &result["locations"][0]["physicalLocation"];
        assert!(location["artifactLocation"]["uri"].as_str().unwrap().starts_with("file:///"), "{location}");
        for key in ["startLine", "startColumn"] {
            assert!(location["region"][key].as_u64() >= Some(1), "{location}");
        }
        assert!(matches!(result["level"].as_str(), Some("error" | "warning")));
    }
    let ids: BTreeSet<&str> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), rules.len());
    let known: BTreeSet<String> =
        results.iter().map(|result| result["partialFingerprints"]["monitorDoctor/v1"].to_string()).collect();
    assert_eq!(known.len(), results.len(), "each is known by another name");
}

#[test]
fn sarif_of_files_beside_has_relative_addresses_and_what_is_not_checked_is_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "services:\n  a:\n    build: ./my app\n  b:\n    image: nginx\n    environment: { B: 'ä', C_PASSWORD: x }\n";
    std::fs::create_dir(folder.path().join("a b")).unwrap();
    std::fs::write(folder.path().join("a b/c.yml"), text).unwrap();
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_monitor"));
    let doctor = doctor.args(["doctor", "compose", "./a b/c.yml", "--engine", "none", "--format", "sarif"]);
    let log: Value = serde_json::from_slice(&doctor.current_dir(folder.path()).output().unwrap().stdout).unwrap();
    let run = &log["runs"][0];
    let places: Vec<String> = run["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            let place = &result["locations"][0]["physicalLocation"];
            format!(
                "{} {} {}",
                place["artifactLocation"]["uri"].as_str().unwrap(),
                place["region"]["startLine"],
                place["region"]["startColumn"]
            )
        })
        .collect();
    // The umlaut before it counts as one.
    assert_eq!(places, ["a%20b/c.yml 5 12", "a%20b/c.yml 6 28"]);
    let notes = run["invocations"][0]["toolExecutionNotifications"].as_array().unwrap();
    assert_eq!((notes.len(), &notes[0]["level"]), (1, &"note".into()));
    assert!(notes[0]["message"]["text"].as_str().unwrap().starts_with("service a: its image: "), "{notes:?}");
}

#[test]
fn help_tells_exit_codes_and_examples() {
    for (args, expected) in [
        (vec!["--help"], "Exit codes: 0 nothing found, 1 findings, 64 usage, 78 a file that cannot be read."),
        (vec!["compose", "--help"], "monitor doctor compose compose.yml --engine none --format sarif > doctor.sarif"),
    ] {
        let shown = text(&doctor(&args));
        assert!(shown.contains(expected), "{shown}");
    }
}

#[test]
fn the_readme_lists_every_rule_as_the_command_does() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let rules = text(&doctor(&["rules"]));
    assert!(rules.lines().count() > 50, "{rules}");
    assert!(readme.contains(rules.trim()), "write what `monitor doctor rules` prints into the README:\n{rules}");
}

#[test]
fn every_rule_is_provoked_by_a_test() {
    let compose = [include_str!("mended.rs"), include_str!("mutations.rs"), include_str!("telemetry.rs")].concat();
    for text in monitor::doctor::texts() {
        let provoked = match text.id {
            id if id.starts_with("unit-") => include_str!("../../src/doctor/rules/units_tests.rs").contains(id),
            id if id.starts_with("self-") => include_str!("footing.rs").contains(&format!("\"{id}\"")),
            "file-unreadable" | "examination-failed" => {
                include_str!("../../src/doctor/examiner_tests.rs").contains(text.id)
            }
            id => compose.contains(id),
        };
        assert!(provoked, "no test provokes {}", text.id);
    }
}

#[test]
fn units_and_our_own_footing_are_looked_at_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("a.service");
    let text_of_unit =
        "[Service]\nExecStart=/no/such/program\nRestart=on-failure\nRestartSec=5s\n[Install]\nWantedBy=x\n";
    std::fs::write(&unit, text_of_unit).unwrap();
    let folder_name = folder.path().to_str().unwrap();
    assert_eq!(doctor(&["units", folder_name]).status.code(), Some(0));
    let output = doctor(&["units", folder_name, "--root", "/", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["findings"][0]["rule"], "unit-program-missing");
    assert_eq!(json["findings"][0]["line"], 2);

    // A port of loopback that nobody has any more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let config = folder.path().join("m.yml");
    let data = folder.path().display();
    let workload = "workload: { unit: { name: web.service, bus: \"unix:path=/no/such/bus\" } }";
    let service =
        format!("services: {{ web: {{ {workload}, checks: {{ port: {{ tcp: {{ address: \"{address}\" }} }} }} }} }}\n");
    std::fs::write(&config, format!("data_dir: {data}\n{service}")).unwrap();
    let output = doctor(&["self", "--config", config.to_str().unwrap(), "--format", "json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let systemd = "systemd at unix:path=/no/such/bus cannot be asked: ";
    for (rule, begins) in [("self-target", "web/port"), ("self-runtime", systemd)] {
        let found: Vec<&Value> =
            json["findings"].as_array().unwrap().iter().filter(|one| one["rule"] == rule).collect();
        assert_eq!(found.len(), 1, "{json}");
        assert!(found[0]["message"].as_str().unwrap().starts_with(begins), "{json}");
    }
    assert_eq!(output.status.code(), Some(1));
    assert!(!json["fine"].as_array().unwrap().is_empty());
    std::fs::write(&config, "listen: nowhere\n").unwrap();
    assert_eq!(doctor(&["self", "--config", config.to_str().unwrap()]).status.code(), Some(78));
}

#[test]
fn no_output_holds_a_secret_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.yml");
    let text = "services:\n  search:\n    image: elasticsearch:8.15.0\n    environment:\n      \
                ADMIN_PASSWORD: hunter2secret, really\n      SHOP_URL: http://me:hunter2url@localhost:1/\n    healthcheck:\n      \
                test: [CMD, curl, -u, 'elastic:hunter2curl', 'http://localhost:9999/']\n  other:\n    image: nginx:1.27\n    \
                healthcheck:\n      test: curl -u elastic:hunter2other http://localhost:80/\n";
    std::fs::write(&file, text).unwrap();
    for format in ["human", "json", "sarif"] {
        let shown = text_of(&["compose", file.to_str().unwrap(), "--engine", "none", "--format", format]);
        for (rule, count) in [("secret-in-file", 2), ("health-wrong-port", 1), ("health-curl-without-fail", 1)] {
            assert!(shown.matches(rule).count() >= count, "{rule}: {shown}");
        }
        assert!(!shown.contains("hunter2") && !shown.contains("really"), "{shown}");
        assert!(shown.contains("ADMIN_PASSWORD: ${ADMIN_PASSWORD:?set it in .env}"), "the fix stays: {shown}");
    }
}

fn text_of(args: &[&str]) -> String {
    text(&doctor(args))
}
