//! What the journal says of runs: systemd's own messages, and what a run wrote. Pure.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::ending::{exit_of_spawn, is_own_code};
use crate::supervise::cause::Exit;
use crate::supervise::last_lines::LastLines;

/// Names of systemd's messages (its catalog; systemd/sd-messages.h).
const STOPPING: &str = "de5b426a63be47a7b6ac3eaac82e2f6f";
const PROCESS_EXITED: &str = "98e322203f7a4ed290d09fe03c09fe15";
const SUCCEEDED: &str = "7ad2d189f7e94e70a38c781354912448";
const STOPPED: &str = "9d1aaa27d60140bd96365438aad20286";
const FAILED: &str = "d9b373ed55a64feb8242e02dbe79a49c";
const RESTART_SCHEDULED: &str = "5eb03494b6584870a536b337290809b3";
pub(super) const SPAWN_FAILED: &str = "641257651c1b4ec9a8624d7a40a9e1e7";

/// What systemd writes of each run.
pub(super) const OF_RUNS: [&str; 8] = [
    // "Starting" and "started".
    "7d4958e842da4a758f6c1cdc7b36dcc5",
    "39f53479d3a045ac8e11786248231fbf",
    STOPPING,
    STOPPED,
    PROCESS_EXITED,
    SUCCEEDED,
    FAILED,
    RESTART_SCHEDULED,
];

/// Whose systemd it is, and so who may speak for it in a journal: everybody may write entries that look like its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ManagerIs {
    /// The machine's, which is its first process.
    System,
    /// This user's.
    OfUser(u32),
}

/// Runs that are taken from a journal at once; the ledger keeps no more.
const MAX_RUNS: usize = crate::supervise::ledger::RUNS_KEPT;

/// A run as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) invocation: Uuid,
    pub(super) began: Timestamp,
    /// systemd started it because the run before had ended.
    pub(super) by_itself: bool,
    /// Somebody asked it to end, through systemd.
    pub(super) asked: bool,
    pub(super) ended: Option<Timestamp>,
    /// When the journal had that.
    pub(super) ended_in_journal: Option<Timestamp>,
    /// How its main process ended, or else the one that failed before there was one.
    pub(super) exit: Option<Exit>,
    /// How it ended in systemd's words.
    pub(super) result: Option<String>,
    main_has_exited: bool,
    /// Why a process could not be started: the errno.
    errno: Option<i32>,
    lines: LastLines,
}

impl Past {
    fn new(invocation: Uuid, began: Timestamp, by_itself: bool) -> Self {
        Self {
            invocation,
            began,
            by_itself,
            asked: false,
            ended: None,
            ended_in_journal: None,
            exit: None,
            result: None,
            main_has_exited: false,
            errno: None,
            lines: LastLines::default(),
        }
    }

