//! Asks the journal, through `journalctl`: the format of its files is its own. Every question has a deadline and a bound.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::elapsed;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::history::{self, ManagerIs, Past, SPAWN_FAILED};

/// It answers within a tenth of a second; a large journal on a slow disk takes longer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// How long one that has not answered is left alone.
const RESTS_FOR: Duration = Duration::from_secs(30);
/// Read of one answer at most: it is a few kilobytes.
const MAX_ANSWER_BYTES: u64 = 4 << 20;
/// Entries of one run, and of the past of a unit; a run has some six of systemd's own.
const RUN_ENTRIES: &str = "80";
const PAST_ENTRIES: &str = "2000";
/// systemd tells us and the journal of an end at the same time: on a busy machine the journal may take this long to write.
const WRITES_WITHIN: Duration = Duration::from_secs(3);
/// What a run wrote comes to the journal another way than what systemd writes of it, and may come later, by so long.
const LINES_WITHIN: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What is needed of an entry.
const FIELDS: &str = "MESSAGE,MESSAGE_ID,INVOCATION_ID,USER_INVOCATION_ID,_SYSTEMD_INVOCATION_ID,EXIT_CODE,EXIT_STATUS,\
                      COMMAND,UNIT_RESULT,JOB_TYPE,ERRNO,_PID,_UID,_TRANSPORT,_SOURCE_REALTIME_TIMESTAMP";

/// The journal of a machine.
#[derive(Debug)]
pub(super) struct Journal {
    folder: Option<PathBuf>,
    /// It could not be read, and that was said.
    is_broken: bool,
    /// Until when it is not asked again: one that hangs must not hold up what is told of every other unit.
    rests_until: Option<Instant>,
}

impl Journal {
    /// The journal in a folder, or this machine's.
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, is_broken: false, rests_until: None }
    }

    /// Returns what is known of a run of a unit; of one that has just `ended`, after that may have been written.
    pub(super) async fn run(
        &mut self,
        unit: &str,
        invocation: Uuid,
        manager: ManagerIs,
        ended: Option<Timestamp>,
    ) -> Option<Past> {
        let id = invocation.simple().to_string();
        let matches = [
            format!("_SYSTEMD_INVOCATION_ID={id}"),
            "+".to_owned(),
            format!("INVOCATION_ID={id}"),
            "+".to_owned(),
            format!("USER_INVOCATION_ID={id}"),
        ];
        let mut looks = WRITES_WITHIN.as_millis() / LOOK_EVERY.as_millis();
        loop {
            let found = history::runs(&self.ask(RUN_ENTRIES, &matches).await, manager);
            let mut found = found.into_iter().find(|run| run.invocation == invocation);
            let (since, patience) = match &found {
                Some(run) if run.has_lines() && run.ended.is_some() => return found,
                Some(run) if run.ended_in_journal.is_some() => (run.ended_in_journal, LINES_WITHIN),
                _ => (ended, WRITES_WITHIN),
            };
            let waits = |since| elapsed(since, Timestamp::now()) < patience;
            if self.is_broken || looks == 0 || ended.is_none() || !since.is_some_and(waits) {
                if let Some(run) = found.as_mut().filter(|run| run.ended.is_some() && !run.has_lines()) {
                    self.find_strays(unit, manager, run).await;
                }
                return found;
            }
            // A clock may be set back.
            looks -= 1;
            sleep(LOOK_EVERY).await;
        }
    }

    /// Adds what a run wrote and had ended before the journal looked who it was: that bears the unit's name alone (systemd's
    /// issue 2913).
    async fn find_strays(&mut self, unit: &str, manager: ManagerIs, run: &mut Past) {
        let field = if manager == ManagerIs::System { "_SYSTEMD_UNIT" } else { "_SYSTEMD_USER_UNIT" };
        let matches = [format!("--since=@{}", run.began.as_second()), format!("{field}={unit}")];
        let written = self.ask(RUN_ENTRIES, &matches).await;
        run.learn_strays(&written, WRITES_WITHIN);
    }

    /// Returns the runs of a unit since then, without what they wrote.
    pub(super) async fn past(&mut self, unit: &str, manager: ManagerIs, since: Timestamp) -> Vec<Past> {
        let field = if manager == ManagerIs::System { "UNIT" } else { "USER_UNIT" };
        let mut matches = vec![format!("--since=@{}", since.as_second()), format!("{field}={unit}")];
        matches.extend(history::OF_RUNS.iter().map(|id| format!("MESSAGE_ID={id}")));
        matches.push(format!("MESSAGE_ID={SPAWN_FAILED}"));
        history::runs(&self.ask(PAST_ENTRIES, &matches).await, manager)
    }

    async fn ask(&mut self, entries: &str, matches: &[String]) -> Vec<u8> {
        if self.rests_until.is_some_and(|until| Instant::now() < until) {
            return Vec::new();
        }
        let mut command = Command::new("journalctl");
        command.args(["--output=json", "--no-pager", "--quiet", "--lines", entries]);
        command.arg(format!("--output-fields={FIELDS}"));
        if let Some(folder) = &self.folder {
            command.arg("--directory").arg(folder);
        }
        command.args(matches).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let answer = match timeout(ANSWER_PATIENCE, output(command)).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                self.rests_until = Some(Instant::now() + RESTS_FOR);
                Err(format!("no answer within {} s", ANSWER_PATIENCE.as_secs()))
            }
        };
        match answer {
            Ok(output) => {
                self.is_broken = false;
                output
            }
            Err(why) => {
                if !std::mem::replace(&mut self.is_broken, true) {
                    tracing::warn!(why, "the journal cannot be read: ends of units come without their last lines");
                }
                Vec::new()
            }
        }
    }
}

async fn output(mut command: Command) -> Result<Vec<u8>, String> {
    let mut child = command.spawn().map_err(|error| format!("journalctl: {error}"))?;
    let (mut output, mut complaint) = (Vec::new(), Vec::new());
    let (Some(written), Some(complained)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("journalctl: it has no output".to_owned());
    };
    let (mut written, mut complained) = (written.take(MAX_ANSWER_BYTES), complained.take(MAX_ANSWER_BYTES));
    let read = tokio::join!(written.read_to_end(&mut output), complained.read_to_end(&mut complaint));
    // One that has more to say than is read would wait for ever.
    drop((written, complained));
    let status = child.wait().await.map_err(|error| format!("journalctl: {error}"))?;
    let complaint = String::from_utf8_lossy(&complaint);
    let complaint = complaint.lines().next().unwrap_or_default();
    match read {
        (Ok(_), _) if status.success() => Ok(output),
        // Nothing that matches, without a word, is an answer too.
        (Ok(_), _) if complaint.is_empty() => Ok(output),
        (Ok(_), _) => Err(format!("journalctl: {complaint}")),
        (Err(error), _) => Err(format!("journalctl: {error}")),
    }
}
