//! `monitor import kuma`: databases as versions 1.23 and 2.x have them, also of a Kuma that runs, and backups of version 1.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, SqliteConnection};

use super::{run, said, write_config};

/// The columns that are read, as version 1.23.16 names them; it has others too.
const OF_1: &str = "
    CREATE TABLE monitor (id INTEGER PRIMARY KEY, name TEXT, active BOOLEAN DEFAULT 1 NOT NULL, interval INTEGER DEFAULT 20 NOT NULL,
        url TEXT, type VARCHAR(20), hostname VARCHAR(255), port INTEGER, keyword VARCHAR(255), maxretries INTEGER NOT NULL DEFAULT 0,
        ignore_tls BOOLEAN DEFAULT 0 NOT NULL, upside_down BOOLEAN DEFAULT 0 NOT NULL, maxredirects INTEGER DEFAULT 10 NOT NULL,
        accepted_statuscodes_json TEXT DEFAULT '[\"200-299\"]' NOT NULL, dns_resolve_type VARCHAR(5), dns_resolve_server VARCHAR(255),
        retry_interval INTEGER DEFAULT 0 NOT NULL, push_token VARCHAR(20), method TEXT DEFAULT 'GET' NOT NULL, body TEXT, headers TEXT,
        basic_auth_user TEXT, basic_auth_pass TEXT, docker_host INTEGER, docker_container VARCHAR(255), proxy_id INTEGER,
        expiry_notification BOOLEAN DEFAULT 1, mqtt_topic TEXT, mqtt_username VARCHAR(255), mqtt_password VARCHAR(255),
        database_connection_string VARCHAR(2000), database_query TEXT, auth_method VARCHAR(250), resend_interval INTEGER DEFAULT 0 NOT NULL,
        packet_size INTEGER DEFAULT 56 NOT NULL, http_body_encoding VARCHAR(25), description TEXT, tls_ca TEXT, tls_cert TEXT, tls_key TEXT,
        parent INTEGER, invert_keyword BOOLEAN DEFAULT 0 NOT NULL, json_path TEXT, expected_value VARCHAR(255), timeout DOUBLE DEFAULT 0 NOT NULL);
    CREATE TABLE notification (id INTEGER PRIMARY KEY, name TEXT, config TEXT, active BOOLEAN DEFAULT 1 NOT NULL, is_default BOOLEAN DEFAULT 0);
    CREATE TABLE monitor_notification (id INTEGER PRIMARY KEY, monitor_id INTEGER, notification_id INTEGER);
    CREATE TABLE docker_host (id INTEGER PRIMARY KEY, docker_daemon VARCHAR(255), docker_type VARCHAR(255), name VARCHAR(255));
    CREATE TABLE tag (id INTEGER PRIMARY KEY, name VARCHAR(255), color VARCHAR(255));
    CREATE TABLE monitor_tag (id INTEGER PRIMARY KEY, monitor_id INTEGER, tag_id INTEGER, value TEXT);
    CREATE TABLE maintenance (id INTEGER PRIMARY KEY, title VARCHAR(150), active BOOLEAN DEFAULT 1 NOT NULL, strategy VARCHAR(50),
        start_date DATETIME, end_date DATETIME, start_time TIME, end_time TIME, weekdays VARCHAR2(250) DEFAULT '[]',
        days_of_month TEXT DEFAULT '[]', interval_day INTEGER, timezone VARCHAR(255));
    CREATE TABLE monitor_maintenance (id INTEGER PRIMARY KEY, monitor_id INTEGER, maintenance_id INTEGER);
    CREATE TABLE status_page (id INTEGER PRIMARY KEY, slug VARCHAR(255), title VARCHAR(255));";