    /// Returns the last lines that it wrote, and what systemd wrote of why it could not.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.lines.to_vec()
    }

    /// Returns whether there is any.
    pub(super) fn has_lines(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Takes the lines from what else is known of the same run.
    pub(super) fn learn_lines(&mut self, whole: Self) {
        self.lines = whole.lines;
    }

    /// Takes lines that bear no run's name, of those that came from when it began until so long after it had ended.
    pub(super) fn learn_strays(&mut self, journal: &[u8], after: Duration) {
        let Some(until) = self.ended.map(|ended| kit::clock::later(ended, after)) else { return };
        for entry in journal.split(|byte| *byte == b'\n').filter_map(Entry::read) {
            let is_stray = entry.text("_TRANSPORT") == Some("stdout") && entry.invocation().is_none();
            if is_stray && entry.at().is_some_and(|at| at >= self.began && at <= until) {
                self.lines.extend(entry.message());
            }
        }
    }

    /// Returns what an exit means if systemd itself, before the program, was what ended.
    pub(super) fn explained(&self, exit: Exit) -> Exit {
        match (exit, self.errno) {
            (Exit::Code(code), Some(errno)) if is_own_code(code) => exit_of_spawn(code, errno),
            _ => exit,
        }
    }

    fn take(&mut self, entry: &Entry) {
        let was_ended = self.ended.is_some();
        self.learn(entry);
        if self.ended.is_some() && !was_ended {
            self.ended_in_journal = entry.received();
        }
    }

    fn learn(&mut self, entry: &Entry) {
        match entry.message_id() {
            Some(STOPPING) => self.asked = self.ended.is_none(),
            Some(PROCESS_EXITED) => {
                let is_main = entry.text("COMMAND").is_none_or(|command| command == "ExecStart");
                if is_main || !self.main_has_exited {
                    self.exit = entry.exit().or(self.exit);
                    self.main_has_exited |= is_main;
                    self.ended = self.ended.or(entry.at());
                }
            }
            Some(SUCCEEDED) => {
                self.ended = self.ended.or(entry.at());
                self.result = Some("success".to_owned());
            }
            Some(FAILED) => {
                self.ended = self.ended.or(entry.at());
                self.result = entry.text("UNIT_RESULT").map(str::to_owned);
            }
            Some(SPAWN_FAILED) => {
                self.errno = entry.text("ERRNO").and_then(|errno| errno.parse().ok()).or(self.errno);
                self.lines.extend(entry.message());
            }
            _ if entry.is_output() => self.lines.extend(entry.message()),
            _ => {}
        }
    }
}

/// Returns the runs that a journal tells of, oldest first, as far as the systemd itself wrote of them.
pub(super) fn runs(journal: &[u8], manager: ManagerIs) -> Vec<Past> {
    let mut runs: Vec<Past> = Vec::new();
    let mut restarts = false;
    for line in journal.split(|byte| *byte == b'\n') {
        let Some(entry) = Entry::read(line) else { continue };
        if !entry.is_genuine(manager) {
            continue;
        }
        match entry.message_id() {
            Some(RESTART_SCHEDULED) => restarts = true,
            // Somebody did not want to have it back.
            Some(STOPPED) if entry.text("JOB_TYPE") == Some("stop") => restarts = false,
            _ => {}
        }
        let (Some(invocation), Some(at)) = (entry.invocation(), entry.at()) else { continue };
        if let Some(run) = runs.iter_mut().rev().find(|run| run.invocation == invocation) {
            run.take(&entry);
            continue;
        }
        let mut run = Past::new(invocation, at, std::mem::take(&mut restarts));
        run.take(&entry);
        if runs.len() == MAX_RUNS {
            runs.remove(0);
        }
        runs.push(run);
    }
    runs
}

/// One entry, as `journalctl --output=json` writes it (systemd.journal-fields(7)).
struct Entry(Map<String, Value>);

