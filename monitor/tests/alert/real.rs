//! Programs that others wrote, started on loopback; each is ended with its handle. One that is missing fails its test.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Says how to get what is missing.
const SETUP: &str = "run compose/e2e/setup";

/// A running program.
pub(crate) struct Program(pub(crate) tokio::process::Child);

impl Program {
    /// Starts it; what it reads and writes is ours.
    pub(crate) fn start(program: impl Into<PathBuf>, args: &[&str]) -> Self {
        let program = program.into();
        let mut command = tokio::process::Command::new(&program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        Self(command.spawn().unwrap_or_else(|error| panic!("{}: {error}: {SETUP}", program.display())))
    }
}

/// Runs Python's own library on a script and returns what it prints.
pub(crate) fn python_says(script: &str, args: &[&str]) -> String {
    let output = Command::new("python3").arg("-c").arg(script).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("python3: {error}: {SETUP}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
