//! What the tests in `tests/` share, and nothing that is shipped.

use std::path::PathBuf;

/// Returns a program of this workspace, which is built beside the test that asks for it.
///
/// # Panics
/// If it is not built.
pub fn program(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a process knows its program");
    let program = exe.ancestors().nth(2).expect("tests are built in a folder of the programs' folder").join(name);
    assert!(program.exists(), "{name} is not built; run `cargo build --workspace` first");
    program
}
