//! The command line as people and scripts use it: the real binary, beside a real daemon where it asks one.

mod carried;
mod doctor;
mod letters;
mod plans;
mod policy;
mod reconciled;
mod refusals;
mod simulate;

use std::process::Stdio;

use serde_json::Value;
use testkit::eventually;
use tokio::process::{Child, Command};

use crate::daemon::machine::{LIMIT, Machine};

const ACTS: &str = "queues: [{ queue: '*', mode: act }]\noperator_token_file: token\n";
const NO_ADDRESS: &str = "ValidationError: no address";

/// What a command came to.
struct Said {
    code: i32,
    output: String,
    errors: String,
}

impl Said {
    /// What was printed, as JSON.
    fn json(&self) -> Value {
        assert!(!self.output.is_empty(), "{}: {}", self.code, self.errors);
        serde_json::from_str(&self.output).unwrap()
    }
}

impl Machine {
    /// Starts a command in the folder of the configuration, with an operator's token.
    fn start_command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dlq-processor"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().kill_on_drop(true);
        command.env("DLQ_URL", self.url()).env("DLQ_TOKEN_FILE", "token").envs(variables.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    async fn says(&self, arguments: &[&str]) -> Said {
        said(self.start_command(arguments, &[])).await
    }

    async fn says_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        said(self.start_command(arguments, variables)).await
    }

    /// Waits until so many letters are listed.
    async fn listed(&self, letters: usize) -> Vec<Value> {
        eventually("letters to be listed", LIMIT, async || {
            let said = self.says(&["ls"]).await;
            let found = serde_json::from_str::<Value>(&said.output).ok()?["letters"].as_array()?.clone();
            (found.len() == letters).then_some(found)
        })
        .await
    }
}

async fn said(child: Child) -> Said {
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), output: text(output.stdout), errors: text(output.stderr) }
}