impl Entry {
    fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok().map(Self)
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field)?.as_str()
    }

    fn message_id(&self) -> Option<&str> {
        self.text("MESSAGE_ID")
    }

    /// Returns whether a process of the service wrote it, and not systemd of the service.
    fn is_output(&self) -> bool {
        ["INVOCATION_ID", "USER_INVOCATION_ID"].iter().all(|field| !self.0.contains_key(*field))
    }

    /// Returns whether what looks like systemd's own was written by it. Fields that begin with `_` are the journal's word.
    /// That a program could not be started is told by the process that was to become it.
    fn is_genuine(&self, manager: ManagerIs) -> bool {
        if self.is_output() || self.message_id() == Some(SPAWN_FAILED) {
            return true;
        }
        match manager {
            ManagerIs::System => self.text("_PID") == Some("1"),
            ManagerIs::OfUser(user) => self.text("_UID").is_some_and(|uid| uid == user.to_string()),
        }
    }

    /// A user's systemd is a service itself, with a run of its own.
    fn invocation(&self) -> Option<Uuid> {
        let fields = ["INVOCATION_ID", "USER_INVOCATION_ID", "_SYSTEMD_INVOCATION_ID"];
        Uuid::try_parse(fields.iter().find_map(|field| self.text(field))?).ok()
    }

    fn at(&self) -> Option<Timestamp> {
        self.time("_SOURCE_REALTIME_TIMESTAMP").or_else(|| self.received())
    }

    /// Returns when the journal had it.
    fn received(&self) -> Option<Timestamp> {
        self.time("__REALTIME_TIMESTAMP")
    }

    fn time(&self, field: &str) -> Option<Timestamp> {
        Timestamp::from_microsecond(self.text(field)?.parse().ok()?).ok()
    }

    fn exit(&self) -> Option<Exit> {
        let status = self.text("EXIT_STATUS")?.parse().ok()?;
        Some(if self.text("EXIT_CODE")? == "exited" { Exit::Code(status) } else { Exit::Signal(status) })
    }

    /// What is no UTF-8, or holds control characters, is written as a list of bytes.
    fn message(&self) -> Vec<String> {
        let text = match self.0.get("MESSAGE") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(bytes)) => {
                let bytes = bytes.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok());
                String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
            }
            _ => String::new(),
        };
        text.lines().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "6ac9980239a44d11b14a84d82e01d50d";
    const SECOND: &str = "3e158a5b738548c38fff3a9e45db98a1";

    /// Each line: seconds, the run (`-` for none), and further fields as `KEY=value`.
    fn journal(lines: &[&str]) -> Vec<u8> {
        let entry = |line: &&str| {
            let mut words = line.split(' ');
            let (secs, invocation) = (words.next().unwrap(), words.next().unwrap());
            let own = words.clone().any(|word| word.starts_with("MESSAGE_ID="));
            let run = if own { "INVOCATION_ID" } else { "_SYSTEMD_INVOCATION_ID" };
            let mut fields = Map::new();
            fields.insert("__REALTIME_TIMESTAMP".to_owned(), format!("18000000{secs}000000").into());
            fields.insert("_PID".to_owned(), if own { "1" } else { "77" }.into());
            if let Some(invocation) = [("1", FIRST), ("2", SECOND)].iter().find(|(name, _)| *name == invocation) {
                fields.insert(run.to_owned(), invocation.1.into());
            }
            for (key, value) in words.filter_map(|word| word.split_once('=')) {
                fields.insert(key.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into()));
            }
            // Numbers are texts there too.
            fields.values_mut().filter(|value| value.is_number()).for_each(|value| *value = value.to_string().into());
            Value::Object(fields).to_string()
        };
        lines.iter().map(entry).collect::<Vec<String>>().join("\n").into_bytes()
    }

    fn id(name: &str) -> String {
        format!("MESSAGE_ID={name}")
    }

    #[test]
    fn runs_are_told_with_their_ends_who_began_them_and_what_they_wrote() {
        let lines = [
            "10 1 MESSAGE_ID=39f53479d3a045ac8e11786248231fbf".to_owned(),
            "11 1 MESSAGE=hello".to_owned(),
            "12 1 MESSAGE=[98,255,10,101]".to_owned(),
            format!("13 1 {} EXIT_CODE=exited EXIT_STATUS=3 COMMAND=ExecStart", id(PROCESS_EXITED)),
            format!("13 1 {} EXIT_CODE=exited EXIT_STATUS=1 COMMAND=ExecStopPost", id(PROCESS_EXITED)),
            format!("14 1 {} UNIT_RESULT=exit-code", id(FAILED)),
            format!("15 1 {} N_RESTARTS=1", id(RESTART_SCHEDULED)),
            format!("15 1 {} JOB_TYPE=restart", id(STOPPED)),
            "16 2 MESSAGE_ID=39f53479d3a045ac8e11786248231fbf".to_owned(),
            format!("18 2 {} JOB_TYPE=stop", id(STOPPING)),
            format!("19 2 {}", id(SUCCEEDED)),
            "no entry at all".to_owned(),
        ];
        let found = runs(&journal(&lines.iter().map(String::as_str).collect::<Vec<_>>()), ManagerIs::System);
        let [first, second] = found.as_slice() else { panic!("two runs: {found:?}") };
        assert_eq!((first.by_itself, first.asked, first.exit), (false, false, Some(Exit::Code(3))));
        assert_eq!((first.result.as_deref(), first.began.as_second()), (Some("exit-code"), 1_800_000_010));
        assert_eq!(first.ended.unwrap().as_second(), 1_800_000_013);
        assert_eq!(first.last_lines(), ["hello", "b\u{fffd}", "e"]);
        assert_eq!((second.by_itself, second.asked, second.exit), (true, true, None));
        assert_eq!(second.result.as_deref(), Some("success"));
    }

    #[test]
    fn what_bears_no_runs_name_is_of_the_one_that_it_came_in_the_time_of() {
        let started = "10 1 MESSAGE_ID=39f53479d3a045ac8e11786248231fbf";
        let failed = format!("13 1 {} UNIT_RESULT=exit-code", id(FAILED));
        let mut run = runs(&journal(&[started, &failed]), ManagerIs::System).remove(0);
        assert_eq!(run.ended_in_journal.unwrap().as_second(), 1_800_000_013);
        let [before, early, late, after, unsaid] = [
            "09 - _TRANSPORT=stdout MESSAGE=before",
            "11 - _TRANSPORT=stdout MESSAGE=early",
            "15 - _TRANSPORT=stdout MESSAGE=late",
            "17 - _TRANSPORT=stdout MESSAGE=after",
            "12 - _TRANSPORT=syslog MESSAGE=unsaid",
        ];
        let others = "12 2 _TRANSPORT=stdout MESSAGE=other";
        run.learn_strays(&journal(&[before, early, unsaid, others, late, after]), Duration::from_secs(3));
        assert_eq!(run.last_lines(), ["early", "late"]);
    }

    #[test]
    fn why_a_program_could_not_be_started_is_the_errno_and_a_line() {
        let failed = "10 1 MESSAGE_ID=641257651c1b4ec9a8624d7a40a9e1e7 ERRNO=2 MESSAGE=gone";
        let exited =
            "11 1 MESSAGE_ID=98e322203f7a4ed290d09fe03c09fe15 EXIT_CODE=exited EXIT_STATUS=203 COMMAND=ExecStart";
        let found = runs(&journal(&[failed, exited]), ManagerIs::System);
        let run = found.first().unwrap();
        assert_eq!(run.last_lines(), ["gone"]);
        assert_eq!(run.explained(Exit::Code(203)), Exit::Spawn(2));
        assert_eq!(run.explained(Exit::Code(217)), Exit::Prepare(2));
        assert_eq!(run.explained(Exit::Code(1)), Exit::Code(1));
    }

    #[test]
    fn who_is_stopped_while_he_waits_and_started_later_was_not_started_by_systemd() {
        let scheduled = format!("15 1 {} N_RESTARTS=1", id(RESTART_SCHEDULED));
        let stopped = format!("16 1 {} JOB_TYPE=stop", id(STOPPED));
        let started = "20 2 MESSAGE_ID=39f53479d3a045ac8e11786248231fbf";
        let found = runs(&journal(&[&scheduled, &stopped, started]), ManagerIs::System);
        assert!(!found.last().unwrap().by_itself);
    }

    #[test]
    fn whoever_writes_as_if_he_were_systemd_says_nothing_of_a_run() {
        let started = "10 1 MESSAGE_ID=39f53479d3a045ac8e11786248231fbf";
        for (forger, is_asked) in [("_PID=4711 _UID=1000", false), ("_PID=1", true)] {
            let stopping = format!("12 1 {} JOB_TYPE=stop {forger}", id(STOPPING));
            let found = runs(&journal(&[started, &stopping]), ManagerIs::System);
            assert_eq!(found.first().unwrap().asked, is_asked, "{forger}");
        }
        let users = journal(&["10 1 MESSAGE_ID=39f53479d3a045ac8e11786248231fbf _UID=1000"]);
        assert_eq!(runs(&users, ManagerIs::OfUser(1000)).len(), 1);
        assert_eq!(runs(&users, ManagerIs::OfUser(1001)).len(), 0);
    }
}
