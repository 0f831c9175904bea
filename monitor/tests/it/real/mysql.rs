//! Debian's MariaDB: signing in, TLS, what a query tells, what it refuses, and that it does not block who asks as nobody.

use std::process::Command;
use std::time::Duration;

use monitor::probe::ReasonCode;
use testkit::{Authority, Server, eventually, free_port};

use crate::{PATIENT, ask, ask_within, assert_fail, assert_pass, fail, file, trusting};

/// One statement a line; the server runs them as it starts.
const USERS: &str = "create database shop;
create table shop.stock (left_over int, price decimal(5,2), note text);
insert into shop.stock values (7, 1.50, null), (8, 2, 'x');
create user watcher@'127.0.0.1' identified by 'hunter2';
grant select, insert on shop.* to watcher@'127.0.0.1';
create user open@'127.0.0.1';
create user strict@'127.0.0.1' identified by 'hunter2' require ssl;
create user full@'127.0.0.1' identified by 'hunter2' with max_queries_per_hour 1;
create user locked@'127.0.0.1' identified by 'hunter2' account lock;
install soname 'auth_ed25519';
create user modern@'127.0.0.1' identified via ed25519 using password('hunter2');
";
/// Small files, and none that waits for a disk: nobody needs the data.
const SMALL: [&str; 5] = [
    "--innodb-log-file-size=4M",
    "--innodb-buffer-pool-size=8M",
    "--innodb-data-file-path=ibdata1:1M:autoextend",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
];

struct MariaDb {
    server: Server,
    _folder: tempfile::TempDir,
}

async fn start(authority: &Authority) -> MariaDb {
    let (folder, port, certificate) = (tempfile::tempdir().unwrap(), free_port(), authority.valid());
    let path = |name: &str| folder.path().join(name).display().to_string();
    for (name, text) in [("users", USERS), ("chain", certificate.pem()), ("key", certificate.key_pem())] {
        std::fs::write(path(name), text).unwrap();
    }
    let place = ["--no-defaults".to_owned(), format!("--datadir={}", path("data")), "--user=root".to_owned()];
    let made = Command::new("mariadb-install-db")
        .args(&place)
        .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
        .args(SMALL)
        .output()
        .expect("compose/e2e/setup installs mariadb-server");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let settings = [
        format!("--port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--skip-name-resolve".to_owned(),
        format!("--socket={}", path("socket")),
        format!("--init-file={}", path("users")),
        format!("--ssl-cert={}", path("chain")),
        format!("--ssl-key={}", path("key")),
    ];
    let small = SMALL.map(str::to_owned);
    let server = Server::start(port, "mariadbd", &[&place[..], &settings, &small].concat()).await;
    MariaDb { server, _folder: folder }
}

#[tokio::test]
async fn a_real_mariadb_signs_in_and_answers_a_query() {
    let authority = Authority::new();
    let maria = start(&authority).await;
    let (_file, trust) = trusting(&authority);
    let address = maria.server.addr();
    let check = |user: &str, settings: &str, expect: &str| {
        format!("mysql: {{ address: '{address}', username: {user}, password: '${{SECRET}}'{settings} }}\n{expect}")
    };
    let shop = ", database: shop, query: ";

    let observation = ask(&check("watcher", "", "expect: { json: { read_only: 0 } }")).await;
    assert_pass(&observation);
    assert!(observation.seen.protocol.is_some_and(|protocol| protocol.starts_with("MariaDB ")));
    let first = "expect: { json: { left_over: 7, price: 1.5, note: null } }";
    assert_pass(&ask(&check("watcher", &format!("{shop}select * from stock order by 1"), first)).await);
    let none = ask(&check("watcher", &format!("{shop}select 1 from stock where false"), "")).await;
    assert_pass(&none);
    assert_eq!(none.seen.note.as_deref(), Some("no row"));

    let tls = format!(", tls: {{ {trust} }}, query: show status like 'ssl_version'");
    let spoken = "expect: { json: { Value: TLSv1.3 }, cert_valid_for: 1h }";
    assert_pass(&ask(&check("strict", &tls, spoken)).await);
    let open = format!("mysql: {{ address: '{address}', username: open }}");
    assert_pass(&ask(&open).await);

    for (user, settings, code, text) in [
        (
            "strict",
            "",
            ReasonCode::Auth,
            "it refuses name or password: Access denied for user 'strict'@'127.0.0.1' (using password: YES) (1045)",
        ),
        ("locked", "", ReasonCode::Auth, "the account is locked: Access denied, this account is locked (4151)"),
        (
            "modern",
            "",
            ReasonCode::Auth,
            "it wants a way to sign in that is not known here (client_ed25519); let the user have one of \
             mysql_native_password, caching_sha2_password",
        ),
        (
            "watcher",
            ", database: mysql",
            ReasonCode::Auth,
            "the user may not do this: Access denied for user 'watcher'@'127.0.0.1' to database 'mysql' (1044)",
        ),
        // What commits by itself leaves a transaction behind, but not the session.
        (
            "watcher",
            ", database: shop, query: create table made (a int)",
            ReasonCode::Rejected,
            "the query writes, and only reading is allowed: Cannot execute statement in a READ ONLY transaction (1792)",
        ),
        (
            "watcher",
            ", database: shop, query: insert into stock (left_over) values (1)",
            ReasonCode::Rejected,
            "the query writes, and only reading is allowed: Cannot execute statement in a READ ONLY transaction (1792)",
        ),
        (
            "full",
            "",
            ReasonCode::Rejected,
            "it has no connection left: User 'full' has exceeded the 'max_queries_per_hour' resource (current value: 1) (1226)",
        ),
    ] {
        assert_fail(&ask(&check(user, settings, "")).await, code, text);
    }
    let (code, text) = fail(&ask(&check("watcher", &format!("{shop}select 1; commit"), "")).await);
    assert_eq!(code, ReasonCode::Rejected);
    assert!(text.starts_with("the query is wrong: You have an error in your SQL syntax; "), "{text}");
    let wrong = file("wrong-horse");
    let check_wrong =
        format!("mysql: {{ address: '{address}', username: watcher, password_file: {} }}", wrong.path().display());
    assert_eq!(fail(&ask(&check_wrong).await).0, ReasonCode::Auth);

    let slow = check("watcher", ", query: select sleep(60)", "");
    eventually("the server to give up in time, on a machine that may be busy", PATIENT * 6, async || {
        let (code, text) = fail(&ask_within(Duration::from_secs(1), &slow).await);
        (code == ReasonCode::Rejected && text.starts_with("the query took too long: ")).then_some(())
    })
    .await;
    let broad = ask(&check("watcher", ", query: 'select repeat(''x'', 1000000)'", "")).await;
    assert_eq!(fail(&broad).0, ReasonCode::TooLarge);
    let endless = ", database: shop, query: select seq from seq_1_to_1000000000";
    assert_pass(&ask(&check("watcher", endless, "expect: { json: { seq: 1 } }")).await);

    let version = "expect: { expr: 'json.version.contains(\"MariaDB\")' }";
    assert_pass(&ask(&format!("mysql: {{ address: '{address}' }}\n{version}")).await);
    let errors = ", query: show status like 'aborted_connects'";
    let nobody_counts = ask(&check("watcher", errors, "expect: { json: { Variable_name: Aborted_connects } }")).await;
    assert_pass(&nobody_counts);
}
