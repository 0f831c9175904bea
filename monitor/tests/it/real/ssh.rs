//! Debian's OpenSSH with keys of its own: the key exchange, and whose key it is.

use std::path::Path;
use std::process::Command;

use monitor::probe::ReasonCode;
use testkit::{Server, free_port};

use super::asked_until_full;
use crate::{ask, assert_fail, assert_pass};

/// Makes a key and returns its file and fingerprint.
fn make_key(folder: &Path, name: &str, kind: &str) -> (String, String) {
    let path = folder.join(name).display().to_string();
    let made = Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f", &path]).status().unwrap();
    assert!(made.success());
    let shown = Command::new("ssh-keygen").args(["-l", "-f", &path]).output().unwrap();
    let fingerprint = String::from_utf8(shown.stdout).unwrap().split(' ').nth(1).unwrap().to_owned();
    (path, fingerprint)
}

/// A server with one host key.
async fn start(key: &str, limit: &str) -> (Server, u16) {
    let limit = format!("MaxStartups={limit}");
    // Debian's start script makes this folder, which the server wants to be there.
    std::fs::create_dir_all("/run/sshd").unwrap();
    let port = free_port();
    let text = port.to_string();
    let settings = ["-D", "-e", "-f", "/dev/null", "-o", "ListenAddress=127.0.0.1", "-o", "PidFile=none", "-h", key];
    (Server::start(port, "/usr/sbin/sshd", &[&settings[..], &["-p", &text, "-o", &limit]].concat()).await, port)
}

#[tokio::test]
async fn a_real_server_proves_to_have_its_host_key() {
    let folder = tempfile::tempdir().unwrap();
    let (_, other) = make_key(folder.path(), "other", "ed25519");
    for (kind, name) in [("ed25519", "ssh-ed25519"), ("ecdsa", "ecdsa-sha2-nistp256"), ("rsa", "ssh-rsa")] {
        let (key, fingerprint) = make_key(folder.path(), kind, kind);
        let (_server, port) = start(&key, "10").await;
        let check =
            |key: &str, expect: &str| format!("ssh: {{ address: '127.0.0.1:{port}', host_key: {key} }}\n{expect}");
        let expect = format!(
            "expect: {{ json: {{ host_key: '{fingerprint}', host_key_type: {name} }}, expr: \
             \"json.software.startsWith('OpenSSH')\" }}"
        );
        assert_pass(&ask(&check(&format!("['{other}', '{fingerprint}']"), &expect)).await);
        let text = format!("the host key is {fingerprint} ({name}), expected {other}");
        assert_fail(&ask(&check(&format!("'{other}'"), "")).await, ReasonCode::Certificate, &text);
        assert_pass(&ask(&format!("ssh: {{ address: '127.0.0.1:{port}' }}")).await);
    }
}

#[tokio::test]
async fn a_real_server_that_takes_no_more_sessions_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (key, _) = make_key(folder.path(), "key", "ed25519");
    let (_server, port) = start(&key, "1").await;
    let refused = asked_until_full(port, &format!("ssh: {{ address: '127.0.0.1:{port}' }}")).await;
    assert_fail(&refused, ReasonCode::Rejected, "it takes no session now: Exceeded MaxStartups");
}
