//! The services' units under a real systemd, with all their limits.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::{Path, PathBuf};

use testkit::{SystemdContainer, free_port};

/// A program of this workspace, built beside this test.
fn program(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.ancestors().nth(2).unwrap().join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_serves_under_its_unit_and_says_so() {
    let (machine, port) = (SystemdContainer::start().await, free_port());
    machine.copy(&program("api-gateway"), "/usr/bin/api-gateway");
    machine.write("/etc/platform/api-gateway.env", &format!("HOST=127.0.0.1\nPORT={port}\n"));
    machine.write("/etc/platform/secrets/api_key", "a-key-of-more-than-enough-characters-for-it");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd");
    let shipped = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    machine.write("/usr/lib/sysusers.d/platform.conf", &shipped("platform.sysusers"));
    machine.exec(&["systemd-sysusers"]);
    machine.exec(&["chgrp", "-R", "platform", "/etc/platform/secrets"]);
    machine.exec(&["chmod", "-R", "u=rwX,g=rX,o=", "/etc/platform/secrets"]);
    machine.write_units(&[("api-gateway.service", &shipped("api-gateway.service"))]);
    let verified = machine.exec(&["sh", "-c", "systemd-analyze verify api-gateway.service 2>&1"]);
    assert_eq!(verified, "", "it complains on the standard error, and returns 0");
    // It returns once the gateway says that it is ready: nothing is waited for.
    machine.systemctl(&["start", "api-gateway"]);
    let told = machine.systemctl(&["show", "--value", "--property", "StatusText", "api-gateway"]);
    assert_eq!(told, format!("listens on 127.0.0.1:{port}"));
    let said = machine.exec(&["/usr/bin/api-gateway", "healthcheck", &format!("http://127.0.0.1:{port}/livez")]);
    assert!(said.starts_with("healthy: "), "{said}");
    machine.systemctl(&["stop", "api-gateway"]);
    let result = machine.systemctl(&["show", "--value", "--property", "Result", "api-gateway"]);
    assert_eq!(result, "success");
}
