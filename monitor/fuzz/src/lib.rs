//! What the targets share: how they begin, the one file they write, and what holds for every mistake.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use kit::config::{Mistake, Node, Value};
use tempfile::TempDir;

/// Crates whose panics the product catches and turns into a message, because their parsers are generated.
const CAUGHT: [&str; 2] = ["/cel-", "/antlr4rust-"];

/// Whatever a target writes lies here; who runs it chooses where that is, by `TMPDIR`.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder for temporary files"));

/// Begins a target: TLS has its provider, and a panic ends the process also where the product would catch it.
pub fn begin() {
    kit::tls::install();
    let ends = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let file = panic.location().map_or("", |place| place.file());
        if !CAUGHT.iter().any(|name| file.contains(name)) {
            ends(panic);
        }
    }));
}

/// Returns a folder of this process.
pub fn folder() -> &'static Path {
    FOLDER.path()
}

/// Writes the one file of this process anew.
pub fn write(bytes: &[u8]) -> PathBuf {
    // What an earlier input has made known as secret would change how this one is shown.
    kit::secrets::forget();
    let file = folder().join("input.yml");
    std::fs::write(&file, bytes).expect("room for temporary files");
    file
}

/// Checks that each mistake has words and a place in `text`. One without a line is about the whole of a file or variable.
pub fn check_mistakes(mistakes: &[Mistake], file: &Path, text: &str) {
    assert!(!mistakes.is_empty(), "refused without a reason");
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let columns: Vec<u64> = text.split('\n').map(|line| line.chars().count() as u64).collect();
    for mistake in mistakes {
        assert!(!mistake.message.is_empty() && !mistake.place.file.is_empty(), "{mistake:?}");
        if *mistake.place.file != *file.display().to_string() {
            continue;
        }
        if mistake.place.line == 0 {
            assert!(mistake.path.is_empty(), "no line: {mistake:?}");
            continue;
        }
        // A value may be missing behind the last character.
        let columns = usize::try_from(mistake.place.line - 1).ok().and_then(|line| columns.get(line));
        let columns = columns.unwrap_or_else(|| panic!("no such line: {mistake:?}"));
        assert!((1..=columns + 1).contains(&mistake.place.column), "no such column: {mistake:?}");
    }
}

/// Visits every value below a mapping's key.
pub fn visit<'a>(node: &'a Node, key: &'a str, see: &mut impl FnMut(&'a str, &'a Node)) {
    see(key, node);
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| visit(item, key, see)),
        Value::Map(entries) => entries.iter().for_each(|entry| visit(&entry.node, &entry.key, see)),
        _ => {}
    }
}
