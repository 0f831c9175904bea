//! Data flows one way: a module uses only modules to its left; `app` alone sees all.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::{Path, PathBuf};

/// The flow, left to right (documented in `src/lib.rs`).
const ORDER: [&str; 10] =
    ["config", "schedule", "probe", "supervise", "judge", "record", "heal", "doctor", "alert", "export"];
/// Pure modules: no I/O, no clock, no async.
const PURE: [&str; 3] = ["src/judge", "src/schedule", "src/heal"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Lines before the file's own tests, which may use anything.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

#[test]
fn a_module_uses_only_modules_to_its_left() {
    let mut wrong = Vec::new();
    for file in sources(&root().join("src")) {
        let relative = file.strip_prefix(root().join("src")).unwrap().to_owned();
        let module = relative.iter().next().unwrap().to_string_lossy().replace(".rs", "");
        let Some(own) = ORDER.iter().position(|name| *name == module) else { continue };
        let text = code(&file);
        for used in text.split("crate::").skip(1) {
            let name: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let place = ORDER.iter().position(|known| *known == name);
            // The scheduler carries probes' ids and reasons for running; both are plain words of the flow.
            let is_word = module == "schedule" && name == "probe";
            if name == "app" || place.is_some_and(|place| place > own) && !is_word {
                wrong.push(format!("{} uses crate::{name}", relative.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_decides_is_pure() {
    let mut wrong = Vec::new();
    for folder in PURE {
        for file in sources(&root().join(folder)) {
            let text = code(&file);
            for forbidden in
                ["tokio::", "std::fs", "std::net", "async fn", "Moment::now", "Stamp::now", "Timestamp::now", "rand::"]
            {
                if text.contains(forbidden) {
                    wrong.push(format!("{} has {forbidden}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_outside_a_registry_matches_on_a_kind() {
    let kinds = ["\"http\"", "\"tcp\"", "\"tls\"", "\"exec\"", "\"heartbeat\"", "\"host\""];
    let mut wrong = Vec::new();
    for file in sources(&root().join("src")) {
        let relative = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        // Kinds name themselves; the command line turns URL schemes, and others' settings, into ours.
        let is_registry = relative.starts_with("src/probe/") || relative.starts_with("src/alert/channel/");
        // A key of theirs has the name of a kind: an engine's certificates.
        let has_key = relative == "src/supervise/container/address.rs";
        // A word of the shell has the name of a kind.
        let has_word = ["src/supervise/shell.rs", "src/heal/stateful.rs"].contains(&relative.as_str());
        // An engine's words for networks and ports are the same.
        let has_key = has_key || relative.starts_with("src/supervise/container/survey");
        let is_foreign = relative.starts_with("src/cli/import/") || relative.starts_with("src/doctor/");
        if is_registry || has_key || has_word || is_foreign || relative == "src/cli/probe.rs" {
            continue;
        }
        let text = code(&file);
        wrong.extend(kinds.iter().filter(|kind| text.contains(**kind)).map(|kind| format!("{relative} has {kind}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
