//! Debian's RabbitMQ: signing in, TLS, vhosts, a queue, and what it says when it is short of room.

use monitor::probe::ReasonCode;
use testkit::{Authority, Rabbit, eventually};

use crate::{PATIENT, ask, assert_fail, assert_pass, fail, trusting};

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

#[tokio::test]
async fn a_real_rabbitmq_signs_in_and_tells_of_a_queue() {
    let authority = Authority::new();
    let rabbit = Rabbit::start_with(Some(DEFINITIONS), Some(&authority.valid())).await;
    let (_file, trust) = trusting(&authority);
    let check = |user: &str, settings: &str, expect: &str| {
        let addr = rabbit.addr();
        format!("amqp: {{ address: '{addr}', username: {user}, password: '${{SECRET}}'{settings} }}\n{expect}")
    };
    let observation =
        ask(&check("watcher", ", queue: orders", "expect: { json: { messages: 0, consumers: 0 } }")).await;
    assert_pass(&observation);
    assert!(observation.seen.protocol.is_some_and(|protocol| protocol.starts_with("RabbitMQ ")));
    assert_eq!(observation.seen.note.as_deref(), Some("0 messages, 0 consumers"));
    let over_tls = format!(
        "amqp: {{ address: '{}', tls: {{ {trust} }}, username: watcher, password: '${{SECRET}}', publish: true }}",
        rabbit.tls_addr()
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
    let guest = ask(&format!("amqp: {{ address: '{}' }}", rabbit.addr())).await;
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
