//! Debian's RabbitMQ: signing in, TLS, vhosts, a queue, and what it says when it is short of room.

use std::process::Command;

use monitor::probe::ReasonCode;
use testkit::{Authority, Server, eventually, free_port};

use crate::{PATIENT, ask, assert_fail, assert_pass, fail, trusting};

/// Without the scripts around them, which change users and folders.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";
/// Two users, two vhosts and a queue.
const DEFINITIONS: &str = r#"{
    "users": [{ "name": "watcher", "password": "hunter2", "tags": "" }, { "name": "reader", "password": "hunter2", "tags": "" }],
    "vhosts": [{ "name": "/" }, { "name": "shop" }],
    "permissions": [
        { "user": "watcher", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*" },
        { "user": "reader", "vhost": "/", "configure": "", "write": "", "read": "" }
    ],
    "queues": [{ "name": "orders", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {} }]
}"#;

struct Rabbit {
    plain: u16,
    tls: u16,
    environment: Vec<String>,
    /// Ended in this order.
    _server: Server,
    _names: Server,
    _folder: tempfile::TempDir,
}

impl Rabbit {
    async fn start(authority: &Authority) -> Self {
        let (folder, certificate) = (tempfile::tempdir().unwrap(), authority.valid());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
        let (plain, tls, names, nodes) = (free_port(), free_port(), free_port(), free_port());
        let settings = [
            format!("listeners.tcp.1 = 127.0.0.1:{plain}"),
            format!("listeners.ssl.1 = 127.0.0.1:{tls}"),
            format!("ssl_options.certfile = {}", path("chain")),
            format!("ssl_options.keyfile = {}", path("key")),
            format!("load_definitions = {}", path("definitions")),
            "log.console = true\nlog.file = false\n".to_owned(),
        ];
        for (name, text) in [
            ("chain", certificate.pem()),
            ("key", certificate.key_pem()),
            ("definitions", DEFINITIONS),
            ("settings.conf", &settings.join("\n")),
            ("plugins", "[]."),
        ] {
            write(name, text);
        }
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
        let program = format!("{PROGRAMS}/rabbitmq-server");
        let arguments: Vec<String> = environment.iter().cloned().chain([program]).collect();
        let server = Server::start(tls, "env", &arguments).await;
        Self { plain, tls, environment, _server: server, _names: names, _folder: folder }
    }

    fn control(&self, arguments: &[&str]) {
        let output = Command::new("env")
            .args(&self.environment)
            .arg(format!("{PROGRAMS}/rabbitmqctl"))
            .args(arguments)
            .output()
            .expect("compose/e2e/setup installs rabbitmq-server");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn a_real_rabbitmq_signs_in_and_tells_of_a_queue() {
    let authority = Authority::new();
    let rabbit = Rabbit::start(&authority).await;
    let (_file, trust) = trusting(&authority);
    let check = |user: &str, settings: &str, expect: &str| {
        let port = rabbit.plain;
        format!(
            "amqp: {{ address: '127.0.0.1:{port}', username: {user}, password: '${{SECRET}}'{settings} }}\n{expect}"
        )
    };
    let observation =
        ask(&check("watcher", ", queue: orders", "expect: { json: { messages: 0, consumers: 0 } }")).await;
    assert_pass(&observation);
    assert!(observation.seen.protocol.is_some_and(|protocol| protocol.starts_with("RabbitMQ ")));
    assert_eq!(observation.seen.note.as_deref(), Some("0 messages, 0 consumers"));
    let over_tls = format!(
        "amqp: {{ address: '127.0.0.1:{}', tls: {{ {trust} }}, username: watcher, password: '${{SECRET}}', publish: true }}",
        rabbit.tls
    );
    assert_pass(&ask(&format!("{over_tls}\nexpect: {{ cert_valid_for: 1h }}")).await);

    for (user, settings, code, text) in [
        (
            "nobody",
            "",
            ReasonCode::Auth,
            "it refuses name or password: ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For \
             details see the broker logfile. (403)",
        ),
        (
            "watcher",
            ", vhost: nowhere",
            ReasonCode::Rejected,
            "there is no such vhost: NOT_ALLOWED - vhost nowhere not found (530)",
        ),
        (
            "watcher",
            ", vhost: shop",
            ReasonCode::Auth,
            "the user may not enter this vhost: NOT_ALLOWED - access to vhost 'shop' refused for user 'watcher' (530)",
        ),
        (
            "watcher",
            ", queue: nothing",
            ReasonCode::Rejected,
            "there is no such queue: NOT_FOUND - no queue 'nothing' in vhost '/' (404)",
        ),
    ] {
        assert_fail(&ask(&check(user, settings, "")).await, code, text);
    }
    let (code, text) = fail(&ask(&check("reader", ", publish: true", "")).await);
    assert_eq!(code, ReasonCode::Auth);
    assert!(text.starts_with("the user may not do this: ACCESS_REFUSED - "), "{text}");
    let guest = ask(&format!("amqp: {{ address: '127.0.0.1:{}' }}", rabbit.plain)).await;
    let (code, text) = fail(&guest);
    assert_eq!(code, ReasonCode::Auth);
    assert!(
        text.starts_with("it does not let guest in; write username and password_file: ACCESS_REFUSED - "),
        "{text}"
    );

    assert_pass(&ask(&check("watcher", ", publish: true", "")).await);
    rabbit.control(&["set_disk_free_limit", "900000GB"]);
    let told = eventually("the broker to take no messages", PATIENT * 6, async || {
        let observation = ask(&check("watcher", ", publish: true", "")).await;
        (observation.outcome != monitor::probe::Outcome::Pass).then(|| fail(&observation))
    })
    .await;
    assert_eq!(told, (ReasonCode::Rejected, "it takes no messages now: low on disk".to_owned()));
}
