//! What a configuration comes to, and what is said of one that is wrong.

use super::*;

fn load(yaml: &str, environment: &Environment) -> Result<Settings, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dlq.yml");
    std::fs::write(&path, yaml).unwrap();
    let shown = format!("{}/", folder.path().display());
    Settings::load(&path, environment)
        .map_err(|mistakes| mistakes.iter().map(|mistake| mistake.replace(&shown, "")).collect())
}

#[test]
fn nothing_is_done_in_a_queue_that_nobody_opted_into() {
    let yaml = "sources: { jobs: { bullmq: { url: 'redis://127.0.0.1:6379' } } }\n\
        queues:\n  - { queue: 'mail*', mode: act, rate: 5/s }\n  - { queue: mail-legal }\n";
    let settings = load(yaml, &Environment::default()).unwrap();
    assert_eq!((settings.listen.port(), settings.sources[0].kind), (8091, "bullmq"));
    let of = |queue| (settings.of_queue(queue).acts, settings.of_queue(queue).rate);
    assert_eq!([of("mails"), of("mail-legal"), of("other")], [(true, 5.0), (false, 20.0), (false, 20.0)]);
}

#[test]
fn the_audit_is_kept_for_a_year_unless_somebody_says_how_long() {
    let audit = |said: &str| {
        let yaml = format!("sources: {{}}\nretention: {{ {said} }}\n");
        load(&yaml, &Environment::default()).map(|settings| settings.retention)
    };
    assert_eq!(audit("").unwrap().audit, 365 * DAY);
    let shorter = audit("audit: 30d, discarded: 90d").unwrap();
    assert_eq!((shorter.audit, shorter.longest()), (30 * DAY, 90 * DAY));
    let mistakes = audit("audit: 10m").unwrap_err();
    assert!(mistakes[0].starts_with("dlq.yml:2:21: retention.audit: "), "{mistakes:?}");
}

#[test]
fn links_lead_below_the_page_with_or_without_a_slash_at_its_end() {
    let link = |page: &str| {
        let yaml = format!(
            "sources: {{ jobs: {{ bullmq: {{ url: 'redis://127.0.0.1:6379' }} }} }}\n\
            monitor: {{ url: 'http://127.0.0.1:8888'{page} }}\n"
        );
        let page = load(&yaml, &Environment::default()).unwrap().monitor.unwrap().page.unwrap();
        page.join("letters").unwrap().to_string()
    };
    for page in ["https://ops.example.com/dlq", "https://ops.example.com/dlq/"] {
        assert_eq!(link(&format!(", page: '{page}'")), "https://ops.example.com/dlq/letters");
    }
    assert_eq!(link(", page: 'https://dlq.example.com'"), "https://dlq.example.com/letters");
    assert_eq!(link(""), "http://127.0.0.1:8091/letters");
}

#[test]
fn a_url_with_a_password_comes_from_a_file_or_a_variable() {
    let environment = Environment::of([("QUEUE_REDIS", "redis://:hunter2@10.0.0.1:6379")]);
    let settings = load("sources: { jobs: { bullmq: { url: '${QUEUE_REDIS}' } } }", &environment).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
    let mistakes = load("sources: { jobs: { bullmq: { url: 'redis://:hunter2@x' } } }", &environment).unwrap_err();
    assert!(
        mistakes[0].contains("a secret does not belong in this file") && !mistakes[0].contains("hunter2"),
        "{mistakes:?}"
    );
}

#[test]
fn our_own_job_tables_are_a_source_whose_password_is_kept() {
    let environment = Environment::of([("JOBS", "postgres://user:hunter2@10.0.0.1/x")]);
    for database in ["${JOBS}", "sqlite:data/jobs.db", "sqlite:data/a@b.db"] {
        let yaml = format!("sources: {{ mails: {{ jobs: {{ database: '{database}', queues: ['mail*'] }} }} }}");
        let settings = load(&yaml, &environment).unwrap();
        assert!(settings.sources[0].kind == "jobs" && !format!("{settings:?}").contains("hunter2"));
    }
    let written = "sources: { mails: { jobs: { database: 'postgres://user:hunter2@x/y' } } }";
    let mistakes = load(written, &environment).unwrap_err();
    assert!(mistakes[0].contains("write database_file: /path/to/file or database: ${VARIABLE}"), "{mistakes:?}");
    assert!(!mistakes[0].contains("hunter2"), "{mistakes:?}");
}

#[test]
fn dead_letter_queues_of_a_broker_are_a_source_whose_password_is_kept() {
    let environment = Environment::of([("BROKER", "amqp://guest:hunter2@10.0.0.1/%2f")]);
    for url in ["${BROKER}", "amqp://127.0.0.1:5672/%2f"] {
        let yaml =
            format!("sources: {{ a: {{ rabbitmq: {{ url: '{url}', dead_letter_queues: [a, b], back_to: queue }} }} }}");
        let settings = load(&yaml, &environment).unwrap();
        assert!(settings.sources[0].kind == "rabbitmq" && !format!("{settings:?}").contains("hunter2"));
    }
    let written = "sources: { a: { rabbitmq: { url: 'amqp://guest:hunter2@x/%2f', dead_letter_queues: [a] } } }";
    let mistakes = load(written, &environment).unwrap_err();
    assert!(mistakes[0].contains("write url_file: /path/to/file or url: ${VARIABLE}"), "{mistakes:?}");
    assert!(!mistakes[0].contains("hunter2"), "{mistakes:?}");
}

