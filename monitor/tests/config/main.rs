//! Every way to be wrong in a configuration has a fixture and its exact message; `UPDATE=1` writes the messages anew.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

use std::path::{Path, PathBuf};

use kit::config::{Cursor, Environment, Mistakes, Node, Place, Value};
use monitor::app::{CheckPlan, Plan};
use monitor::probe::blackbox::Modules;
use monitor::{Config, Engine, Kinds};

fn messages(path: &Path, environment: &Environment) -> String {
    let config = Config::load(path, environment);
    match Engine::new(&config, Kinds::standard()) {
        Ok(_) => panic!("{} has no mistake", path.display()),
        Err(error) => {
            let folder = format!("{}/", path.parent().unwrap().display());
            format!("{}\n", error.to_string().replace(&folder, ""))
        }
    }
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config/bad");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    files
}

#[test]
fn every_bad_configuration_gets_its_exact_message() {
    let environment = Environment::of([("SHORT_TOKEN", "short"), ("LONG_TOKEN", "0123456789abcdef")]);
    let files = fixtures();
    assert!(files.len() >= 30, "{} fixtures", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let found = messages(&file, &environment);
        let expected = file.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &found).unwrap();
        }
        let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
        if found != wanted {
            wrong.push(format!("{}\nexpected:\n{wanted}found:\n{found}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_missing_file_is_named() {
    let config = Config::load(Path::new("/nonexistent/monitor.yml"), &Environment::default());
    let Err(error) = Engine::new(&config, Kinds::standard()) else { panic!("a missing file is a mistake") };
    let text = error.to_string();
    assert_eq!(text, "/nonexistent/monitor.yml: cannot read this file: No such file or directory (os error 2)");
}

#[test]
fn a_secret_is_in_no_message_and_in_no_debug_output() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yml");
    let text = "operator_token: ${TOKEN}\nlisten: ${LISTEN}\nservices:\n  a: { checks: { b: { http: { url: \"${URL}\" }, every: \"${EVERY}\" } } }\n";
    std::fs::write(&file, text).unwrap();
    let secrets = [
        ("TOKEN", "s3cr3t-operator-token"),
        ("LISTEN", "s3cr3t-listen"),
        ("URL", "s3cr3t url"),
        ("EVERY", "s3cr3t-every"),
    ];
    let config = Config::load(&file, &Environment::of(secrets));
    let Err(error) = Engine::new(&config, Kinds::standard()) else { panic!("three mistakes") };
    let shown = format!("{error} {error:?}");
    assert_eq!(error.mistakes.len(), 3, "{shown}");
    assert!(!shown.contains("s3cr3t"), "{shown}");
}

/// What a target is given first must be read to its end, or little behind it is ever reached.
fn seeds(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn configurations_that_fuzzing_begins_with_have_no_mistakes_and_show_no_secret() {
    let variables = [("SECRET", "zq9xw7-zq9xw7-zq9xw7"), ("HOST", "db.example.com"), ("PORT", "8080"), ("EMPTY", "")];
    for file in seeds("configuration") {
        let config = Config::load(&file, &Environment::of(variables));
        assert!(!format!("{config:?}").contains("zq9xw7"), "{config:?}");
        Engine::new(&config, Kinds::standard()).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn modules_that_fuzzing_begins_with_have_no_mistakes_and_show_no_secret() {
    for file in seeds("modules") {
        let path = Value::Text(file.display().to_string());
        let node = Node { place: Place::whole("m.yml"), value: path, substituted: None };
        let mistakes = Mistakes::default();
        let modules = Modules::decode(&Cursor::top(&node, &mistakes), &Environment::default());
        assert!(mistakes.is_empty(), "{:?}", mistakes.into_sorted());
        let shown = format!("{modules:?}");
        assert!(shown.contains("<secret>") && !shown.contains("zq9xw7"), "{shown}");
    }
}

#[test]
fn a_matrix_within_a_matrix_ends_where_it_makes_too_much() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yml");
    let yaml = "services:\n  a{a}{b}{c}{d}:\n    matrix: { a: &n [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], b: *n, c: *n, d: *n }\n    \
                checks: { \"c{e}{f}{g}{h}\": { matrix: { e: *n, f: *n, g: *n, h: *n }, icmp: { host: 192.0.2.1 } } }\n";
    std::fs::write(&file, yaml).unwrap();
    let error = Plan::of(&Config::load(&file, &Environment::default()), &Kinds::standard()).unwrap_err().to_string();
    let wanted = "services.a{a}{b}{c}{d}: every matrix together makes too much; leave out combinations";
    assert!(error.contains(wanted), "{}", error.chars().take(2000).collect::<String>());
}

#[test]
fn a_matrix_may_have_ten_thousand_combinations_and_no_value_a_thousand_times_in_a_text() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yml");
    let plan = |yaml: String| {
        std::fs::write(&file, yaml).unwrap();
        Plan::of(&Config::load(&file, &Environment::default()), &Kinds::standard())
    };
    let values = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let rows = (0..10_000).map(|n| format!("{{ a: {n}, b: host-{n}.example.com }}")).collect::<Vec<_>>().join(", ");
    for matrix in [format!("{{ a: [{}], b: [{}] }}", values(100), values(100)), format!("[{rows}]")] {
        let checks = "checks: { up: { tcp: { address: \"{b}:1\" } } }";
        let plan = plan(format!("services:\n  s{{a}}-{{b}}: {{ matrix: {matrix}, {checks} }}\n")).unwrap();
        assert_eq!(plan.services.len(), 10_000);
    }
    let (long, often) = ("x".repeat(100_000), "{n}".repeat(1000));
    let inner = format!("checks: {{ c: {{ matrix: {{ m: [\"{often}\"] }}, icmp: {{ host: \"{{m}}\" }} }} }}");
    for below in [format!("about: \"{often}\""), inner] {
        let yaml = format!("services:\n  s: {{ matrix: {{ n: [{long}] }}, {below} }}\n");
        let error = plan(yaml).unwrap_err().to_string();
        let begin: String = error.chars().take(500).collect();
        assert!(error.contains("every matrix together makes too much"), "{begin}");
    }
}

#[test]
fn a_matrix_makes_a_check_or_a_service_of_every_combination() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yml");
    let yaml = r#"
services:
  shop-{region}:
    matrix: { region: [eu, us], tier: [A.1, 2] }
    was: old-{region}-{tier}
    about: "{tier} in {region} of {nobody}"
    needs: { hard: ["edge"] }
    checks:
      "{tier}": { http: { url: "https://{region}.example.com/{tier}", body: '{"a": {"region": 1}}' } }
  edge:
    checks:
      node-{node}:
        matrix: [{ node: one, port: 9100 }, { node: "two", port: 9200 }]
        tcp: { address: "10.0.0.1:{port}" }
        fail_after: 2
"#;
    // A service's name needs both keys; without one there are two of each.
    std::fs::write(&file, yaml).unwrap();
    let plan = |text: &str| {
        std::fs::write(&file, text).unwrap();
        Plan::of(&Config::load(&file, &Environment::default()), &Kinds::standard())
    };
    let error = plan(yaml).unwrap_err().to_string();
    assert!(error.contains("services.shop-{region}: two services would be called \"shop-eu\""), "{error}");
    let plan = plan(&yaml.replace("shop-{region}:", "shop-{region}-{tier}:").replace("\"{tier}\":", "page:")).unwrap();
    let shown = |check: &CheckPlan| format!("{} {}", check.question.id, check.question.probe.target().shown);
    let checks: Vec<String> = plan.checks().map(shown).collect();
    let expected = [
        "shop-eu-a-1/page https://eu.example.com/A.1",
        "shop-eu-2/page https://eu.example.com/2",
        "shop-us-a-1/page https://us.example.com/A.1",
        "shop-us-2/page https://us.example.com/2",
        "edge/node-one 10.0.0.1:9100",
        "edge/node-two 10.0.0.1:9200",
    ];
    assert_eq!(checks, expected);
    let service = plan.service("shop-us-a-1").unwrap();
    assert_eq!(service.about.as_deref(), Some("A.1 in us of {nobody}"));
}
