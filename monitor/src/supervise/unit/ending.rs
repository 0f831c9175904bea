//! How a run of a unit ended: systemd's own exit codes, and its word on why. Pure.

use nix::errno::Errno;

use crate::supervise::cause::{Cause, Exit};

/// The program could not be executed (systemd.exec(5), "Process Exit Codes"; so are the next).
const CODE_EXEC: i32 = 203;
/// What the unit asks for could not be had: CHDIR, CHROOT, GROUP, USER, PAM, NAMESPACE, and the folders and credentials.
const CODES_OF_SETTINGS: [i32; 13] = [200, 210, 216, 217, 224, 226, 233, 238, 239, 240, 241, 242, 243];

/// Returns whether systemd ends with this code before there is a program; programs seldom do.
pub(super) fn is_own_code(code: i32) -> bool {
    code == CODE_EXEC || CODES_OF_SETTINGS.contains(&code)
}

/// Returns what one of systemd's own codes means, with the errno that came with it.
pub(super) fn exit_of_spawn(code: i32, errno: i32) -> Exit {
    if code == CODE_EXEC { Exit::Spawn(errno) } else { Exit::Prepare(errno) }
}

/// Returns the cause of an end; `result` is systemd's word for it (systemd.exec(5), `$SERVICE_RESULT`), and `asked` says
/// that somebody had asked for it.
pub(super) fn cause_of(exit: Exit, result: &str, asked: bool, evidence: &str) -> Cause {
    match (result, exit) {
        ("oom-kill", _) => Cause::Oom,
        ("watchdog", _) => Cause::Watchdog,
        // Who is asked to stop and takes too long is killed for that.
        ("timeout", _) if !asked => Cause::Timeout,
        // Codes that the unit calls success.
        ("success", Exit::Code(_)) => Cause::Clean,
        // Without the journal nobody knows the errno.
        (_, Exit::Code(CODE_EXEC)) => Cause::of(Exit::Spawn(Errno::ENOENT as i32), false, ""),
        (_, Exit::Code(code)) if is_own_code(code) => Cause::Config,
        _ => Cause::of(exit, false, evidence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemds_word_and_its_own_codes_are_the_cause_before_what_the_exit_alone_says() {
        for (exit, result, asked, name) in [
            (Exit::Code(1), "exit-code", false, "crashed"),
            (Exit::Code(0), "success", false, "clean"),
            (Exit::Code(143), "success", false, "clean"),
            (Exit::Signal(15), "success", false, "killed"),
            (Exit::Signal(9), "oom-kill", false, "oom"),
            (Exit::Signal(6), "watchdog", false, "watchdog"),
            (Exit::Signal(15), "timeout", false, "timeout"),
            (Exit::Signal(9), "timeout", true, "killed"),
            (Exit::Signal(11), "core-dump", false, "killed"),
            (Exit::Code(203), "exit-code", false, "not_found"),
            (Exit::Code(217), "exit-code", false, "config"),
            (Exit::Code(78), "exit-code", false, "config"),
            (Exit::Code(127), "exit-code", false, "not_found"),
            (exit_of_spawn(203, Errno::EACCES as i32), "exit-code", false, "not_executable"),
            (exit_of_spawn(226, Errno::ENOENT as i32), "exit-code", false, "config"),
            (Exit::Unstarted, "resources", false, "config"),
            (Exit::Code(0), "protocol", false, "clean"),
        ] {
            assert_eq!(cause_of(exit, result, asked, "").name(), name, "{exit:?} {result} {asked}");
        }
    }
}
