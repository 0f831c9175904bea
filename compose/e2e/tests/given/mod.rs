//! What Prometheus and Alertmanager are given: the files, what is in them, and the tools that check them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Files in `data/secrets` that Prometheus shows.
pub(crate) const TOKENS: [&str; 2] = ["prometheus_token", "prometheus_source_token"];

/// Where this repository is.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files of a folder, by name.
pub(crate) fn files(folder: &str) -> BTreeMap<String, Value> {
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap())
    };
    let files = std::fs::read_dir(repository().join(folder)).unwrap();
    files.map(|file| read(file.unwrap().path())).collect()
}

/// Every rule with its file's name.
pub(crate) fn rules() -> Vec<(String, Value)> {
    let mut rules = Vec::new();
    for (file, content) in files("alerts/rules") {
        for group in content["groups"].as_array().unwrap() {
            rules.extend(group["rules"].as_array().unwrap().iter().map(|rule| (file.clone(), rule.clone())));
        }
    }
    assert!(!rules.is_empty());
    rules
}

/// Runs a tool, with something to read; returns what it says, if it finds nothing wrong.
pub(crate) fn checked(tool: &str, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(tool);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{tool} (compose/e2e/setup installs it): {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{tool} {arguments:?}: {said}");
    said
}

/// Copies what Prometheus and Alertmanager read into a folder, and changes a text in their own files.
pub(crate) fn lay_out(folder: &Path, changes: &[(String, String)]) {
    for part in ["alerts/rules", "compose/prometheus"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
    }
    for file in files("alerts/rules").keys() {
        let name = format!("alerts/rules/{file}");
        std::fs::copy(repository().join(&name), folder.join(name)).unwrap();
    }
    for name in ["alerts/alertmanager.yml", "compose/prometheus/prometheus.yml"] {
        let mut text = std::fs::read_to_string(repository().join(name)).unwrap();
        for (from, to) in changes {
            text = text.replace(from, to);
        }
        std::fs::write(folder.join(name), text).unwrap();
    }
    std::fs::create_dir_all(folder.join("data/secrets")).unwrap();
}