const ROWS: &str = r#"
    INSERT INTO notification (id, name, config, active) VALUES
        (1, 'Chat of ops', '{"type":"slack","slackwebhookURL":"https://hooks.slack.com/hunter2slack"}', 1),
        (2, 'Mail', '{"type":"smtp","smtpHost":"mail.example.com","smtpPort":465,"smtpSecure":true,"smtpUsername":"u","smtpPassword":"hunter2mail","smtpFrom":"k@example.com","smtpTo":"ops@example.com, dev@example.com"}', 1),
        (3, 'Bark', '{"type":"Bark","barkEndpoint":"https://hunter2bark"}', 1),
        (4, 'Off', '{"type":"discord","discordWebhookUrl":"https://hunter2off"}', 0);
    INSERT INTO monitor (id, name, type) VALUES (1, 'Shop', 'group');
    INSERT INTO monitor (id, name, type, parent) VALUES (2, 'Inner', 'group', 1);
    INSERT INTO monitor (id, name, type, url, keyword, parent, interval, retry_interval, maxretries, timeout, accepted_statuscodes_json, maxredirects, description, resend_interval, headers)
        VALUES (3, 'Front page', 'keyword', 'https://shop.example.com/?token=hunter2q', 'Welcome', 1, 30, 10, 2, 24, '["200-299","301"]', 0, 'what people see', 10, '{"X-Api-Key":"hunter2header"}');
    INSERT INTO monitor (id, name, type, url, json_path, expected_value, auth_method, basic_auth_user, basic_auth_pass, ignore_tls, method, body)
        VALUES (4, 'API', 'json-query', 'https://api.example.com/', '$.data.items[0].id', '5', 'basic', 'me', 'hunter2basic', 1, 'POST', '{"a": "${x}"}');
    INSERT INTO monitor (id, name, type, hostname, port) VALUES (5, 'Port', 'port', '127.0.0.1', 5432);
    INSERT INTO monitor (id, name, type, hostname, packet_size) VALUES (6, 'Ping', 'ping', '127.0.0.1', 100);
    INSERT INTO monitor (id, name, type, hostname, dns_resolve_server, dns_resolve_type, port) VALUES (7, 'Names', 'dns', 'example.com', '1.1.1.1', 'MX', 53);
    INSERT INTO monitor (id, name, type, push_token, interval, maxretries, retry_interval) VALUES (8, 'Backup', 'push', 'hunter2push', 3600, 1, 60);
    INSERT INTO monitor (id, name, type, docker_container, docker_host) VALUES (9, 'web', 'docker', 'shop-web-1', 1);
    INSERT INTO monitor (id, name, type, url, active) VALUES (10, 'Paused', 'http', 'http://x/', 0);
    INSERT INTO monitor (id, name, type, url, upside_down) VALUES (11, 'Upside', 'http', 'http://x/', 1);
    INSERT INTO monitor (id, name, type, hostname, port, mqtt_username, mqtt_password, mqtt_topic) VALUES (12, 'Broker', 'mqtt', 'mqtts://broker', 8883, 'u', 'hunter2mqtt', 'a/b');
    INSERT INTO monitor (id, name, type, database_connection_string, database_query) VALUES
        (13, 'Cache', 'redis', 'redis://:hunter2redis@cache:6380/3', NULL),
        (14, 'Records', 'postgres', 'postgres://u:hunter2pg@db/shop?sslmode=require', 'select 1;'),
        (15, 'Orders', 'mysql', 'mysql://u:hunter2%40my@my:3307/shop', 'select 1'),
        (16, 'Documents', 'mongodb', 'mongodb://u:hunter2mongo@x/', NULL);
    INSERT INTO monitor (id, name, type, url, auth_method) VALUES (17, 'Signed in', 'http', 'https://x/', 'oauth2-cc');
    INSERT INTO monitor (id, name, type, url, parent) VALUES (18, 'Front page', 'http', 'http://127.0.0.1:8080/', 2);
    INSERT INTO monitor_notification (monitor_id, notification_id) VALUES (3, 1), (3, 2), (4, 1), (5, 3), (1, 1), (8, 2);
    INSERT INTO docker_host (id, docker_daemon, docker_type) VALUES (1, '/var/run/docker.sock', 'socket');
    INSERT INTO tag (id, name) VALUES (1, 'Team A');
    INSERT INTO monitor_tag (monitor_id, tag_id, value) VALUES (3, 1, 'shop');
    INSERT INTO maintenance (id, title, strategy, start_time, end_time, weekdays, timezone) VALUES (1, 'Patching', 'recurring-weekday', '23:30', '01:00', '[0,3]', 'Europe/Berlin');
    INSERT INTO maintenance (id, title, strategy, start_date, end_date, timezone) VALUES (2, 'Move', 'single', '2099-01-02 03:00:00', '2099-01-02 05:00:00', 'Europe/Berlin');
    INSERT INTO maintenance (id, title, strategy) VALUES (3, 'By hand', 'manual');
    INSERT INTO monitor_maintenance (maintenance_id, monitor_id) VALUES (1, 1), (2, 5), (3, 5);
    INSERT INTO status_page (slug, title) VALUES ('s', 'Public');"#;

