//! What systemd says of a service, as it stands. Absent properties are unknown.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;
use zbus::{Array, OwnedVariant, Structure, Variant};

use super::version::{Settings, commands, program};
use crate::supervise::cause::Exit;
use crate::supervise::described::{DeclaredUnit, Described};

/// `CLD_EXITED` (siginfo(7)): what comes with it is an exit code; with `CLD_KILLED` and `CLD_DUMPED` it is a signal.
const CLD_EXITED: i32 = 1;
/// "Never", of a length of time (`USEC_INFINITY` of systemd).
const NEVER: u64 = u64::MAX;

/// A service as it stands. `take` keeps it up to date.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Facts {
    /// Its own name, which need not be the one it was found by.
    pub(super) name: String,
    /// `loaded`, `not-found`, `masked` …
    pub(super) load: String,
    /// What is wrong with its file.
    load_error: String,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating` …
    pub(super) active: String,
    /// `running`, `exited`, `auto-restart` …
    pub(super) sub: String,
    /// Its latest run.
    pub(super) invocation: Option<Uuid>,
    /// Something is to be done to it, or is being done.
    pub(super) has_job: bool,
    /// How its latest run ended in systemd's words; `success` while it goes on.
    pub(super) result: String,
    /// How often systemd has started it again since somebody else did.
    pub(super) restarts: u32,
    /// When its latest main process began and ended, and how.
    main_began: Option<Timestamp>,
    main_ended: Option<Timestamp>,
    main_code: i32,
    main_status: i32,
    /// When it was last to be started, and whether its conditions were met.
    to_start: Option<Timestamp>,
    conditions_met: bool,
    /// When it last left the state of rest, became active, and came to rest.
    left_rest: Option<Timestamp>,
    became_active: Option<Timestamp>,
    came_to_rest: Option<Timestamp>,
    /// When its state last changed, in microseconds on systemd's clock: tells newer from older.
    pub(super) changed_us: u64,
    /// `no`, `always`, `on-failure` …
    pub(super) restart: String,
    restart_delay: Duration,
    /// What the delay has grown to (systemd 254 and later).
    next_delay: Option<Duration>,
    watchdog: Option<Duration>,
    file: String,
    file_state: String,
    /// Its programs with their arguments.
    command: Vec<String>,
    /// The file of its first program.
    program: Option<String>,
    /// It runs in a root of its own, where a file of that name is another.
    is_elsewhere: bool,
    /// What that file holds, as SHA-256 in hexadecimal, if it is within reach: systemd does not say.
    pub(super) digest: Option<String>,
    /// What decides what runs and with what.
    pub(super) settings: Settings,
}

impl Facts {
    /// What cannot be loaded at all.
    pub(super) fn missing(name: &str, why: &str) -> Self {
        let text = str::to_owned;
        let (load, active) = (text("error"), text("inactive"));
        Self { name: text(name), load, load_error: text(why), active, ..Self::default() }
    }

    /// Takes what has changed, or everything.
    pub(super) fn take(&mut self, properties: HashMap<String, OwnedVariant>) {
        for (name, value) in properties {
            self.settings.take(&name, &value);
            if self.take_text(&name, &value).is_none() && self.take_time(&name, &value).is_none() {
                let _of_no_use = self.take_other(&name, value);
            }
        }
    }

    fn take_text(&mut self, name: &str, value: &OwnedVariant) -> Option<()> {
        let field = match name {
            "Id" => &mut self.name,
            "LoadState" => &mut self.load,
            "ActiveState" => &mut self.active,
            "SubState" => &mut self.sub,
            "Result" => &mut self.result,
            "Restart" => &mut self.restart,
            "FragmentPath" => &mut self.file,
            "UnitFileState" => &mut self.file_state,
            _ => return None,
        };
        <&str>::try_from(value).ok()?.clone_into(field);
        Some(())
    }

    fn take_time(&mut self, name: &str, value: &OwnedVariant) -> Option<()> {
        let field = match name {
            "ExecMainStartTimestamp" => &mut self.main_began,
            "ExecMainExitTimestamp" => &mut self.main_ended,
            "ConditionTimestamp" => &mut self.to_start,
            "InactiveExitTimestamp" => &mut self.left_rest,
            "ActiveEnterTimestamp" => &mut self.became_active,
            "InactiveEnterTimestamp" => &mut self.came_to_rest,
            _ => return None,
        };
        *field = time(u64::try_from(value).ok()?);
        Some(())
    }

    fn take_other(&mut self, name: &str, value: OwnedVariant) -> Option<()> {
        match name {
            "InvocationID" => self.invocation = invocation(&Array::try_from(value).ok()?),
            "Job" => {
                let job = Structure::try_from(value).ok()?;
                self.has_job = matches!(job.fields().first(), Some(Variant::U32(id)) if *id != 0);
            }
            "LoadError" => {
                let error = Structure::try_from(value).ok()?;
                if let Some(Variant::Str(text)) = error.fields().get(1) {
                    self.load_error = text.to_string();
                }
            }
            "ExecStart" => {
                let all = Array::try_from(value).ok()?;
                (self.command, self.program) = (commands(&all), program(&all));
            }
            "RootDirectory" | "RootImage" => self.is_elsewhere |= !<&str>::try_from(&value).ok()?.is_empty(),
            "ConditionResult" => self.conditions_met = bool::try_from(&value).ok()?,
            "NRestarts" => self.restarts = u32::try_from(&value).ok()?,
            "ExecMainCode" => self.main_code = i32::try_from(&value).ok()?,
            "ExecMainStatus" => self.main_status = i32::try_from(&value).ok()?,
            "StateChangeTimestampMonotonic" => self.changed_us = u64::try_from(&value).ok()?,
            "RestartUSec" => self.restart_delay = length(u64::try_from(&value).ok()?).unwrap_or_default(),
            "RestartUSecNext" => self.next_delay = length(u64::try_from(&value).ok()?),
            "WatchdogUSec" => self.watchdog = length(u64::try_from(&value).ok()?).filter(|length| !length.is_zero()),
            _ => return None,
        }
        Some(())
    }

    /// Takes what the next run is made of, which no signal tells.
    pub(super) fn made_as(&mut self, fresh: &Self) {
        self.settings.clone_from(&fresh.settings);
        self.command.clone_from(&fresh.command);
        self.program.clone_from(&fresh.program);
        self.is_elsewhere = fresh.is_elsewhere;
    }

    /// Returns the file of its first program, if it is one of the machine's own.
    pub(super) fn program(&self) -> Option<&str> {
        self.program.as_deref().filter(|_| !self.is_elsewhere)
    }

    /// Returns whether there is such a service, whatever it does.
    pub(super) fn exists(&self) -> bool {
        !matches!(self.load.as_str(), "not-found" | "masked" | "error" | "bad-setting")
    }

    /// Returns what is wrong with its file.
    pub(super) fn load_words(&self) -> &str {
        if self.load_error.is_empty() { &self.load } else { &self.load_error }
    }

    /// Returns when its latest run began; none if it is only about to.
    pub(super) fn began(&self) -> Option<Timestamp> {
        self.invocation?;
        match self.main_of_this_run() {
            Some((began, _)) => Some(began),
            None if matches!(self.active.as_str(), "active" | "reloading") => self.became_active,
            // It ended before there was a main process.
            None if self.has_ended() && self.result != "success" => self.to_start,
            None => None,
        }
    }

    /// Returns when its latest run ended; none if it goes on.
    pub(super) fn ended(&self) -> Option<Timestamp> {
        let began = self.began()?;
        let main = self.main_of_this_run();
        let rested = self.came_to_rest.filter(|rested| *rested >= began);
        match main.and_then(|(_, ended)| ended) {
            Some(ended)
                if self.has_ended() || matches!(self.active.as_str(), "inactive" | "failed" | "deactivating") =>
            {
                Some(ended)
            }
            // In the middle of a start it still counts as resting for a moment.
            _ if self.has_ended() && (main.is_none() || rested.is_some()) => rested.or(Some(began)),
            _ => None,
        }
    }

    fn has_ended(&self) -> bool {
        self.is_at_rest() && !self.has_job || self.waits() || self.is_done()
    }

    /// Returns how the main process of its latest run ended; none if there was none.
    pub(super) fn exit(&self) -> Option<Exit> {
        self.main_of_this_run()?.1?;
        let (code, status) = (self.main_code, self.main_status);
        Some(if code == CLD_EXITED { Exit::Code(status) } else { Exit::Signal(status) })
    }

    /// Returns whether its main process is there, as far as is known.
    pub(super) fn runs(&self) -> bool {
        self.began().is_some() && self.ended().is_none()
    }

    /// Returns whether systemd is about to start it again by itself.
    pub(super) fn waits(&self) -> bool {
        self.sub.starts_with("auto-restart")
    }

    /// Returns whether it has done its work, and is active all the same.
    pub(super) fn is_done(&self) -> bool {
        self.active == "active" && self.sub == "exited"
    }

    /// Returns whether nothing of it is left.
    pub(super) fn is_at_rest(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed")
    }

    /// Returns whether systemd starts it again after a clean end.
    pub(super) fn restarts_after_a_clean_end(&self) -> bool {
        matches!(self.restart.as_str(), "always" | "on-success")
    }

    /// Returns whether systemd refused to start it again, for it had been started too often.
    ///
    /// If the run before had failed, that stays the result (systemd 252 and others): it can be told only by a start that
    /// came to nothing.
    pub(super) fn hit_its_limit(&self) -> bool {
        self.result == "start-limit-hit" || self.active == "failed" && self.conditions_met && self.came_to_nothing()
    }

    /// Returns how long systemd waits before it starts it again.
    pub(super) fn delay(&self) -> Duration {
        self.next_delay.unwrap_or(self.restart_delay)
    }

    /// Returns what is declared of it.
    pub(super) fn described(&self) -> Described {
        let unit = DeclaredUnit {
            file: self.file.clone(),
            file_state: self.file_state.clone(),
            restart: self.restart.clone(),
            restart_delay: self.restart_delay,
            watchdog: self.watchdog,
        };
        Described { unit: Some(unit), command: self.command.clone(), ..Described::default() }
    }

    /// It was to be started after it had come to rest, and has not left it since.
    fn came_to_nothing(&self) -> bool {
        let Some(to_start) = self.to_start.filter(|_| self.is_at_rest() && !self.has_job) else { return false };
        let is_before = |time: Option<Timestamp>| time.is_some_and(|time| time < to_start);
        is_before(self.came_to_rest) && is_before(self.left_rest)
    }

    /// What is said of the main process may be of the run before: systemd keeps it until there is another.
    fn main_of_this_run(&self) -> Option<(Timestamp, Option<Timestamp>)> {
        let is_of_this_run = |began: &Timestamp| self.to_start.is_none_or(|to_start| *began >= to_start);
        let began = self.main_began.filter(|began| self.came_to_nothing() || is_of_this_run(began))?;
        Some((began, self.main_ended.filter(|ended| *ended >= began)))
    }
}

/// Microseconds since 1970; 0 is "never".
fn time(micros: u64) -> Option<Timestamp> {
    let micros = i64::try_from(micros).ok().filter(|micros| *micros > 0)?;
    Timestamp::from_microsecond(micros).ok()
}

fn length(micros: u64) -> Option<Duration> {
    (micros != NEVER).then(|| Duration::from_micros(micros))
}

/// 16 bytes; none if it has not run since it was loaded.
fn invocation(bytes: &Array<'_>) -> Option<Uuid> {
    let bytes: Vec<u8> = bytes
        .inner()
        .iter()
        .filter_map(|byte| match byte {
            Variant::U8(byte) => Some(*byte),
            _ => None,
        })
        .collect();
    Uuid::from_slice(&bytes).ok().filter(|id| !id.is_nil())
}
