//! Every way to be wrong in a configuration has a fixture and its exact message; `UPDATE=1` writes the messages anew.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

use std::path::{Path, PathBuf};

use kit::config::Environment;
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
