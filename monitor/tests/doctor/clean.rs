//! What works is left alone.

use super::{clean_folders, findings, read};

/// One false finding in twenty projects is what a person may be asked to bear.
const BEARABLE: usize = 1;

#[test]
fn clean_projects_have_no_findings() {
    let folders = clean_folders();
    assert!(folders.len() >= 20, "{} projects", folders.len());
    let mut found = Vec::new();
    for folder in &folders {
        found.extend(findings(&read(folder).unwrap()));
    }
    assert!(found.len() <= BEARABLE, "{found:#?}");
}

#[test]
fn a_project_of_two_thousand_lines_is_read_at_once() {
    let service = |index: usize| {
        format!(
            "  web{index}:\n    image: nginx:1.27\n    depends_on: [web{}]\n    environment:\n      A: http://web1:80\n      B: x\n",
            index + 1
        )
    };
    let services: String = (0..350).map(service).collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("compose.yml"),
        format!("services:\n{services}  web350:\n    image: nginx:1.27\n"),
    )
    .unwrap();
    let began = std::time::Instant::now();
    let found = findings(&read(folder.path()).unwrap());
    assert!(found.is_empty(), "{found:#?}");
    // A bound for any machine; the figure itself is in the README.
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
}
