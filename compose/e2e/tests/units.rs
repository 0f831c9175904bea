//! The services' units under a real systemd, with all their limits.

use std::path::Path;
use std::time::Duration;

use e2e::program;
use testkit::{SystemdContainer, eventually, free_port};

/// Settings of any of them; with mail: its queue must be where the unit may write.
fn settings(port: u16) -> String {
    let mail = "SMTP_URL=smtp://127.0.0.1:1\nMAIL_FROM=no-reply@example.com\nPUBLIC_URL=https://example.com\n";
    let daemon = format!("AUTH_MONITOR_LISTEN=127.0.0.1:{port}\nAUTH_MONITOR_LOOPBACK=allowed\n");
    format!("HOST=127.0.0.1\nPORT={port}\nDLQ_LISTEN=127.0.0.1:{port}\n{mail}{daemon}")
}

#[tokio::test(flavor = "multi_thread")]
async fn services_serve_under_their_units_and_say_so() {
    let machine = SystemdContainer::start().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd");
    let shipped = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    machine.write("/usr/lib/sysusers.d/platform.conf", &shipped("platform.sysusers"));
    machine.exec(&["systemd-sysusers"]);
    for secret in ["api_key", "jwt_secret"] {
        machine.write(&format!("/etc/platform/secrets/{secret}"), "a-secret-of-more-than-enough-characters-for-it");
    }
    machine.exec(&["chgrp", "-R", "platform", "/etc/platform/secrets"]);
    machine.exec(&["chmod", "-R", "u=rwX,g=rX,o=", "/etc/platform/secrets"]);
    // platform-services has made its queue by then.
    let queue = "sources: { platform: { jobs: { database: 'sqlite:/var/lib/platform-services/jobs.db' } } }\n";
    machine.write("/etc/platform/dlq-processor.yml", queue);
    for name in ["api-gateway", "platform-services", "auth-monitor", "dlq-processor"] {
        let (port, program_there, unit) = (free_port(), format!("/usr/bin/{name}"), format!("{name}.service"));
        machine.copy(&program(name), &program_there);
        machine.write(&format!("/etc/platform/{name}.env"), &settings(port));
        machine.write_units(&[(&unit, &shipped(&unit))]);
        let verified = machine.exec(&["sh", "-c", &format!("systemd-analyze verify {unit} 2>&1")]);
        assert_eq!(verified, "", "it complains on the standard error, and returns 0");
        // It returns once the service says that it listens: nothing is waited for.
        machine.systemctl(&["start", name]);
        let told = machine.systemctl(&["show", "--value", "--property", "StatusText", name]);
        let is_daemon = name == "auth-monitor";
        assert_eq!(
            told,
            if is_daemon { "watches 4 services".to_owned() } else { format!("listens on 127.0.0.1:{port}") }
        );
        let ready = format!("http://127.0.0.1:{port}/readyz");
        // Its health names each part that does not work.
        let said = eventually("the service to be ready", Duration::from_secs(60), async || {
            let said = machine.exec(&["sh", "-c", &format!("{program_there} healthcheck {ready} || true")]);
            said.starts_with("healthy: ").then_some(())
        });
        said.await;
        let log = machine.exec(&["journalctl", "-u", name, "--no-pager", "-o", "cat"]);
        assert!(!log.contains("Read-only file system"), "{log}");
        machine.systemctl(&["stop", name]);
        assert_eq!(machine.systemctl(&["show", "--value", "--property", "Result", name]), "success");
    }
}
