//! `ASVS.md` says which test shows what: each of them is there.

use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

/// Every Rust file of this crate.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    entries.flat_map(files).filter(|path| path.extension().is_some_and(|name| name == "rs")).collect()
}

#[test]
fn every_test_that_is_named_is_there() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [crate_folder.join("src"), crate_folder.join("tests")];
    let text: String =
        folders.iter().flat_map(|folder| sources(folder)).map(|path| read_to_string(path).unwrap()).collect();
    let table = read_to_string(crate_folder.join("ASVS.md")).unwrap();
    let words = table.split('`').skip(1).step_by(2);
    // Names of tests are sentences.
    let tests: Vec<&str> =
        words.filter(|word| word.matches('_').count() >= 3 && !word.contains(char::is_uppercase)).collect();
    assert!(tests.len() > 30, "{tests:?}");
    for test in tests {
        assert!(text.contains(&format!("fn {test}(")), "{test}");
    }
}
