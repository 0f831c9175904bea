//! Kind `exec`: what the program is told, how its end is judged, and that nothing of it outlives the delivery.

use std::path::Path;

use monitor::alert::SendError;
use testkit::eventually;

use crate::{PATIENT, SHORT, channel, decode, messages, send, send_within};

/// A channel that runs a shell script in which `{}` is the path of a file that does not exist yet.
fn script(text: &str, more: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let text = text.replace("{}", &folder.path().join("file").display().to_string());
    (folder, format!("exec: {{ command: [sh, -c, '{text}']{more} }}"))
}

async fn run(text: &str) -> Result<String, SendError> {
    send(&script(text, "").1, &messages::page()).await.map(|accepted| accepted.answer)
}

#[tokio::test]
async fn the_exit_code_is_the_answer() {
    assert_eq!(run("cat > /dev/null; echo; echo told Bob; echo more").await, Ok("told Bob".to_owned()));
    let text = "sh asks for another try: line is busy";
    assert_eq!(run("echo line is busy >&2; exit 75").await, Err(SendError::Failed(text.to_owned())));
    let text = "sh exited with code 65: no such person";
    assert_eq!(run("echo no such person >&2; exit 65").await, Err(SendError::Refused(text.to_owned())));
    for hopeless in [64, 77, 78, 126, 127] {
        let text = format!("sh exited with code {hopeless}");
        assert_eq!(run(&format!("exit {hopeless}")).await, Err(SendError::Refused(text)));
    }
    let text = "sh exited with code 7: connection refused";
    assert_eq!(run("echo connection refused >&2; exit 7").await, Err(SendError::Failed(text.to_owned())), "as curl");
    let text = "sh was ended by SIGSEGV: oops";
    assert_eq!(run("echo oops >&2; kill -SEGV $$").await, Err(SendError::Failed(text.to_owned())));
}

#[tokio::test]
async fn a_program_that_reads_nothing_or_talks_without_end_is_no_trouble() {
    assert!(run("exec <&-; exit 0").await.is_ok());
    assert!(run("head -c 10000000 /dev/zero; head -c 10000000 /dev/zero >&2").await.is_ok());
    assert!(run("exec >&- 2>&-; cat > /dev/null").await.is_ok());
    let mut message = messages::digest();
    message.alerts[0].description = "x".repeat(1 << 20);
    send(&script("exit 0", "").1, &message).await.unwrap();
}

#[tokio::test]
async fn the_program_gets_the_message_and_a_clean_environment() {
    let more = ", env: { TOKEN: '${SECRET}' }, env_pass: [CARGO_PKG_NAME]";
    let (folder, settings) = script("env | sort > {}; cat >> {}", more);
    let mut message = messages::page();
    message.title.push_str("\nFORGED=1");
    send(&settings, &message).await.unwrap();
    let heard = std::fs::read_to_string(folder.path().join("file")).unwrap();
    let names: Vec<&str> = heard.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    for name in ["MONITOR_TITLE", "MONITOR_STATUS", "MONITOR_SEVERITY", "MONITOR_SERVICE", "MONITOR_KEY", "TOKEN"] {
        assert!(names.contains(&name), "{name}: {heard}");
    }
    assert!(names.contains(&"CARGO_PKG_NAME"), "{heard}");
    assert!(!names.contains(&"CARGO_MANIFEST_DIR") && !names.contains(&"FORGED"), "{heard}");
    assert!(heard.contains("\nMONITOR_STATUS=firing\n") && heard.contains("\nMONITOR_SEVERITY=page\n"), "{heard}");
    assert_eq!(heard.lines().last().unwrap(), serde_json::to_string(&message).unwrap());
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_with_its_name() {
    let error = send("exec: { command: [no-such-program] }", &messages::page()).await.unwrap_err();
    let text = "cannot run no-such-program: No such file or directory (os error 2)";
    assert_eq!(error, SendError::Refused(text.to_owned()));
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

#[tokio::test]
async fn at_the_deadline_the_whole_group_is_killed() {
    let (folder, settings) = script("sleep 1000 & echo $! > {}; wait", "");
    let channel = channel(&settings);
    assert_eq!(send_within(SHORT, &channel, &messages::page()).await, None);
    let pid = pid_in(folder.path()).await;
    eventually("the grandchild ends", PATIENT, async || is_gone(&pid).then_some(())).await;
}

#[tokio::test]
async fn what_a_program_leaves_behind_neither_delays_the_answer_nor_lives_on() {
    let (folder, settings) = script("sleep 1000 & echo $! > {}; echo done", "");
    assert_eq!(send(&settings, &messages::page()).await.unwrap().answer, "done");
    let pid = pid_in(folder.path()).await;
    eventually("the child ends", PATIENT, async || is_gone(&pid).then_some(())).await;
}

#[test]
fn commands_are_checked_at_load() {
    let check = |text: &str, mistakes: &[&str]| assert_eq!(decode(text).unwrap_err(), mistakes, "{text}");
    check(
        "exec: { command: 'tell ops', shell: true }",
        &[
            "m.yml:2:20: ops.exec.command: there is no shell here to split \"tell ops\"; write [tell, ops], or [sh, -c, …]",
            "m.yml:2:32: ops.exec: unknown key \"shell\"",
        ],
    );
    check(
        "exec: { command: [] }",
        &[
            "m.yml:2:20: ops.exec.command: expected a program and its arguments, like [/usr/local/bin/tell, --team, ops]",
        ],
    );
}
