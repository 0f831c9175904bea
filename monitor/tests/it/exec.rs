//! Kind `exec`: what a program says and how it ends; nothing of it outlives the probe.

use std::path::Path;
use std::time::Duration;

use monitor::probe::{Observation, Outcome, Phase, ReasonCode, Why, observe};
use testkit::eventually;

use crate::{PATIENT, SHORT, ask, ask_within, assert_fail, assert_pass, decode, file, question, vantage};

/// Runs a shell script in which `{}` is the path of a file that does not exist yet.
fn script(text: &str, more: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let text = text.replace("{}", &folder.path().join("file").display().to_string());
    (folder, format!("exec: {{ command: [sh, -c, '{text}']{more} }}"))
}

async fn run(text: &str, more: &str) -> Observation {
    ask(&script(text, more).1).await
}

#[tokio::test]
async fn exit_0_passes_and_any_other_code_shows_what_was_said() {
    let observation = run("exit 0", "").await;
    assert_pass(&observation);
    assert_eq!(observation.phases[0].0, Phase::Exec);
    assert_fail(&run("echo disk full >&2; exit 2", "").await, ReasonCode::Exit, "exited with code 2: disk full");
    assert_pass(&run("exit 2", " }\nexpect: { exit_code: [0, 2]").await);
}

#[tokio::test]
async fn both_outputs_are_judged_in_order() {
    let expect = " }\nexpect: { body_matches: 'one\\ntwo\\nthree'";
    assert_pass(&run("echo one; echo two >&2; echo three", expect).await);
    assert_pass(&run("echo {\\\"ok\\\":true}", " }\nexpect: { json: { ok: true }").await);
}

#[tokio::test]
async fn output_without_end_is_cut_and_the_program_does_not_block() {
    let observation = run("head -c 10000000 /dev/zero; exit 3", "").await;
    assert!(matches!(&observation.outcome, Outcome::Fail(reason) if reason.text.starts_with("exited with code 3")));
}

#[tokio::test]
async fn an_end_by_a_signal_has_its_name() {
    let text = "ended by SIGSEGV: about to die";
    assert_fail(&run("echo about to die; kill -SEGV $$", "").await, ReasonCode::Exit, text);
}

#[tokio::test]
async fn what_cannot_be_run_is_told_with_a_hint() {
    let text = "cannot run no-such-program: it is not in PATH; write its full path";
    assert_fail(&ask("exec: { command: no-such-program }").await, ReasonCode::Exit, text);
    let plain = file("echo");
    let path = plain.path().display().to_string();
    let text = format!("cannot run {path}: it is not executable for this user (chmod +x)");
    assert_fail(&ask(&format!("exec: {{ command: {path} }}")).await, ReasonCode::Exit, &text);
    let text = "working_dir /no/such is not a folder";
    assert_fail(&run("exit 0", ", working_dir: /no/such").await, ReasonCode::Exit, text);
    let observation = run("no-such-program", "").await;
    let note = observation.seen.note.as_deref();
    assert_eq!(note, Some("code 127 usually means that a command was not found"));
}

#[tokio::test]
async fn only_the_environment_that_was_asked_for_is_passed() {
    let more =
        ", env: { GREETING: hello }, env_pass: [CARGO_PKG_NAME] }\nexpect: { body_contains: 'hello monitor none'";
    let text = "echo $GREETING $CARGO_PKG_NAME ${CARGO_MANIFEST_DIR:-none}";
    assert_pass(&run(&text.replace("${", "$${"), more).await);
    let observation = run("echo $TRACEPARENT", " }\nexpect: { body_matches: '^00-[0-9a-f]{32}-'").await;
    assert_pass(&observation);
}

/// True once a process is gone or a zombie that nobody but init will miss.
fn is_gone(pid: &str) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => true,
    }
}

async fn pid_in(folder: &Path) -> String {
    let file = folder.join("file");
    let written = async || {
        let text = std::fs::read_to_string(&file).ok()?;
        text.ends_with('\n').then(|| text.trim().to_owned())
    };
    eventually("the script writes its child's pid", PATIENT, written).await
}

/// A script that starts a grandchild, writes its pid and waits.
const WITH_GRANDCHILD: &str = "sleep 1000 & echo $! > {}; wait";

#[tokio::test]
async fn at_the_deadline_the_whole_group_is_killed() {
    let (folder, check) = script(WITH_GRANDCHILD, "");
    let observation = ask_within(SHORT, &check).await;
    assert_fail(&observation, ReasonCode::Timeout, "no answer within 300ms (while the command ran)");
    assert!(observation.took < SHORT + Duration::from_millis(250));
    let pid = pid_in(folder.path()).await;
    eventually("the grandchild ends", PATIENT, async || is_gone(&pid).then_some(())).await;
}

#[tokio::test]
async fn a_dropped_probe_kills_the_whole_group() {
    let (folder, check) = script(WITH_GRANDCHILD, "");
    let question = question(&check, PATIENT);
    let probe = tokio::spawn(async move { observe(vantage(9), &question, Why::Asked, false).await });
    let pid = pid_in(folder.path()).await;
    assert!(!is_gone(&pid));
    probe.abort();
    eventually("the grandchild ends", PATIENT, async || is_gone(&pid).then_some(())).await;
}

#[tokio::test]
async fn what_a_program_leaves_behind_neither_delays_the_answer_nor_lives_on() {
    let (folder, check) = script("sleep 1000 & echo $! > {}; echo done", "");
    let observation = ask(&(check + "\nexpect: { body_contains: done }")).await;
    assert_pass(&observation);
    assert!(observation.took < Duration::from_secs(5), "{observation:?}");
    let pid = pid_in(folder.path()).await;
    eventually("the child ends", PATIENT, async || is_gone(&pid).then_some(())).await;
}

#[test]
fn commands_are_checked_at_load() {
    assert_eq!(
        decode("exec: { command: 'check_disk -w 10', user: nobody-here }", PATIENT).unwrap_err(),
        [
            "m.yml:1:18: exec.command: there is no shell here to split \"check_disk -w 10\"; write [check_disk, -w, 10], \
             or [sh, -c, …]",
            "m.yml:1:44: exec.user: there is no user \"nobody-here\" on this machine",
        ]
    );
}