#[test]
fn every_mistake_is_told_with_what_to_write() {
    for (yaml, expected) in [
        ("listen: 127.0.0.1", "\"sources\" is missing"),
        (
            "sources: { jobs: { bulmq: {} } }",
            "there is no kind of source \"bulmq\"; write bullmq or jobs or rabbitmq or redis_streams",
        ),
        ("sources: { Jobs: { bullmq: { url: 'redis://x' } } }", "\"Jobs\" cannot be a name; write lower-case letters"),
        ("sources: { jobs: { bullmq: { queues: [a] } } }", "\"url\" is missing; write url: redis://127.0.0.1:6379"),
        ("sources: { jobs: { bullmq: { url: 'http://x' } } }", "\"url\" is not one of Redis; write it like redis://"),
        (
            "sources: { a: { redis_streams: { streams: [events] } } }",
            "\"url\" is missing; write url: redis://127.0.0.1:6379, or url_file",
        ),
        (
            "sources: { a: { redis_streams: { url: 'redis://x', stream: events } } }",
            "\"streams\" is missing; write streams: [events]",
        ),
        (
            "sources: { a: { redis_streams: { url: 'http://x', streams: [events] } } }",
            "\"url\" is not one of Redis; write it like redis://",
        ),
        (
            "sources: { a: { bullmq: { url: 'redis://x', lists: { keep: 0 } } } }",
            "expected a whole number from 1 to 10000, found 0",
        ),
        (
            "sources: { a: { redis_streams: { url: 'redis://x', streams: [a], lists: { prefix: '' } } } }",
            "\"prefix\" is empty; write prefix: dlq",
        ),
        ("sources: { a: { jobs: { database: 'sqlite:a', lists: {} } } }", "unknown key \"lists\""),
        (
            "sources: { a: { jobs: {} } }",
            "\"database\" is missing; write database: sqlite:data/jobs.db, or database_file",
        ),
        ("sources: { a: { jobs: { database: mails.db } } }", "\"database\" is not a database; write sqlite:PATH, or"),
        ("sources: { a: { jobs: { database: 'sqlite:a', prefix: b } } }", "unknown key \"prefix\""),
        (
            "sources: { a: { rabbitmq: { dead_letter_queues: [a] } } }",
            "\"url\" is missing; write url: amqp://127.0.0.1:5672/%2f, or url_file: PATH",
        ),
        (
            "sources: { a: { rabbitmq: { url: 'amqp://x/', dead_letter_queues: [a] } } }",
            "\"url\" is not one of RabbitMQ; write it like amqp://127.0.0.1:5672/%2f, with the vhost at its end",
        ),
        (
            "sources: { a: { rabbitmq: { url: 'amqp://x/%2f' } } }",
            "\"dead_letter_queues\" must be 1 to 100 names of queues, each once; write them like [orders.dlq]",
        ),
        (
            "sources: { a: { rabbitmq: { url: 'amqp://x/a', dead_letter_queues: [a, a] } } }",
            "names of queues, each once",
        ),
        (
            "sources: { a: { rabbitmq: { url: 'amqp://x/a', dead_letter_queues: [a], back_to: dlx } } }",
            "expected one of exchange, queue, found \"dlx\"",
        ),
        ("sources: {}\nqueues: [{ queue: a, mode: on }]", "expected one of observe, act, found \"on\""),
        ("sources: {}\nqueues: [{ queue: a, budget: 10 }]", "\"10\" is not a share; write it like 10%"),
        (
            "sources: {}\nqueues:\n  - { queue: a, max_in_vain: 0 }",
            "dlq.yml:3:30: queues[0].max_in_vain: \"0\" is not how many may fail again within an hour; write it like 1000",
        ),
        ("sources: {}\nqueues: [{ queue: a, rate: fast }]", "\"fast\" is not a rate; write it like 20/s"),
        ("sources: {}\nredact: [card]", "\"card\" is no place in data; write it like /card/number, or /users/*/iban"),
        ("sources: {}\nledger: mysql://x", "not a database; write sqlite:PATH, or postgres://"),
        ("sources: {}\nrulez: []", "unknown key \"rulez\"; did you mean \"rules\"?"),
        ("sources: {}\nmonitor: { url: 'http://a:b@x' }", "\"url\" is not the monitor's; write it like"),
        ("sources: {}\nmonitor: { url: 'http://x', page: here }", "is not a URL, like https://dlq.example.com/"),
        ("sources: {}\nlisten: here", "is not an address, like 127.0.0.1:8091"),
    ] {
        let found = load(yaml, &Environment::default()).unwrap_err();
        assert!(found.iter().any(|mistake| mistake.contains(expected)), "{yaml}: {found:?}");
    }
}
