//! What a review found: mistakes that were missed, and what was called one and is none.

use std::path::Path;

use super::mended::found;
use super::{findings, read};

#[test]
fn a_tag_that_must_be_set_is_one_and_what_is_built_here_is_never_pulled() {
    let text = "services:\n  api:\n    image: registry.example.com/api:${TAG_OF_TEST:?set it}\n";
    assert_eq!(found(&[("compose.yml", text)]), Vec::<String>::new());
    let empty = text.replacen(":${TAG_OF_TEST:?set it}", "${TAG_OF_TEST-}", 1);
    assert_eq!(found(&[("compose.yml", &empty)]), ["3 image-not-pinned"]);

    let text =
        "services:\n  web: { build: ., image: myapp }\n  worker: { image: 'myapp:latest' }\n  other: { image: your }\n";
    let dockerfile = ("Dockerfile", "FROM alpine:3.20\nCMD [\"/web\"]\n");
    assert_eq!(found(&[("compose.yml", text), dockerfile]), ["4 image-not-pinned"]);
}

#[test]
fn localhost_is_found_in_every_form_in_which_programs_are_told_of_it() {
    let found_with = |line: &str, more: &str| {
        let text = format!(
            "services:\n  app:\n    image: registry.example.com/app:1\n    environment:\n      {line}\n  db: {{ image: 'postgres:16' }}\n  \
             kafka: {{ image: 'apache/kafka:3.8.0' }}\n{more}"
        );
        found(&[("compose.yml", &text)])
    };
    let wrong = [
        "SPRING_DATASOURCE_URL: jdbc:postgresql://localhost:5432/x",
        "SPRING_R2DBC_URL: r2dbc:postgresql://localhost/x",
        "DB_HOST: localhost",
        "APP_DATABASE_HOST: 127.0.0.1",
        "KAFKA_BROKERS: localhost:9092",
        "KAFKA_BOOTSTRAP_SERVERS: 'kafka:9092,localhost:9092'",
        "KAFKA_HOSTS: 127.0.0.1:9092",
        "ConnectionStrings__Default: Host=localhost;Port=5432;Database=x",
        "ConnectionStrings__Default: Server=localhost;Database=x",
        "DSN: host=localhost port=5432 dbname=x",
    ];
    for line in wrong {
        assert_eq!(found_with(line, ""), ["5 localhost-target"], "{line}");
    }
    for line in [
        "SPRING_DATASOURCE_URL: jdbc:postgresql://db:5432/x",
        "DB_HOST: db",
        "KAFKA_BROKERS: kafka:9092",
        "KAFKA_BROKERS: localhost",
        "ALLOWED_HOSTS: localhost:5432",
        "ConnectionStrings__Default: Host=db;Port=5432;Database=x",
        "GREETING: host=localhost port=5432",
        "DB_HOST: localhost\n      DB_PORT: 15432",
    ] {
        assert_eq!(found_with(line, ""), Vec::<String>::new(), "{line}");
    }
    let second = "  old: { image: 'mysql:8.4' }\n";
    assert_eq!(found_with("DB_HOST: localhost", second), Vec::<String>::new(), "nobody knows which");
}

#[test]
fn a_file_that_several_services_share_tells_none_of_them_where_to_listen() {
    let text = "services:\n  front:\n    image: registry.example.com/front:1\n    env_file: common.env\n    ports: ['3000:3000']\n  \
                api:\n    image: registry.example.com/api:1\n    env_file: [./common.env]\n    ports: ['8000:8000']\n";
    let common = ("common.env", "PORT=8000\n");
    assert_eq!(found(&[("compose.yml", text), common]), Vec::<String>::new());
    let alone = text.replacen("    env_file: [./common.env]\n", "", 1);
    assert_eq!(found(&[("compose.yml", &alone), common]), ["5 published-port-not-listened"]);
    let inline = text.replacen("front:1\n", "front:1\n    environment: { PORT: 8000 }\n", 1);
    assert_eq!(found(&[("compose.yml", &inline), common]), ["6 published-port-not-listened"]);
    let wrong = ("common.env", "CACHE_TTL=5m\nWEB_PORT=127.0.0.1:8080\nHIDE_PORT=true\nRTP_PORT=10000-10100\n");
    assert_eq!(found(&[("compose.yml", text), wrong]), ["1 setting-not-a-number"], "once, and only what is one");
    assert_eq!(found(&[("compose.yml", text), ("common.env", "HTTP_PORT=web\n")]), ["1 setting-not-a-number"]);
}

#[test]
fn a_dump_is_told_of_once_and_a_role_that_a_script_makes_is_there() {
    let text = "services:\n  db:\n    image: postgres:16\n    environment: { POSTGRES_USER: shop }\n    volumes:\n      - ./dump.sql:/docker-entrypoint-initdb.d/2.sql\n      \
                - ./roles.sh:/docker-entrypoint-initdb.d/1.sh\n";
    let dump = "CREATE TABLE a ();\nALTER TABLE a OWNER TO postgres;\n".repeat(1000);
    let found_with = |roles: &str| found(&[("compose.yml", text), ("dump.sql", &dump), ("roles.sh", roles)]);
    assert_eq!(found_with("echo"), ["2 init-script-unknown-role"]);
    assert_eq!(found_with("createuser -U shop postgres\n"), Vec::<String>::new());
    assert_eq!(found_with("createuser -U postgres shop\n"), ["2 init-script-unknown-role"]);
}

