//! Tokens at the command line: where one is needed, and how one is made.

use kit::http::SecretDigest;
use testkit::Target;

use super::visitor::{VIEWER, start};

#[tokio::test]
async fn the_command_line_shows_a_token_where_one_is_needed() {
    let target = Target::ok("");
    let running = start(&target, "  public: false\n").await;
    let file = running.folder.path().join("token");
    std::fs::write(&file, VIEWER).unwrap();
    let url = running.url.clone();
    let run = async move |args: &[&str], token: Option<&str>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_monitor"));
        command.args(args).args(["--url", &url]).env_remove("MONITOR_TOKEN_FILE");
        match token {
            Some(token) => command.env("MONITOR_TOKEN", token),
            None => command.env_remove("MONITOR_TOKEN"),
        };
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(&["cursor"], None).await;
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("a token with the role viewer is needed") && said.contains("--token-file"), "{said}");
    assert_eq!(run(&["cursor"], Some("wrong")).await.0, Some(64));
    assert_eq!(run(&["cursor"], Some(VIEWER)).await.0, Some(0));
    assert_eq!(run(&["cursor", "--token-file", file.to_str().unwrap()], None).await.0, Some(0));
    let gate = ["gate", "--all", "--stable", "1", "--wait", "30s"];
    assert_eq!(run(&gate, Some(VIEWER)).await.0, Some(0));
    running.stop().await;
}

#[test]
fn a_new_token_is_shown_once_with_the_line_that_lets_it_in() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_monitor"))
        .args(["token", "ada", "--role", "operator"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let token = lines[1];
    assert_eq!(token.len(), 64, "256 bits: {text}");
    let digest = SecretDigest::of(token.as_bytes()).to_hex();
    assert_eq!(lines[3], format!("- {{ name: \"ada\", role: operator, sha256: \"{digest}\" }}"));
    let wrong = std::process::Command::new(env!("CARGO_BIN_EXE_monitor")).args(["token", "Ada L"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(64));
}
