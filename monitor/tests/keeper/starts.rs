//! What a child begins with: its environment, folder, user and session, or the reason why it never began.

use std::process::{Command, Stdio};

use monitor::supervise::cause::{Cause, Exit};
use monitor::supervise::keeper::{Environment, KeepOrder, UserIds};
use monitor::supervise::run_record::{Mode, StartFailure, StartStep};

use crate::kept::{Kept, MONITOR, order};

fn command(command: &str, args: &[&str]) -> KeepOrder {
    KeepOrder { command: command.into(), args: args.iter().map(|&argument| argument.into()).collect(), ..order("") }
}

#[test]
fn a_command_that_is_not_there_ends_with_127_and_one_that_is_no_program_with_126() {
    let place = tempfile::tempdir().unwrap();
    let text = place.path().join("text");
    std::fs::write(&text, "exit 0").unwrap();
    for (path, code, errno, cause) in
        [("/nonexistent/program", 127, 2, Cause::NotFound), (text.to_str().unwrap(), 126, 13, Cause::NotExecutable)]
    {
        let record = Kept::start(command(path, &[])).end();
        assert_eq!((record.code, record.exit()), (Some(code), Exit::Spawn(errno)), "{path}");
        assert_eq!(record.start_failure, Some(StartFailure { step: StartStep::Command, errno }));
        assert_eq!(Cause::of(record.exit(), false, ""), cause);
    }
    // A folder of PATH that may not be entered would make it EACCES, as execvp(3) says.
    let env = Environment([("PATH".into(), "/usr/bin:/bin".into())].into());
    let record = Kept::start(KeepOrder { env, ..command("no-such-program-in-path", &[]) }).end();
    assert_eq!(record.code, Some(127));
}

#[test]
fn a_program_that_itself_returns_127_is_not_taken_for_a_failed_start() {
    let record = Kept::start(order("exit 127")).end();
    assert_eq!((record.exit(), record.start_failure), (Exit::Code(127), None));
}

#[test]
fn the_environment_is_exactly_what_the_order_says() {
    let env = Environment([("PATH".into(), "/usr/bin:/bin".into()), ("ONLY".into(), "this one".into())].into());
    let mut kept = Kept::start(KeepOrder { env, ..command("env", &[]) });
    assert_eq!(kept.end().exit(), Exit::Code(0));
    assert_eq!(kept.folder.last_lines(99, 1 << 16).unwrap(), ["ONLY=this one", "PATH=/usr/bin:/bin"]);
}

#[test]
fn no_secret_is_on_a_command_line_or_on_disk() {
    let secret = "hunter2-hunter2";
    let mut secretive = order("echo ready; sleep 1000");
    secretive.env.0.insert("PASSWORD".into(), secret.into());
    let mut kept = Kept::start(secretive);
    kept.wait_for_line("ready");
    for pid in [i32::try_from(kept.keeper.id()).unwrap(), kept.child().pid] {
        assert!(!std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().contains(secret));
    }
    kept.tell("stop");
    kept.end();
    for entry in std::fs::read_dir(kept.folder.path()).unwrap() {
        assert!(!std::fs::read_to_string(entry.unwrap().path()).unwrap().contains(secret));
    }
}

#[test]
fn the_child_leads_its_own_session_with_no_signal_blocked_or_ignored_and_nothing_to_read() {
    let script = "read -r _ || echo eof; grep -E '^Sig(Blk|Ign)' /proc/self/status; cut -d' ' -f1,5,6 /proc/$$/stat";
    let mut kept = Kept::start(order(script));
    kept.end();
    let lines = kept.folder.last_lines(9, 1 << 16).unwrap();
    assert_eq!(lines[..2], ["eof", "SigBlk:\t0000000000000000"]);
    // What this test's own parent ignores is inherited, but SIGPIPE, which Rust ignores, must not be. Above 31 are
    // real-time signals, of which the C library keeps some for itself.
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored =
        |line: &str| line.strip_prefix("SigIgn:\t").map(|mask| u64::from_str_radix(mask, 16).unwrap() & 0x7fff_ffff);
    let sigpipe = 1 << 12;
    assert_eq!(ignored(&lines[2]), own.lines().find_map(ignored).map(|mask| mask & !sigpipe));
    let pid = kept.folder.read_run().unwrap().child.unwrap().pid;
    assert_eq!(lines[3], format!("{pid} {pid} {pid}"), "process, group, session");
}

#[test]
fn the_working_directory_is_set_and_one_that_is_not_there_is_a_configuration_error() {
    let mut kept = Kept::start(KeepOrder { working_dir: Some("/usr".into()), ..command("pwd", &[]) });
    kept.end();
    assert_eq!(kept.folder.last_lines(1, 1 << 10).unwrap(), ["/usr"]);
    let record = Kept::start(KeepOrder { working_dir: Some("/nonexistent".into()), ..order("true") }).end();
    assert_eq!((record.code, record.exit()), (Some(78), Exit::Prepare(2)));
}

#[test]
fn the_user_is_changed_by_root_and_refused_to_everybody_else() {
    let user = Some(UserIds { uid: 65534, gid: 65534 });
    let mut kept = Kept::start(KeepOrder { user, ..order("id -u; id -G") });
    let record = kept.end();
    if nix::unistd::geteuid().is_root() {
        assert_eq!(kept.folder.last_lines(9, 1 << 10).unwrap(), ["65534", "65534"]);
    } else {
        assert_eq!(record.start_failure, Some(StartFailure { step: StartStep::User, errno: 1 }));
    }
}

#[test]
fn the_record_names_keeper_child_and_run_before_the_end() {
    let mut kept = Kept::start(KeepOrder { mode: Mode::Run, ..order("echo ready; sleep 1000") });
    kept.wait_for_line("ready");
    let child = kept.child();
    let record = kept.folder.read_run().unwrap();
    assert_eq!((record.run, record.service.as_str(), record.mode), (kept.order.run, "tested", Mode::Run));
    assert_eq!(record.keeper.pid, i32::try_from(kept.keeper.id()).unwrap());
    assert!(record.is_held() && child.is_alive());
    kept.tell("stop");
    kept.end();
}

#[test]
fn without_an_order_there_is_no_run() {
    for arguments in [vec!["keep"], vec!["keep", "/nonexistent"], vec!["keep-start"], vec!["keep-start", "{}"]] {
        let output = Command::new(MONITOR).args(&arguments).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(String::from_utf8(output.stderr).unwrap().starts_with("keeper: "), "{arguments:?}");
    }
}
