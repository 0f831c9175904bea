//! Turns the end of a run into a cause from a closed set, and says it in a sentence.

use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::telltale::telling_line;

/// "Command found but not executable" (POSIX.1-2024, Shell Command Language 2.8.2).
pub const CODE_NOT_EXECUTABLE: i32 = 126;
/// "Command not found" (POSIX.1-2024, Shell Command Language 2.8.2).
pub const CODE_NOT_FOUND: i32 = 127;
/// Configuration error, `EX_CONFIG` (`sysexits.h(3head)`).
pub const CODE_CONFIG: i32 = 78;
/// Shells and container runtimes report death by signal n as 128 + n (POSIX.1-2024, Shell Command Language 2.8.2).
const SIGNAL_CODE_BASE: i32 = 128;
/// SIGKILL on every Linux (`signal(7)`).
const SIGKILL: i32 = 9;
/// SIGABRT on every Linux (`signal(7)`).
const SIGABRT: i32 = 6;

/// What libc, and with it nearly every runtime, says for EADDRINUSE (`strerror(3)`); Node says the name.
const PORT_IN_USE: [&str; 2] = ["address already in use", "eaddrinuse"];
/// For ENOSPC and EDQUOT.
const DISK_FULL: [&str; 4] = ["no space left on device", "disk quota exceeded", "enospc", "database or disk is full"];
/// For ECONNREFUSED, EHOSTUNREACH, and of resolvers (`getaddrinfo(3)`, `gai_strerror(3)`; Node and Go say it their way).
const DEPENDENCY: [&str; 9] = [
    "connection refused",
    "econnrefused",
    "could not connect to server",
    "no route to host",
    "name or service not known",
    "temporary failure in name resolution",
    "could not translate host name",
    "getaddrinfo enotfound",
    "no such host",
];

/// How a run ended, as the operating system or the runtime told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// The process returned this code.
    Code(i32),
    /// This signal ended the process.
    Signal(i32),
    /// The program could not be started; the errno of `execve(2)` or `fork(2)`.
    Spawn(i32),
    /// The user or the working directory could not be set before the program was started; the errno.
    Prepare(i32),
    /// The monitor could not start a keeper, so nothing ran; the errno. Our own trouble, not the service's.
    Keeper(i32),
    /// The runtime gave up before there was a program; its own words are in the evidence.
    Unstarted,
    /// Nobody saw the end: the keeper, or the whole machine, died first.
    Lost,
}

/// Why a run ended: the first words of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The program is not there (127, ENOENT).
    NotFound,
    /// The program is there and cannot be executed (126, EACCES, ENOEXEC).
    NotExecutable,
    /// The program refused its configuration (78), or ours names a user or folder that cannot be had.
    Config,
    /// The kernel killed it for want of memory.
    Oom,
    /// It could not bind: somebody else has its address.
    PortInUse,
    /// Its disk is full, or its share of it.
    DiskFull,
    /// Something it needs refuses connections or cannot be found.
    Dependency,
    /// It did not report in time that it lives, as it had promised to, and was ended for that.
    Watchdog,
    /// It took longer than its settings allow, and was ended for that.
    Timeout,
    /// A signal ended it.
    Killed {
        /// The signal's number.
        signal: i32,
    },
    /// It gave up by itself with a code other than 0.
    Crashed {
        /// The exit code.
        code: i32,
    },
    /// The system could not make the process: out of process slots, memory, argument space.
    SpawnFailed {
        /// The errno.
        errno: i32,
    },
    /// Nobody saw the end.
    Lost,
    /// It returned 0.
    Clean,
}

impl Cause {
    /// Returns the cause of `exit`.
    ///
    /// `oom` is the runtime's or kernel's word that memory ran out; it counts only together with SIGKILL, because Docker
    /// also sets it when some other process of the container was the victim. `evidence` is the last output of that run.
    pub fn of(exit: Exit, oom: bool, evidence: &str) -> Self {
        match exit {
            Exit::Lost => Self::Lost,
            Exit::Spawn(errno) => Self::of_spawn_error(errno),
            Exit::Prepare(_) | Exit::Unstarted => Self::Config,
            Exit::Keeper(errno) => Self::SpawnFailed { errno },
            Exit::Code(0) => Self::Clean,
            Exit::Code(CODE_NOT_FOUND) => Self::NotFound,
            Exit::Code(CODE_NOT_EXECUTABLE) => Self::NotExecutable,
            _ if oom && signal_of(exit) == Some(SIGKILL) => Self::Oom,
            Exit::Code(_) if says(evidence, &PORT_IN_USE) => Self::PortInUse,
            Exit::Code(CODE_CONFIG) => Self::Config,
            // Of all it wrote, only what it ended with: it may have tried again and got over the rest.
            Exit::Code(_) if says_last(evidence, &DISK_FULL) => Self::DiskFull,
            Exit::Code(_) if says_last(evidence, &DEPENDENCY) => Self::Dependency,
            Exit::Code(code) => signal_of(exit).map_or(Self::Crashed { code }, |signal| Self::Killed { signal }),
            Exit::Signal(signal) => Self::Killed { signal },
        }
    }

