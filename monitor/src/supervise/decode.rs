//! Reads `workload: { process: … }`.

use std::time::Duration;

use kit::config::Cursor;
use nix::unistd::User;

use super::keeper::{Environment, UserIds};
use super::settings::{ProcessSettings, Restart};
use super::workload::{Workload, WorkloadKind};

/// The kind `process`.
pub(super) struct Process;

impl WorkloadKind for Process {
    fn name(&self) -> &'static str {
        "process"
    }

    fn decode(&self, cursor: &Cursor<'_>) -> Option<Workload> {
        ProcessSettings::decode(cursor).map(Workload::Run)
    }
}

impl ProcessSettings {
    /// Checks the settings of a process; reports every mistake through the cursor.
    pub fn decode(cursor: &Cursor<'_>) -> Option<Self> {
        let fields = cursor.fields()?;
        let words = fields.require("command").map(|c| c.texts()).unwrap_or_default();
        let mut words = words.into_iter();
        let command = words.next().filter(|command| !command.is_empty());
        if command.is_none() && fields.has("command") {
            fields.cursor().mistake("\"command\" is empty; write it as a list, like [./web, --port, \"8000\"]");
        }
        let mut settings = Self::new(command.unwrap_or_default());
        settings.args = words.collect();
        settings.env = Environment(fields.text_map("env"));
        settings.env_pass = fields.get("env_pass").map(|c| c.texts()).unwrap_or_default();
        settings.user = fields.get("user").and_then(|c| user(&c));
        settings.working_dir = fields.get("working_dir").and_then(|c| c.text()).map(Into::into);
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        if let Some(grace) = fields.get("stop_grace").and_then(|c| c.duration(second..=hour)) {
            settings.stop_grace = grace;
        }
        if let Some(timeout) = fields.get("ready_timeout").and_then(|c| c.duration(second..=hour)) {
            settings.ready_timeout = timeout;
        }
        settings.ready = fields.get("ready").and_then(|c| c.text());
        if let Some(bytes) = fields.get("log_limit").and_then(|c| c.bytes(64 << 10..=10 << 30)) {
            settings.log_limit_bytes = bytes;
        }
        if let Some(runs) = fields.get("runs_kept").and_then(|c| c.whole(1..=1000usize)) {
            settings.runs_kept = runs;
        }
        let restarts = [("always", Restart::Always), ("on-failure", Restart::OnFailure), ("never", Restart::Never)];
        settings.restart = fields.get("restart").and_then(|c| c.one_of(&restarts)).unwrap_or_default();
        fields.end();
        Some(settings).filter(|settings| !settings.command.is_empty())
    }
}

/// A user's name, whose ids the system knows.
fn user(cursor: &Cursor<'_>) -> Option<UserIds> {
    let name = cursor.text()?;
    match User::from_name(&name) {
        Ok(Some(user)) => Some(UserIds { uid: user.uid.as_raw(), gid: user.gid.as_raw() }),
        Ok(None) => {
            cursor.mistake(format!("there is no user {name:?} on this machine"));
            None
        }
        Err(error) => {
            cursor.mistake(format!("cannot look up user {name:?}: {error}"));
            None
        }
    }
}