/// What versions 2.x add, as far as it is read; with what fills the table to more columns than one question may have.
fn of_2() -> String {
    let mut sql = "ALTER TABLE monitor ADD json_path_operator TEXT; ALTER TABLE monitor ADD conditions TEXT NOT NULL DEFAULT '[]';
        ALTER TABLE monitor ADD smtp_security TEXT; ALTER TABLE monitor ADD ping_count INTEGER NOT NULL DEFAULT 1;
        ALTER TABLE monitor ADD ip_family TEXT;"
        .to_owned();
    for number in 0..80 {
        sql.push_str(&format!("ALTER TABLE monitor ADD other_{number} TEXT;"));
    }
    sql + r#"ALTER TABLE monitor ADD last INTEGER;
        UPDATE monitor SET json_path_operator = '<' WHERE id = 4;
        UPDATE monitor SET ip_family = 'ipv4', conditions = '[{"type":"expression"}]' WHERE id = 18;
        INSERT INTO monitor (id, name, type, hostname, port, smtp_security) VALUES (19, 'Mailer', 'smtp', 'mail.example.com', 587, 'starttls');
        INSERT INTO monitor (id, name, type) VALUES (20, 'Agent', 'snmp');"#
}

/// Makes a database, and returns the connection that keeps it busy, as a running Kuma does.
async fn database(file: &Path, sql: &[&str]) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut connection = options.journal_mode(SqliteJournalMode::Wal).connect().await.unwrap();
    for sql in sql {
        sqlx::raw_sql(sqlx::AssertSqlSafe((*sql).to_owned())).execute(&mut connection).await.unwrap();
    }
    connection
}

fn import(file: &Path, secrets: &Path) -> Output {
    run(&["import", "kuma", file.to_str().unwrap(), "--secrets", secrets.to_str().unwrap()])
}