    fn of_spawn_error(errno: i32) -> Self {
        match Errno::from_raw(errno) {
            Errno::ENOENT | Errno::ENOTDIR => Self::NotFound,
            Errno::EACCES | Errno::EPERM | Errno::ENOEXEC | Errno::EISDIR => Self::NotExecutable,
            _ => Self::SpawnFailed { errno },
        }
    }

    /// Returns the name used in metrics, JSON and for "like cause".
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotExecutable => "not_executable",
            Self::Config => "config",
            Self::Oom => "oom",
            Self::PortInUse => "port_in_use",
            Self::DiskFull => "disk_full",
            Self::Dependency => "dependency",
            Self::Watchdog => "watchdog",
            Self::Timeout => "timeout",
            Self::Killed { .. } => "killed",
            Self::Crashed { .. } => "crashed",
            Self::SpawnFailed { .. } => "spawn_failed",
            Self::Lost => "lost",
            Self::Clean => "clean",
        }
    }

    /// Returns whether the same program with the same files could do better a second later.
    ///
    /// A missing program, a refused configuration and a full disk do not mend themselves: hammering only fills logs
    /// (DESIGN 7).
    pub const fn may_heal_by_restart(self) -> bool {
        !matches!(self, Self::NotFound | Self::NotExecutable | Self::Config | Self::DiskFull)
    }

    /// Returns the few words a title needs: "out of memory", "killed by SIGSEGV".
    pub fn words(self) -> String {
        match self {
            Self::NotFound => "command not found".into(),
            Self::NotExecutable => "command cannot be executed".into(),
            Self::Config => "configuration error".into(),
            Self::Oom => "out of memory".into(),
            Self::PortInUse => "address already in use".into(),
            Self::DiskFull => "no space left on device".into(),
            Self::Dependency => "something it needs cannot be reached".into(),
            Self::Watchdog => "it did not report in time (watchdog)".into(),
            Self::Timeout => "it took longer than its settings allow".into(),
            Self::Killed { signal } => format!("killed by {}", signal_name(signal)),
            Self::Crashed { code } => format!("crashed with code {code}"),
            Self::SpawnFailed { errno } => format!("could not be started, {}", Errno::from_raw(errno).desc()),
            Self::Lost => "ended unseen".into(),
            Self::Clean => "ended by itself".into(),
        }
    }

    /// Returns the sentence, with what it said itself: `said` is the telling line of its output.
    pub fn told(self, exit: Exit, said: Option<&str>) -> String {
        let sentence = self.sentence(exit);
        let explains = match self {
            Self::Oom | Self::Watchdog | Self::Timeout | Self::Clean | Self::Lost => false,
            // Who aborts says why; who is killed cannot.
            Self::Killed { signal } => signal == SIGABRT,
            _ => true,
        };
        let Some(said) = said.filter(|_| explains) else { return sentence };
        // What it says itself is said once.
        let words = self.words();
        let bare = sentence.strip_suffix(&format!(": {words}")).filter(|_| said.to_lowercase().contains(&words));
        format!("{}: {said}", bare.unwrap_or(&sentence))
    }

    /// Returns the sentence for people, with the bare fact in front: "exited with code 78: configuration error".
    pub fn sentence(self, exit: Exit) -> String {
        let fact = match exit {
            Exit::Code(code) => format!("exited with code {code}"),
            Exit::Signal(signal) => format!("killed by {}", signal_name(signal)),
            Exit::Spawn(errno) => format!("could not be started ({})", Errno::from_raw(errno).desc()),
            Exit::Prepare(errno) => format!("user or working directory refused ({})", Errno::from_raw(errno).desc()),
            Exit::Keeper(errno) => format!("its keeper could not be started ({})", Errno::from_raw(errno).desc()),
            Exit::Unstarted => "could not be started".into(),
            Exit::Lost => "ended unseen: what ran it, or the machine, ended first".into(),
        };
        match self {
            Self::Lost | Self::Crashed { .. } | Self::SpawnFailed { .. } | Self::Clean => fact,
            Self::Killed { .. } if matches!(exit, Exit::Signal(_)) => fact,
            cause => format!("{fact}: {}", cause.words()),
        }
    }
}

