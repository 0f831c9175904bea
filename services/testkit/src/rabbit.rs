//! Debian's RabbitMQ on loopback, for as long as one test runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use tempfile::TempDir;

use crate::certificates::Certificate;
use crate::port::free_port;
use crate::server::Server;

/// Without the scripts around them, which change users and folders.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// A running broker. What it keeps, it keeps on the disk until this is dropped.
#[derive(Debug)]
pub struct Rabbit {
    plain: u16,
    tls: Option<u16>,
    environment: Vec<String>,
    /// Ended in this order.
    server: Option<Server>,
    _names: Server,
    _folder: TempDir,
}

impl Rabbit {
    /// Starts one that has the user `guest` and the vhost `/`, and waits until it listens.
    ///
    /// # Panics
    /// When RabbitMQ is not installed: then nothing was tested.
    pub async fn start() -> Self {
        Self::start_with(None, None).await
    }

    /// As [`Rabbit::start`], with these definitions (users, vhosts, queues; JSON) in place of the user, and TLS if there is a
    /// certificate.
    pub async fn start_with(definitions: Option<&str>, certificate: Option<&Certificate>) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let write = |name: &str, text: &str| std::fs::write(path(name), text).expect("the folder is ours");
        let (plain, names, nodes) = (free_port(), free_port(), free_port());
        let tls = certificate.map(|_| free_port());
        let mut settings = vec![format!("listeners.tcp.1 = 127.0.0.1:{plain}")];
        if let (Some(certificate), Some(tls)) = (certificate, tls) {
            write("chain", certificate.pem());
            write("key", certificate.key_pem());
            settings.extend([
                format!("listeners.ssl.1 = 127.0.0.1:{tls}"),
                format!("ssl_options.certfile = {}", path("chain")),
                format!("ssl_options.keyfile = {}", path("key")),
            ]);
        }
        if let Some(definitions) = definitions {
            write("definitions", definitions);
            settings.push(format!("load_definitions = {}", path("definitions")));
        }
        settings.push("log.console = true\nlog.file = false\n".to_owned());
        write("settings.conf", &settings.join("\n"));
        write("plugins", "[].");
        let port = names.to_string();
        let names = Server::start(names, "epmd", &["-port", &port, "-address", "127.0.0.1"]).await;
        let environment = vec![
            format!("HOME={}", folder.path().display()),
            format!("RABBITMQ_NODENAME=of-{plain}@localhost"),
            format!("RABBITMQ_MNESIA_BASE={}", path("data")),
            format!("RABBITMQ_LOG_BASE={}", path("log")),
            format!("RABBITMQ_CONFIG_FILE={}", path("settings")),
            format!("RABBITMQ_ENABLED_PLUGINS_FILE={}", path("plugins")),
            format!("RABBITMQ_DIST_PORT={nodes}"),
            format!("ERL_EPMD_PORT={port}"),
            "RABBITMQ_CONF_ENV_FILE=/dev/null".to_owned(),
            "RABBITMQ_LOGS=-".to_owned(),
            // The machine of Erlang itself, not a script that waits for it.
            "RABBITMQ_ALLOW_INPUT=yes".to_owned(),
        ];
        let mut rabbit = Self { plain, tls, environment, server: None, _names: names, _folder: folder };
        rabbit.begin().await;
        rabbit
    }

    /// Ends it at once, as `kill -9` does; what was confirmed as persistent is kept.
    pub fn end(&mut self) {
        self.server = None;
    }

    /// Starts it again at the same place.
    pub async fn begin(&mut self) {
        let program = format!("{PROGRAMS}/rabbitmq-server");
        let arguments: Vec<String> = self.environment.iter().cloned().chain([program]).collect();
        // It listens over TLS last.
        let port = self.tls.unwrap_or(self.plain);
        self.server = Some(Server::start_as(None, "KILL", port, "env", &arguments).await);
    }

    /// Returns where it listens.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.plain).into()
    }

    /// Returns where it listens over TLS.
    ///
    /// # Panics
    /// When it has no certificate.
    pub fn tls_addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.tls.expect("it has a certificate")).into()
    }

    /// Returns the address of the vhost `/`.
    pub fn url(&self) -> String {
        format!("amqp://{}/%2f", self.addr())
    }

    /// Runs a command of `rabbitmqctl`.
    ///
    /// # Panics
    /// If that fails.
    pub fn control(&self, arguments: &[&str]) {
        let output = Command::new("env")
            .args(&self.environment)
            .arg(format!("{PROGRAMS}/rabbitmqctl"))
            .args(arguments)
            .output()
            .expect("compose/e2e/setup installs rabbitmq-server");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