/// Returns what was written and what was said, of a file that can be imported to something that loads.
fn imported(file: &Path, folder: &Path) -> (String, String) {
    let output = import(file, &folder.join("secrets"));
    let (ours, told) = (String::from_utf8(output.stdout.clone()).unwrap(), said(&output));
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(!ours.contains("hunter2") && !told.contains("hunter2"), "{ours}\n{told}");
    let written = write_config(folder, &ours);
    let checked = run(&["check-config", written.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}\n{ours}", said(&checked));
    (ours, told)
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_kuma_is_read_without_a_trace() {
    let (theirs, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = theirs.path().join("kuma.db");
    let _running = database(&file, &[OF_1, ROWS]).await;
    let before = files(theirs.path());
    let (ours, told) = imported(&file, folder.path());
    assert_eq!(files(theirs.path()).keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert_eq!(files(theirs.path())[&file], before[&file]);
    for line in [
        "changed: monitor Backup: it pushes to POST /api/v1/heartbeat/backup/heartbeat?state=success (or fail), with the same token",
        "left out: notification Bark (Bark): there is no such channel; use webhook with a template, or exec\n",
        "left out: notification Off: it is not active\n",
        "left out: monitor Shop: its own notifications; those of its members are sent\n",
        "left out: monitor Port: nobody is told of it: none of its notifications is a channel here\n",
        "left out: monitor Paused: it is paused\n",
        "left out: monitor Upside: it is upside down, and no check can expect that nothing answers; ask by exec\n",
        "left out: monitor Broker: the topic a/b: nobody waits for somebody else's message",
        "left out: monitor Documents (mongodb): MongoDB is not spoken; watch its port with tcp, or ask by exec\n",
        "left out: monitor Signed in (http): it signs in by OAuth 2; write a journey",
        "left out: maintenance By hand: one of strategy manual; write a window",
        "left out: status page Public: there is one page, of all services by their groups\n",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    for part in [
        "          expr: \"string(json.data.items[0].id) == \\\"5\\\"\"\n",
        "          body: \"{\\\"a\\\": \\\"$${x}\\\"}\"\n",
        "  shop-inner-front-page:\n",
        "    group: \"Shop / Inner\"\n",
        "    labels:\n      team_a: shop\n",
        "  - every: \"Sun,Wed 23:30\"\n    for: \"1h30m\"\n    name: Patching\n    services: [front-page, shop-inner-front-page]\n",
        "  - from: \"2099-01-02T02:00:00Z\"\n",
        "    reminders:\n      after: 5m\n      every: 5m\n    to: [chat-of-ops, mail]\n",
        "    workload:\n      container:\n        name: shop-web-1\n",
    ] {
        assert!(ours.contains(part), "{part}\n{ours}");
    }
    let secret = folder.path().join("secrets/orders-password");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "hunter2@my\n");
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_versions_have_more_columns() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kuma.db");
    let _running = database(&file, &[OF_1, ROWS, &of_2()]).await;
    let (ours, told) = imported(&file, folder.path());
    assert!(ours.contains("expr: \"double(json.data.items[0].id) < 5.0\""), "{ours}");
    assert!(ours.contains("ip: ipv4"), "{ours}");
    assert!(ours.contains("      smtp:\n"), "{ours}");
    for line in [
        "left out: monitor Front page: conditions; write what is expected under expect: …\n",
        "left out: monitor Agent (snmp): write kind snmp with its address, and what to get\n",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
}

#[test]
fn a_backup_of_version_1_is_read_too() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import/kuma.json");
    let (ours, _told) = imported(&fixture, folder.path());
    for part in [
        "          expr: \"!body.contains(\\\"Fatal error\\\")\"\n          status: [\"2xx\", \"404\"]\n",
        "          proxy: \"http://proxy.example.com:3128\"\n          redirects: 5\n",
        "          cert_valid_for: 21d\n",
        "        fail_after: 2\n",
        "          grace: 2h\n          period: 1d\n",
        "    labels:\n      public: \"yes\"\n",
        "    to: [phone, push]\n",
    ] {
        assert!(ours.contains(part), "{part}\n{ours}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_kuma_is_refused_with_what_to_give() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("k.json");
    for (text, message) in [
        (
            "endpoints: []\n",
            "k.json:1:1: neither a database nor JSON (expected value); give kuma.db, or the backup that version 1 makes",
        ),
        ("{\n \"monitorList\": [}\n", "k.json:2:18: neither a database nor JSON"),
        ("{}", "k.json: there is no monitorList; give kuma.db, or the backup that version 1 makes"),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = import(&file, folder.path());
        assert_eq!(output.status.code(), Some(78), "{}", said(&output));
        assert!(said(&output).contains(message), "{}", said(&output));
    }
    let other = folder.path().join("other.db");
    let _open = database(&other, &["CREATE TABLE thing (id INTEGER)"]).await;
    let output = import(&other, folder.path());
    assert!(
        said(&output).contains("other.db: this is no database of Uptime Kuma, it has no table \"monitor\""),
        "{}",
        said(&output)
    );
    let output = import(Path::new("/nonexistent.db"), folder.path());
    assert!(said(&output).contains("cannot read /nonexistent.db"), "{}", said(&output));
    // A secret that would have to be written over one that is there is a refusal, and is not shown.
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import/kuma.json");
    std::fs::write(folder.path().join("phone-bot_token"), "another\n").unwrap();
    let output = import(&fixture, folder.path());
    assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0));
    assert!(said(&output).contains("phone-bot_token holds another secret; move it away"), "{}", said(&output));
}