#[test]
fn swarms_publish_once_and_a_seed_node_is_no_job() {
    let text = "services:\n  web:\n    image: nginx:1.27\n    ports: ['80:80']\n    deploy: { replicas: 2 }\n";
    assert_eq!(found(&[("compose.yml", text)]), ["4 replicas-fixed-name"]);
    for more in ["mode: replicated", "endpoint_mode: vip", "rollback_config: { parallelism: 1 }"] {
        let swarm = text.replacen("replicas: 2", &format!("replicas: 2, {more}"), 1);
        assert_eq!(found(&[("compose.yml", &swarm)]), Vec::<String>::new(), "{more}");
    }
    let overlay = format!("{text}networks: {{ public: {{ driver: overlay }} }}\n");
    assert_eq!(found(&[("compose.yml", &overlay)]), Vec::<String>::new());

    let seed = "services:\n  cassandra-seed:\n    image: cassandra:5.0\n    restart: always\n    healthcheck: { test: [CMD, nodetool, status], \
                start_period: 2m }\n";
    assert_eq!(found(&[("compose.yml", seed)]), Vec::<String>::new());
    let job = seed.replacen("    restart", "    command: cqlsh -f /schema.cql\n    restart", 1);
    assert_eq!(found(&[("compose.yml", &job)]), ["5 restart-one-shot"]);
}

#[test]
fn a_log_store_that_is_published_may_be_sent_to_from_outside() {
    let text = "services:\n  loki: { image: 'grafana/loki:2.9.10' }\n  grafana: { image: 'grafana/grafana:11.2.0' }\n";
    assert_eq!(found(&[("compose.yml", text)]), ["2 logs-not-shipped"]);
    let open = text.replacen("2.9.10'", "2.9.10', ports: ['3100:3100']", 1);
    assert_eq!(found(&[("compose.yml", &open)]), Vec::<String>::new());
    let with_program = format!("{open}  app: {{ image: 'registry.example.com/app:1' }}\n");
    assert_eq!(found(&[("compose.yml", &with_program)]), ["2 logs-not-shipped"], "its own logs are not sent");
}

#[test]
fn configs_are_mounts_of_their_files() {
    let logs = "services:\n  loki: { image: 'grafana/loki:2.9.10' }\n  grafana: { image: 'grafana/grafana:11.2.0' }\n  \
                app:\n    image: registry.example.com/app:1\n    configs: [{ source: logging, target: /etc/app.yml }]\n\
                configs: { logging: { file: app.yml } }\n";
    let sends = ("app.yml", "url: http://loki:3100/loki/api/v1/push\n");
    assert_eq!(found(&[("compose.yml", logs), sends]), Vec::<String>::new());
    assert_eq!(found(&[("compose.yml", logs), ("app.yml", "a: 1\n")]), ["2 logs-not-shipped"]);

    let scraped = "services:\n  prometheus:\n    image: prom/prometheus:v2.54.1\n    command: --config.file=/prometheus.yml\n    configs: [prometheus.yml]\n\
                   configs: { prometheus.yml: { file: ./mon/prometheus.yml } }\n";
    let config = "scrape_configs:\n  - job_name: node\n    static_configs:\n      - targets: ['nodes:9100']\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mon")).unwrap();
    std::fs::write(folder.path().join("compose.yml"), scraped).unwrap();
    std::fs::write(folder.path().join("mon/prometheus.yml"), config).unwrap();
    assert_eq!(rules_in(folder.path()), ["scrape-unknown-target"]);
}

#[test]
fn what_prometheus_reads_counts_from_the_included_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mon")).unwrap();
    let part = "services:\n  prometheus:\n    image: prom/prometheus:v2.54.1\n    volumes: ['./prometheus.yml:/etc/prometheus/prometheus.yml:ro']\n";
    let config = "scrape_configs:\n  - job_name: node\n    static_configs:\n      - targets: ['nodes:9100']\n";
    for (name, text) in [
        ("compose.yml", "include: [mon/compose.yml]\nservices:\n  web: { image: 'nginx:1.27' }\n"),
        ("mon/compose.yml", part),
        ("mon/prometheus.yml", config),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    assert_eq!(rules_in(folder.path()), ["scrape-unknown-target"]);
}

fn rules_in(folder: &Path) -> Vec<&'static str> {
    findings(&read(folder).unwrap()).iter().map(|finding| finding.rule).collect()
}

#[test]
fn nothing_is_said_to_be_missing_where_not_all_was_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("conf")).unwrap();
    let text = "services:\n  loki: { image: 'grafana/loki:2.9.10' }\n  grafana: { image: 'grafana/grafana:11.2.0' }\n  \
                tempo: { image: 'grafana/tempo:2.6.0' }\n  app:\n    image: registry.example.com/app:1\n    environment: { OTEL_SERVICE_NAME: app }\n    \
                volumes: ['./conf:/conf']\n";
    std::fs::write(folder.path().join("compose.yml"), text).unwrap();
    assert_eq!(rules_in(folder.path()), ["logs-not-shipped", "traces-not-sent"]);
    for number in 0..100 {
        std::fs::write(folder.path().join(format!("conf/{number}.yml")), "a: 1\n").unwrap();
    }
    assert_eq!(rules_in(folder.path()), Vec::<&str>::new());
    let not_checked = read(folder.path()).unwrap().not_checked;
    assert!(not_checked[0].starts_with("mounted configurations: there are more than are read"), "{not_checked:?}");
}
