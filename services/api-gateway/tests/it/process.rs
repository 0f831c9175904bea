//! The real binary: exit codes, signals, its health check, and what it writes.

use std::process::{Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{eventually, free_port};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::{ByHand, KEY, LIMIT, OWN_KEY, nowhere, read_until, soon};

/// Starts the binary with these variables and no others.
fn spawn(arguments: &[&str], variables: &[(&str, &str)]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api-gateway"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

async fn finish(child: Child) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = soon("the process's end", child.wait_with_output()).await.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// Waits until somebody listens on `port`.
async fn listening(port: u16) {
    let connects = async || TcpStream::connect(("127.0.0.1", port)).await.ok();
    eventually("the gateway listens", LIMIT, connects).await;
}

fn terminate(child: &Child) {
    kill(Pid::from_raw(child.id().unwrap().try_into().unwrap()), Signal::SIGTERM).unwrap();
}

#[tokio::test]
async fn mistakes_exit_78_each_on_its_own_line() {
    let tracing = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    let (code, stdout, stderr) = finish(spawn(&[], &[("PORT", "80a"), ("LOG_LEVEL", "loud"), tracing])).await;
    assert_eq!((code, stdout.as_str()), (Some(78), ""));
    assert_eq!(
        stderr,
        "LOG_LEVEL is \"loud\"; write error, warn, info, debug or trace\n\
         API_KEY: not set; set API_KEY, or API_KEY_FILE to the path of a file that holds it \
         (clients send it as X-API-Key)\n\
         PORT: \"80a\" is not a port; write a number from 1 to 65535\n\
         OTEL_EXPORTER_OTLP_PROTOCOL: \"http/json\" is not http/protobuf or grpc\n"
    );
}

#[tokio::test]
async fn a_taken_port_exits_71_and_is_named() {
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let (code, _, stderr) = finish(spawn(&["run"], &[("API_KEY", KEY), ("PORT", &port)])).await;
    assert_eq!(code, Some(71));
    assert_eq!(stderr, format!("cannot listen on 127.0.0.1:{port}: Address already in use (os error 98)\n"));
}

#[tokio::test]
async fn a_wrong_command_line_exits_64_and_help_names_the_variables() {
    let (code, _, stderr) = finish(spawn(&["frobnicate"], &[])).await;
    assert_eq!(code, Some(64), "{stderr}");
    let (code, stdout, _) = finish(spawn(&["--help"], &[])).await;
    assert_eq!(code, Some(0));
    assert!(stdout.contains("healthcheck") && stdout.contains("AIRTABLE_GATEWAY_URL"), "{stdout}");
}

#[tokio::test]
async fn sigterm_lets_a_running_request_finish_and_exits_0() {
    let (service, url) = ByHand::listen().await;
    let port = free_port();
    let variables = [("API_KEY", KEY), ("PORT", &port.to_string()), ("AIRTABLE_GATEWAY_URL", &url)];
    let child = spawn(&["run"], &variables);
    listening(port).await;
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET /api/airtable/x HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut upstream, _) = service.accept().await;
    terminate(&child);
    upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await.unwrap();
    read_until(&mut client, "done").await;
    let (code, stdout, stderr) = finish(child).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("SIGTERM") && stdout.contains("stopped"), "{stdout}");
}

#[tokio::test]
async fn healthcheck_tells_a_running_gateway_from_none() {
    let port = free_port().to_string();
    let variables = [("API_KEY", KEY), ("PORT", port.as_str())];
    let child = spawn(&[], &variables);
    listening(port.parse().unwrap()).await;
    let url = format!("http://127.0.0.1:{port}/livez");
    let (code, stdout, _) = finish(spawn(&["healthcheck"], &variables[1..])).await;
    assert_eq!((code, stdout), (Some(0), format!("healthy: {url}: 200 OK\n")));
    let (code, _, stderr) = finish(spawn(&["healthcheck", &url.replace("livez", "nope")], &[])).await;
    assert_eq!(code, Some(1), "{stderr}");
    terminate(&child);
    finish(child).await;
    let (code, _, stderr) = finish(spawn(&["healthcheck"], &variables[1..])).await;
    assert_eq!((code, stderr), (Some(1), format!("unhealthy: {url}: Connection refused (os error 111)\n")));
}

#[tokio::test]
async fn no_key_is_ever_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let (_gone, url) = nowhere();
    let url = url.replace("http://", "http://user:url-secret@");
    let port = free_port();
    let variables = [
        ("API_KEY_FILE", file.to_str().unwrap()),
        ("AIRTABLE_GATEWAY_API_KEY", OWN_KEY),
        ("AIRTABLE_GATEWAY_URL", &url),
        ("PORT", &port.to_string()),
        ("LOG_LEVEL", "TRACE"),
    ];
    let child = spawn(&[], &variables);
    listening(port).await;
    for (key, status) in [(KEY, 502), ("a-wrong-key", 401)] {
        let url = format!("http://127.0.0.1:{port}/api/airtable/x?key={key}");
        let answer = crate::send(hyper::Request::get(url).header("x-api-key", key), "").await;
        assert_eq!(answer.status, status);
        assert!(!answer.text().contains(key), "{}", answer.text());
    }
    crate::send(hyper::Request::get(format!("http://127.0.0.1:{port}/health")), "").await;
    terminate(&child);
    let (_, stdout, stderr) = finish(child).await;
    assert!(stdout.contains("cannot connect to a service"), "{stdout}");
    for secret in [KEY, OWN_KEY, "a-wrong-key", "url-secret"] {
        assert!(!stdout.contains(secret) && !stderr.contains(secret), "{secret} in {stdout}{stderr}");
    }
}
