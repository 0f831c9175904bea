//! The checked settings of a workload of kind `process`, and the environment it gets.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keeper::{Environment, UserIds};

/// Variables that a child gets from the monitor's own environment without being asked (DESIGN 7); all others are in
/// nobody's way and may be secrets.
pub const PASSED_VARIABLES: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "LOG_LEVEL"];

/// When to start a process again that ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// After every end: a service has no business to end.
    #[default]
    Always,
    /// After every end but a clean one, which completes it.
    OnFailure,
    /// Not at all: a one-shot.
    Never,
}

/// How one process runs. Every value of every field is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSettings {
    /// The program: a name to be found in `PATH`, or a path; a relative one counts from the monitor's folder.
    pub command: String,
    /// Its arguments. None.
    pub args: Vec<String>,
    /// Variables set for it; they win over passed ones. None.
    pub env: Environment,
    /// Variables passed on from the monitor beyond [`PASSED_VARIABLES`]. None.
    pub env_pass: Vec<String>,
    /// Whom to run as; only root can. The monitor's own user.
    pub user: Option<UserIds>,
    /// Where to run. The monitor's folder.
    pub working_dir: Option<PathBuf>,
    /// From SIGTERM to SIGKILL. 10 s, as with `docker stop`.
    pub stop_grace: Duration,
    /// How long a start may take until the first check passes, for whoever decides on readiness. 60 s.
    pub ready_timeout: Duration,
    /// The check whose first pass ends its start; none: the first pass of every critical one.
    pub ready: Option<String>,
    /// The most disk the log of one run may take, in bytes. 2 MiB: some 20 000 lines.
    pub log_limit_bytes: u64,
    /// Runs whose records and logs stay on disk. 10.
    pub runs_kept: usize,
    /// When to start again. Always.
    pub restart: Restart,
}

impl ProcessSettings {
    /// Returns the defaults for `command`.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            args: Vec::new(),
            env: Environment::default(),
            env_pass: Vec::new(),
            user: None,
            working_dir: None,
            stop_grace: Duration::from_secs(10),
            ready_timeout: Duration::from_secs(60),
            ready: None,
            log_limit_bytes: 2 << 20,
            runs_kept: super::run_files::RUNS_KEPT,
            restart: Restart::default(),
        }
    }

    /// Returns the whole environment of the process, where `ours` is the monitor's own.
    pub fn environment(&self, ours: impl IntoIterator<Item = (String, String)>) -> Environment {
        let passed = |name: &str| PASSED_VARIABLES.contains(&name) || self.env_pass.iter().any(|pass| pass == name);
        let mut variables: std::collections::BTreeMap<String, String> =
            ours.into_iter().filter(|(name, _)| passed(name)).collect();
        variables.extend(self.env.0.clone());
        Environment(variables)
    }

    /// Returns the command as the child has to be told, whose working directory may be another: a relative path is
    /// made absolute from `here`, a bare name stays one.
    pub fn resolved_command(&self, here: &Path) -> String {
        let relative = self.command.contains('/') && !self.command.starts_with('/');
        if relative { here.join(&self.command).to_string_lossy().into_owned() } else { self.command.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_the_allow_list_then_what_is_passed_then_what_is_set() {
        let pairs = |text: &str| -> Vec<(String, String)> {
            text.split(' ').map(|pair| pair.split_once('=').unwrap()).map(|(k, v)| (k.into(), v.into())).collect()
        };
        let mut settings = ProcessSettings::new("x");
        settings.env_pass = vec!["PROXY".into(), "MISSING".into()];
        settings.env = Environment(pairs("TZ=UTC SET=1").into_iter().collect());
        let ours = pairs("PATH=/bin HOME=/h TZ=local AWS_SECRET=no PROXY=p LD_PRELOAD=no LOG_LEVEL=debug");
        let expected = pairs("PATH=/bin HOME=/h TZ=UTC PROXY=p LOG_LEVEL=debug SET=1");
        assert_eq!(settings.environment(ours), Environment(expected.into_iter().collect()));
    }

    #[test]
    fn only_a_relative_path_counts_from_the_monitors_folder() {
        for (command, expected) in [("sh", "sh"), ("/bin/sh", "/bin/sh"), ("./web", "/app/./web"), ("a/b", "/app/a/b")]
        {
            assert_eq!(ProcessSettings::new(command).resolved_command(Path::new("/app")), expected);
        }
    }
}
