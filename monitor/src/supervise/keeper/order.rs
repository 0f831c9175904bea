//! The order a keeper gets: what to run, as whom, where, and how to end it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::path::PathBuf;
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::supervise::run_record::Mode;

/// The longest order that is read. Linux takes 2 MiB of arguments and environment by default (`execve(2)`, a quarter
/// of the 8 MiB stack); JSON may double that.
const ORDER_LIMIT_BYTES: u64 = 4 << 20;

/// One line of JSON on the keeper's standard input, so that no secret is on a command line or on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepOrder {
    /// The service's id.
    pub service: String,
    /// The run's id.
    pub run: Uuid,
    /// What to do when the control pipe closes.
    pub mode: Mode,
    /// The program: a path, or a name to be found in the `PATH` of `env`.
    pub command: String,
    /// Its arguments, without the program itself.
    pub args: Vec<String>,
    /// Its working directory; without one the keeper's.
    pub working_dir: Option<PathBuf>,
    /// Its whole environment.
    pub env: Environment,
    /// The user to become; without one the keeper's.
    pub user: Option<UserIds>,
    /// Time between SIGTERM and SIGKILL, in milliseconds.
    pub stop_grace_ms: u64,
    /// The most disk its log may take, in bytes.
    pub log_limit_bytes: u64,
}

impl KeepOrder {
    /// Reads the order, the first line of `input`, and not a byte more.
    ///
    /// # Errors
    /// When the input ends early or the line is not an order.
    pub fn read(input: &mut impl BufRead) -> io::Result<Self> {
        let mut line = Vec::new();
        input.take(ORDER_LIMIT_BYTES).read_until(b'\n', &mut line)?;
        Ok(serde_json::from_slice(&line)?)
    }

    /// Returns the line to send.
    ///
    /// # Errors
    /// When the working directory is not UTF-8.
    pub fn to_line(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }

    /// Returns the time between SIGTERM and SIGKILL.
    pub const fn stop_grace(&self) -> Duration {
        Duration::from_millis(self.stop_grace_ms)
    }

    /// Returns the digest for `run.json`: the same for two runs of the same command line. The environment is left out,
    /// because a short secret could be guessed from a digest.
    pub fn command_digest(&self) -> String {
        let mut digest = Sha256::new();
        let working_dir = self.working_dir.as_ref().map(|path| path.to_string_lossy());
        let parts = [Some(self.command.as_str()), working_dir.as_deref()];
        for part in parts.into_iter().chain(self.args.iter().map(|argument| Some(argument.as_str()))) {
            // NUL cannot be part of an argument or a path, so it separates them.
            digest.update(part.unwrap_or_default());
            digest.update([0]);
        }
        digest.update(self.user.map(|user| format!("{}:{}", user.uid, user.gid)).unwrap_or_default());
        HEXLOWER.encode(&digest.finalize())
    }
}

/// Numbers of a user and of its only group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserIds {
    /// User id.
    pub uid: u32,
    /// Group id; supplementary groups are dropped.
    pub gid: u32,
}

/// Environment variables; only their names show in `Debug`, because values may be secrets.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Environment(pub BTreeMap<String, String>);

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> KeepOrder {
        KeepOrder {
            service: "web".into(),
            run: Uuid::nil(),
            mode: Mode::Up,
            command: "sh".into(),
            args: vec!["-c".into(), "exit 3".into()],
            working_dir: None,
            env: Environment([("TOKEN".to_owned(), "hunter2".to_owned())].into()),
            user: Some(UserIds { uid: 1, gid: 2 }),
            stop_grace_ms: 10_000,
            log_limit_bytes: 1 << 20,
        }
    }

    #[test]
    fn an_order_survives_the_pipe_and_leaves_the_next_line_to_the_control() {
        let mut input = order().to_line().unwrap();
        input.extend(b"stop\n");
        let mut input = input.as_slice();
        assert_eq!(KeepOrder::read(&mut input).unwrap(), order());
        assert_eq!(input, b"stop\n");
        assert!(KeepOrder::read(&mut b"{\"service\":\n".as_slice()).is_err());
        assert!(KeepOrder::read(&mut b"".as_slice()).is_err());
    }

    #[test]
    fn debug_shows_names_of_variables_and_never_a_value() {
        let shown = format!("{:?}", order());
        assert!(shown.contains("TOKEN") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn the_digest_tells_command_lines_apart_and_ignores_the_environment() {
        let digest = order().command_digest();
        assert_eq!(digest.len(), 64);
        assert_eq!(KeepOrder { env: Environment::default(), ..order() }.command_digest(), digest);
        for other in [
            KeepOrder { args: vec!["-c exit 3".into()], ..order() },
            KeepOrder { working_dir: Some("/".into()), ..order() },
            KeepOrder { user: None, ..order() },
        ] {
            assert_ne!(other.command_digest(), digest);
        }
    }
}