/// Returns the signal that ended the run, also from the 128 + n form of shells and containers.
fn signal_of(exit: Exit) -> Option<i32> {
    match exit {
        Exit::Signal(signal) => Some(signal),
        // 64 is the last Linux signal number, signal(7).
        Exit::Code(code) if (SIGNAL_CODE_BASE + 1..=SIGNAL_CODE_BASE + 64).contains(&code) => {
            Some(code - SIGNAL_CODE_BASE)
        }
        _ => None,
    }
}

fn says(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|words| text.contains(words))
}

fn says_last(evidence: &str, words: &[&str]) -> bool {
    let lines: Vec<String> = evidence.lines().map(str::to_owned).collect();
    telling_line(&lines).is_some_and(|line| says(&line, words))
}

fn signal_name(number: i32) -> String {
    Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_exit_has_one_cause_and_one_sentence() {
        let spawn = |errno: Errno| Exit::Spawn(errno as i32);
        for (exit, oom, evidence, name, sentence) in [
            (Exit::Code(0), false, "", "clean", "exited with code 0"),
            (Exit::Code(1), false, "", "crashed", "exited with code 1"),
            (Exit::Code(78), false, "", "config", "exited with code 78: configuration error"),
            (Exit::Code(126), false, "", "not_executable", "exited with code 126: command cannot be executed"),
            (Exit::Code(127), false, "", "not_found", "exited with code 127: command not found"),
            (Exit::Code(137), true, "", "oom", "exited with code 137: out of memory"),
            (Exit::Code(137), false, "", "killed", "exited with code 137: killed by SIGKILL"),
            (Exit::Code(1), true, "", "crashed", "exited with code 1"),
            (Exit::Signal(9), true, "", "oom", "killed by SIGKILL: out of memory"),
            (Exit::Signal(11), false, "", "killed", "killed by SIGSEGV"),
            (Exit::Signal(40), false, "", "killed", "killed by signal 40"),
            (Exit::Code(255), false, "", "crashed", "exited with code 255"),
            (
                Exit::Code(1),
                false,
                "OSError: [Errno 98] Address already in use",
                "port_in_use",
                "exited with code 1: address already in use",
            ),
            (Exit::Code(1), false, "ModuleNotFoundError: No module named 'x'", "crashed", "exited with code 1"),
            (
                Exit::Code(1),
                false,
                "Error: getaddrinfo ENOTFOUND redis",
                "dependency",
                "exited with code 1: something it needs cannot be reached",
            ),
            (Exit::Signal(15), false, "retried: address already in use", "killed", "killed by SIGTERM"),
            (Exit::Code(0), false, "retried: address already in use", "clean", "exited with code 0"),
            (
                spawn(Errno::ENOENT),
                false,
                "",
                "not_found",
                "could not be started (No such file or directory): command not found",
            ),
            (
                spawn(Errno::EACCES),
                false,
                "",
                "not_executable",
                "could not be started (Permission denied): command cannot be executed",
            ),
            (
                Exit::Prepare(2),
                false,
                "",
                "config",
                "user or working directory refused (No such file or directory): configuration error",
            ),
            (spawn(Errno::EAGAIN), false, "", "spawn_failed", "could not be started (Try again)"),
            (Exit::Keeper(2), false, "", "spawn_failed", "its keeper could not be started (No such file or directory)"),
            (Exit::Lost, false, "", "lost", "ended unseen: what ran it, or the machine, ended first"),
        ] {
            let cause = Cause::of(exit, oom, evidence);
            assert_eq!((cause.name(), cause.sentence(exit).as_str()), (name, sentence), "{exit:?}");
        }
    }

    #[test]
    fn only_a_missing_program_or_a_refused_configuration_is_beyond_a_restart() {
        let hopeless: Vec<i32> =
            (0..=255).filter(|&code| !Cause::of(Exit::Code(code), false, "").may_heal_by_restart()).collect();
        assert_eq!(hopeless, [78, 126, 127]);
    }

    #[test]
    fn exit_and_cause_are_plain_json() {
        let json = serde_json::to_string(&(Exit::Code(1), Cause::Killed { signal: 9 })).unwrap();
        assert_eq!(json, r#"[{"code":1},{"killed":{"signal":9}}]"#);
    }
}
