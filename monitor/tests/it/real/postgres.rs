//! Debian's PostgreSQL: every way to sign in, TLS, what a query tells, and what it refuses.

use std::time::Duration;

use monitor::probe::ReasonCode;
use testkit::{Authority, Postgres, eventually};

use crate::{PATIENT, ask, ask_within, assert_fail, assert_pass, fail, file, soft, trusting};

const RULES: &str = "host all old 127.0.0.1/32 md5\nhost all clear 127.0.0.1/32 password\nhost all nobody 127.0.0.1/32 reject\n\
                     hostssl all all 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n";
const USERS: &str = "create role clear login password 'correct-horse'; create role full login password 'correct-horse' \
                     connection limit 0; create role nobody login; create table stock (left_over int); \
                     insert into stock values (7), (8)";
const OLD: &str = "set password_encryption = 'md5'; create role old login password 'correct-horse'";

#[tokio::test]
async fn a_real_postgres_signs_in_and_answers_a_query() {
    let (authority, password) = (Authority::new(), file(Postgres::PASSWORD));
    let server = Postgres::start_with(RULES, Some(&authority.valid())).await;
    server.sql(USERS);
    server.sql(OLD);
    let (_file, trust) = trusting(&authority);
    let check = |user: &str, settings: &str, expect: &str| {
        let (addr, path) = (server.addr(), password.path().display());
        format!("postgres: {{ address: '{addr}', username: {user}, password_file: {path}{settings} }}\n{expect}")
    };
    let tester = ", database: postgres";

    let primary = "expect: { json: { in_recovery: false } }";
    let observation = ask(&check("tester", tester, primary)).await;
    assert_pass(&observation);
    assert!(observation.seen.protocol.is_some_and(|protocol| protocol.starts_with("PostgreSQL ")));

    let over_tls =
        format!("{tester}, tls: {{ {trust} }}, query: select ssl from pg_stat_ssl where pid = pg_backend_pid()");
    let observation = ask(&check("tester", &over_tls, "expect: { json: { ssl: true }, cert_valid_for: 365d }")).await;
    assert_pass(&observation);
    assert!(soft(&observation)[0].starts_with("certificate expires in "));

    let rows = format!("{tester}, query: 'select left_over, 1.5 as price, null as none from stock order by 1'");
    assert_pass(&ask(&check("tester", &rows, "expect: { json: { left_over: 7, price: 1.5, none: null } }")).await);
    let none = ask(&check("tester", &format!("{tester}, query: select 1 where false"), "")).await;
    assert_eq!(none.seen.note.as_deref(), Some("no row"));

    for user in ["old", "clear"] {
        assert_pass(&ask(&check(user, &format!("{tester}, legacy_auth: true"), "")).await);
        let (code, text) = fail(&ask(&check(user, tester, "")).await);
        assert_eq!(code, ReasonCode::Auth);
        assert!(text.ends_with("; let it use scram-sha-256, or write legacy_auth: true"), "{text}");
    }

    for (user, settings, code, text) in [
        (
            "tester",
            ", database: nowhere",
            ReasonCode::Rejected,
            "there is no such database: database \"nowhere\" does not exist (3D000)",
        ),
        (
            "full",
            tester,
            ReasonCode::Rejected,
            "it has no connection left: too many connections for role \"full\" (53300)",
        ),
        (
            "tester",
            ", database: postgres, query: delete from stock",
            ReasonCode::Rejected,
            "the query writes, and only reading is allowed: cannot execute DELETE in a read-only transaction (25006)",
        ),
        (
            "tester",
            ", database: postgres, query: selct",
            ReasonCode::Rejected,
            "the query is wrong: syntax error at or near \"selct\" (42601)",
        ),
        (
            "clear",
            ", database: postgres, legacy_auth: true, query: select * from stock",
            ReasonCode::Auth,
            "the user may not do this: permission denied for table stock (42501)",
        ),
        (
            "tester",
            ", database: postgres, query: select 1; commit",
            ReasonCode::Rejected,
            "the query is wrong: cannot insert multiple commands into a prepared statement (42601)",
        ),
    ] {
        assert_fail(&ask(&check(user, settings, "")).await, code, text);
    }
    let (code, text) = fail(&ask(&check("nobody", tester, "")).await);
    assert_eq!(code, ReasonCode::Auth);
    assert!(text.starts_with("it does not let this user in from here: pg_hba.conf rejects connection "), "{text}");

    let wrong = file("wrong-horse");
    let check_wrong = check("tester", tester, "")
        .replace(&password.path().display().to_string(), &wrong.path().display().to_string());
    let text = "it refuses the password: password authentication failed for user \"tester\" (28P01)";
    assert_fail(&ask(&check_wrong).await, ReasonCode::Auth, text);

    let slow = check("tester", ", database: postgres, query: select pg_sleep(60)", "");
    let given_up = "the query took too long: canceling statement due to statement timeout (57014)";
    eventually("the server to give up in time, on a machine that may be busy", PATIENT * 6, async || {
        (fail(&ask_within(Duration::from_secs(2), &slow).await) == (ReasonCode::Rejected, given_up.to_owned()))
            .then_some(())
    })
    .await;
    let endless = ", database: postgres, query: 'select generate_series(1, 1000000000)'";
    assert_pass(&ask(&check("tester", endless, "")).await);
    let broad = ask(&check("tester", ", database: postgres, query: 'select repeat(''x'', 1000000)'", "")).await;
    assert_eq!(fail(&broad).0, ReasonCode::TooLarge);
}
