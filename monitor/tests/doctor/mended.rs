//! Each mistake in a few lines, found at its line, and gone once the fix is written; and what looks like one but is none.

use super::{findings, read};

/// Returns the findings of a project of these files, as `LINE RULE`.
pub(super) fn found(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let project = read(folder.path()).unwrap();
    findings(&project).iter().map(|finding| format!("{} {}", finding.line, finding.rule)).collect()
}

/// The services `api` (ours, on 8080) and `db`, both fine.
const GOOD: &str = "\
services:
  api:
    image: registry.example.com/api:1.0
    environment: { PORT: 8080, DB: postgres://db:5432/x }
    depends_on: { db: { condition: service_healthy } }
    healthcheck: { test: [CMD, /api, check], start_period: 1m }
  db:
    image: postgres:16
    healthcheck: { test: [CMD, pg_isready], start_period: 1m }
";

fn check(wrong: &[(&str, &str)], expected: &[&str]) {
    let text = wrong.iter().fold(GOOD.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    });
    assert_eq!(found(&[("compose.yml", &text)]), expected, "{text}");
}

#[test]
fn each_mistake_is_found_at_its_line_and_goes_with_its_fix() {
    check(&[], &[]);
    for (from, to, expected) in [
        ("[CMD, pg_isready]", "[CMD, curl, -f, 'http://x/']", &["5 gate-never-opens", "9 health-program-missing"][..]),
        ("[CMD, pg_isready]", "[CMD-SHELL, pgrep -f postgres]", &["9 health-matches-itself"]),
        ("[CMD, pg_isready]", "[CMD-SHELL, 'pg_isready || true']", &["9 health-never-fails"]),
        ("[CMD, pg_isready]", "[CMD-SHELL, 'pg_isready; exit 0']", &["9 health-never-fails"]),
        ("[CMD, pg_isready]", "[CMD-SHELL, echo ok]", &["9 health-never-fails"]),
        ("[CMD, /api, check]", "[CMD, ask, 'http://localhost:9999/']", &["6 health-wrong-port"]),
        ("[CMD, /api, check]", "curl http://localhost:8080/", &["6 health-curl-without-fail"]),
        (
            "test: [CMD, /api, check], start_period: 1m",
            "test: [CMD, /api, check], interval: 5s",
            &["6 health-no-start-period"],
        ),
        ("start_period: 1m }\n  db", "start_period: 1m, timeout: 31s }\n  db", &["6 health-timeout-too-long"]),
        ("    healthcheck: { test: [CMD, pg_isready], start_period: 1m }\n", "", &["5 gate-without-health"]),
        ("{ db: { condition", "{ dbb: { condition", &["5 gate-unknown-service"]),
        ("    image: postgres:16\n", "    image: postgres:16\n    depends_on: [api]\n", &["5 gate-cycle"]),
        ("service_healthy } }", "service_completed_successfully } }", &[]),
        ("postgres://db:5432/x", "postgres://localhost/x", &["4 localhost-target"]),
        ("postgres://db:5432/x", "postgres://127.0.0.1:5432/x", &["4 localhost-target"]),
        ("DB: postgres://db:5432/x", "PG_HOST: '::1'", &["4 localhost-target"]),
        ("postgres://db:5432/x", "postgres://db:5433/x", &["4 wrong-target-port"]),
        ("postgres://db:5432/x", "postgres://shop-db-1/x", &["4 container-name-target"]),
        ("postgres://db:5432/x", "postgres://database/x", &["4 target-unknown-service"]),
        ("    depends_on", "    ports: ['80:3000']\n    depends_on", &["5 published-port-not-listened"]),
        ("postgres:16", "postgres", &["8 image-not-pinned"]),
        (
            "    healthcheck: { test: [CMD, pg_isready], start_period: 1m }\n",
            "    restart: always\n",
            &["5 gate-without-health", "9 restart-unchecked"],
        ),
        (
            "    healthcheck: { test: [CMD, pg_isready], start_period: 1m }\n",
            "    restart: on-failure\n",
            &["5 gate-without-health", "9 restart-unchecked"],
        ),
        (
            "    healthcheck: { test: [CMD, pg_isready], start_period: 1m }\n",
            "    deploy: { restart_policy: { condition: any } }\n",
            &["5 gate-without-health", "9 restart-unchecked"],
        ),
        (
            "[CMD, pg_isready], start_period: 1m }",
            "[CMD-SHELL, pgrep -f postgres], start_period: 1m }\n    restart: always",
            &["9 health-matches-itself", "10 restart-unchecked"],
        ),
        (
            "PORT: 8080, DB: postgres://db:5432/x }",
            "PORT: 8080, CACHE_TTL: 5m }\n    restart: always",
            &["4 setting-not-a-number", "5 restart-without-limit"],
        ),
        (
            "    depends_on",
            "    restart: always\n    command: uvicorn api:app --reload\n    depends_on",
            &["6 restart-behind-reloader"],
        ),
        (
            "    depends_on",
            "    restart: always\n    command: sh -c 'apk add curl && /api'\n    depends_on",
            &["5 restart-without-limit", "6 installs-at-start"],
        ),
        ("    depends_on", "    command: sh -c 'apk add curl && /api'\n    depends_on", &["5 installs-at-start"]),
        (
            "    depends_on",
            "    command: sh -c 'curl -fsSL http://x.example.com/i | sh; /api'\n    depends_on",
            &["5 installs-at-start"],
        ),
        ("PORT: 8080", "PORT: 8080, MAX_FILE_SIZE: 10MB", &["4 setting-not-a-number"]),
        ("PORT: 8080", "PORT: 8080, ALLOWED_HOSTS: \"['a', 'b']\"", &["4 setting-not-a-list"]),
        ("PORT: 8080", "PORT: 8080, ALLOWED_HOSTS: 'a,b', CORS_ORIGINS: '[\"a\"]'", &["4 setting-not-a-list"]),
        (
            "PORT: 8080, DB: postgres://db:5432/x }",
            "PORT: 8080, ALLOWED_EXTENSIONS: 'pdf,txt' }\n    command: python -m api\n    restart: unless-stopped",
            &["4 setting-not-a-list", "6 restart-without-limit"],
        ),
        ("PORT: 8080", "PORT: 8080, REGION: '${NOBODY_SETS_IT}'", &["4 variable-unset"]),
        ("PORT: 8080", "PORT: 8080, MAIL_PASSWORD: hunter2", &["4 secret-in-file"]),
        ("postgres://db:5432/x", "postgres://me:hunter2@db:5432/x", &["4 secret-in-file"]),
        (
            "    image: postgres:16\n",
            "    image: postgres:16\n    volumes: ['/var/run/docker.sock:/s']\n",
            &["9 docker-socket"],
        ),
        (
            "    image: postgres:16\n",
            "    image: postgres:16\n    volumes: ['/var/run/docker.sock:/s:ro']\n",
            &["9 docker-socket"],
        ),
    ] {
        check(&[(from, to)], expected);
    }
}

#[test]
fn what_only_looks_like_a_mistake_is_left_alone() {
    for (from, to) in [
        // Its own health check asks itself.
        ("[CMD, /api, check]", "[CMD-SHELL, 'curl -fsS http://127.0.0.1:8080/ || exit 1']"),
        ("[CMD, /api, check]", "[CMD-SHELL, 'wget -qO- localhost:8080/health | grep -q ok']"),
        ("[CMD, /api, check]", "[CMD-SHELL, \"pgrep -f '[a]pi serve'\"]"),
        ("[CMD, /api, check]", "[CMD-SHELL, 'ps aux | grep \"api serve\" | grep -v grep']"),
        ("PORT: 8080", "PORT: 8080, STACK: '${COMPOSE_PROJECT_NAME}'"),
        ("PORT: 8080", "PORT: 8080, NEXTAUTH_URL: 'http://localhost:5432'"),
        ("[CMD, /api, check]", "[CMD-SHELL, 'pg_isready && echo ok']"),
        ("[CMD, pg_isready]", "[CMD-SHELL, 'curl -f http://x/ || pg_isready']"),
        (
            "[CMD, /api, check]",
            "[CMD, python, -c, \"import sys, urllib.request as r; r.urlopen('http://localhost:8080'); sys.exit(0)\"]",
        ),
        // What a browser reads, what it binds to, what another host is.
        ("DB: postgres://db:5432/x", "CORS_ORIGINS: 'http://localhost:5432'"),
        ("DB: postgres://db:5432/x", "BIND: 'http://0.0.0.0:5432'"),
        ("DB: postgres://db:5432/x", "DB: 'postgres://db.example.com:5433/x'"),
        ("PORT: 8080", "PORT: 8080, REDIS_PORT: 'tcp://10.0.0.1:6379'"),
        // A second port that it is told of.
        ("PORT: 8080", "PORT: 8080, ADMIN_PORT: 9000"),
        ("PORT: 8080", "PORT: 8080, MAIL_PASSWORD_FILE: /run/secrets/mail"),
        ("PORT: 8080", "PORT: 8080, MAIL_PASSWORD: '${MAIL_PASSWORD:?}'"),
        ("PORT: 8080", "PORT: 8080, CACHE_SIZE: 10MB, IDLE_TIMEOUT: 30s"),
        // Whoever splits at commas may have them; other brackets are no lists.
        ("PORT: 8080", "PORT: 8080, ALLOWED_EXTENSIONS: 'pdf,txt', ALLOWED_HOSTS: 'a,b'"),
        ("PORT: 8080", "PORT: 8080, CORS_ORIGINS: '[\"a\", \"b\"]', MATCH: '{\"a\": 1, \"b\": 2}', PEERS: 'a,b'"),
        ("PORT: 8080", "PORT: 8080, LISTEN: '[::]:80,[::]:81', BIND: '[::1]'"),
        ("PORT: 8080", "PORT: 8080, PATTERN: '[a-z,A-Z]', HTTP_PROXY: 'http://proxy:3128'"),
        // What is tried again for ever, and no reason why it should end.
        ("    depends_on", "    restart: on-failure\n    depends_on"),
        (
            "    depends_on",
            "    restart: unless-stopped\n    command: node server.js --watch-dir /data\n    depends_on",
        ),
        ("    depends_on", "    restart: 'no'\n    command: uvicorn app:app --reload\n    depends_on"),
        // Built here: the name is what is made, not what is pulled.
        (
            "    image: postgres:16\n",
            "    image: postgres:16@sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1\n",
        ),
        ("    depends_on", "    command: npm start -- --install-hooks\n    depends_on"),
        ("    depends_on", "    restart: always\n    depends_on"),
    ] {
        check(&[(from, to)], &[]);
    }
}

#[test]
fn jobs_instances_and_replicas() {
    let job = "  migrate:\n    image: registry.example.com/api:1.0\n    command: /api migrate\n    restart: \"no\"\n";
    let gated =
        GOOD.replacen("service_healthy", "service_healthy }, migrate: { condition: service_completed_successfully", 1);
    let text = format!("{gated}{job}");
    assert_eq!(found(&[("compose.yml", &text)]), Vec::<String>::new());
    let text = text.replacen("\"no\"", "always", 1);
    assert_eq!(found(&[("compose.yml", &text)]), ["5 gate-on-restarting-job", "13 restart-one-shot"]);

    let queues = "services:\n  cache: { image: 'redis:7' }\n  jobs: { image: 'redis:7' }\n  writer:\n    image: e.example.com/w:1\n    \
                  environment: { REDIS_URL: 'redis://jobs:6379', QUEUE: jobs }\n  reader:\n    image: e.example.com/r:1\n    \
                  environment: { REDIS_URL: 'redis://cache:6379', QUEUE: jobs }\n";
    assert_eq!(found(&[("compose.yml", queues)]), ["9 wrong-instance"]);
    assert_eq!(found(&[("compose.yml", &queues.replacen("redis://cache", "redis://jobs", 1))]), Vec::<String>::new());

    let many = "services:\n  web:\n    image: nginx:1.27\n    ports: ['80:80']\n    deploy: { replicas: 2 }\n";
    assert_eq!(found(&[("compose.yml", many)]), ["4 replicas-fixed-name"]);
    assert_eq!(found(&[("compose.yml", &many.replacen("80:80", "80-81:80", 1))]), Vec::<String>::new());
    assert_eq!(found(&[("compose.yml", &many.replacen("80:80", "80", 1))]), Vec::<String>::new());
}

#[test]
fn a_port_that_only_the_dockerfile_tells_is_known() {
    let text = "services:\n  ai:\n    build: .\n    ports: ['8006:8006']\n    healthcheck:\n      test: curl -f http://localhost:8006/health\n      \
                start_period: 1m\n";
    let dockerfile = ("Dockerfile", "FROM python:3.12\nENV PORT=8200\nCMD [\"python\", \"-m\", \"src.main\"]\n");
    assert_eq!(found(&[("compose.yml", text), dockerfile]), ["4 published-port-not-listened", "6 health-wrong-port"]);
    let mended = text.replacen("8006:8006", "8006:8200", 1).replacen("localhost:8006", "localhost:8200", 1);
    assert_eq!(found(&[("compose.yml", &mended), dockerfile]), Vec::<String>::new());
}

#[test]
fn networks_and_scrapes_are_read_from_the_files_beside() {
    let own = "services:\n  web: { image: 'nginx:1.27', networks: [shop] }\nnetworks:\n  shop:\n    external: true\n";
    let other = "services:\n  db: { image: 'postgres:16' }\nnetworks:\n  shop: {}\n";
    let files = |other| [("compose.yml", own), ("compose.db.yml", other)];
    assert_eq!(found(&files(other)), ["4 external-network-prefix"]);
    assert_eq!(found(&files(&other.replacen("{}", "{ name: shop }", 1))), Vec::<String>::new());

    let compose = "services:\n  prometheus:\n    image: prom/prometheus:v2.54.1\n    volumes:\n      - ./prometheus.yml:/etc/prometheus/prometheus.yml:ro\n      \
                   - ./rules.yml:/etc/prometheus/rules.yml:ro\n  node: { image: 'prom/node-exporter:v1.8.2' }\n";
    let config = "rule_files: [rules.yml]\nscrape_configs:\n  - job_name: node\n    static_configs:\n      - targets: ['node:9100']\n";
    let scraped = |config: &str| found(&[("compose.yml", compose), ("prometheus.yml", config)]);
    assert_eq!(scraped(config), Vec::<String>::new());
    assert_eq!(
        scraped(&config.replacen("node:9100", "nodes:9100", 1)),
        ["7 metrics-not-scraped", "5 scrape-unknown-target"]
    );
    assert_eq!(scraped(&config.replacen("node:9100", "node:9101", 1)), ["5 scrape-unknown-target"]);
    assert_eq!(scraped(&config.replacen("[rules.yml]", "[other.yml]", 1)), ["1 alert-rules-not-mounted"]);

    // Where the command says that it is.
    let elsewhere = compose.replacen("/etc/prometheus/prometheus.yml", "/etc/metrics.yaml", 1);
    let told = elsewhere.replacen("    volumes", "    command: --config.file=/etc/metrics.yaml\n    volumes", 1);
    let wrong = config.replacen("node:9100", "nodes:9100", 1).replacen("rule_files: [rules.yml]\n", "", 1);
    let files = [("compose.yml", told.as_str()), ("prometheus.yml", wrong.as_str())];
    assert_eq!(found(&files), ["8 metrics-not-scraped", "4 scrape-unknown-target"]);

    // Rules that have alerts, and who is to hear of them.
    let rules = "groups: [{ name: a, rules: [{ alert: Down, expr: up == 0 }] }]\n";
    let alerting = |compose: &str, config: &str| {
        found(&[("compose.yml", compose), ("prometheus.yml", config), ("rules.yml", rules)])
    };
    assert_eq!(alerting(compose, config), ["1 alerts-go-nowhere"]);
    let told =
        format!("{config}alerting:\n  alertmanagers:\n    - static_configs: [{{ targets: ['manager:9093'] }}]\n");
    assert_eq!(alerting(compose, &told), ["8 alerts-go-nowhere"]);
    let manager = format!("{compose}  manager: {{ image: 'prom/alertmanager:v0.27.0' }}\n");
    assert_eq!(alerting(&manager, &told.replacen("9100']", "9100', 'manager:9093']", 1)), Vec::<String>::new());
    let recording = rules.replacen("alert: Down", "record: down", 1);
    let files = [("compose.yml", compose), ("prometheus.yml", config), ("rules.yml", recording.as_str())];
    assert_eq!(found(&files), Vec::<String>::new());
}

#[test]
fn what_is_said_of_a_mistake_tells_no_secret() {
    let text = "services:\n  app:\n    image: registry.example.com/app:1\n    restart: always\n    environment:\n      API_KEYS: \"['hunter2', 'hunter3']\"\n      \
                METRICS: http://me:hunter2@prometheus:9090/api/v1/write\n  prometheus: { image: 'prom/prometheus:v3.0.1' }\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("compose.yml"), text).unwrap();
    let found = findings(&read(folder.path()).unwrap());
    let rules: Vec<&str> = found.iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, ["restart-without-limit", "setting-not-a-list", "secret-in-file", "remote-write-refused"]);
    let said: String = found.iter().map(|finding| format!("{} {}\n", finding.message, finding.fix)).collect();
    assert!(!said.contains("hunter"), "{said}");
    assert!(said.contains("API_KEYS=… is no JSON list") && said.contains("http://me:***@prometheus:9090"), "{said}");
}

#[test]
fn names_that_others_answer_to_are_known() {
    let text =
        "services:\n  web:\n    image: registry.example.com/web:1\n    environment: { API: 'http://api:8080/' }\n";
    assert_eq!(found(&[("compose.yml", text)]), ["4 target-unknown-service"]);
    for more in [
        "    extra_hosts: ['api:192.0.2.7']\n",
        "    extra_hosts: { api: 192.0.2.7 }\n",
        "    external_links: ['other_api_1:api']\n",
        "    network_mode: host\n",
        "    networks: [shared]\nnetworks: { shared: { external: true, name: shared } }\n",
        "networks: { default: { external: true, name: shared } }\n",
        "  api: { image: 'registry.example.com/api:1', profiles: [full] }\n",
        "  gate:\n    image: registry.example.com/gate:1\n    networks: { default: { aliases: [api] } }\n",
    ] {
        assert_eq!(found(&[("compose.yml", &format!("{text}{more}"))]), Vec::<String>::new(), "{more}");
    }
}

#[test]
fn a_later_file_is_laid_over_an_earlier_one_and_services_extend_others() {
    let base = "x-check: &check { test: [CMD, /api, check], start_period: 1m }\n\
                services:\n  api:\n    image: registry.example.com/api\n    environment: [A=1]\n    healthcheck: *check\n  \
                job:\n    extends: api\n    profiles: [once]\n    restart: always\n";
    let over = "services:\n  api:\n    image: registry.example.com/api:${TAG:-1.0}\n    environment: { B: '2' }\n";
    assert_eq!(found(&[("compose.yml", base)]), ["4 image-not-pinned"]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("compose.yml"), base).unwrap();
    std::fs::write(folder.path().join("compose.override.yml"), over).unwrap();
    let project = read(folder.path()).unwrap();
    assert_eq!(findings(&project).len(), 0, "{:?}", findings(&project));
    let api = project.service("api").unwrap();
    assert_eq!((api.variable("A"), api.variable("B")), (Some("1"), Some("2")));
    assert_eq!(api.image.as_ref().unwrap().text, "registry.example.com/api:1.0");
    assert_eq!(project.inactive, ["job"]);
    let files = vec![folder.path().join("compose.yml")];
    let request = monitor::doctor::compose::Request { files, profiles: vec!["once".to_owned()], ..Default::default() };
    let project = monitor::doctor::compose::load(&request).unwrap();
    assert!(project.service("job").unwrap().health.as_ref().unwrap().runs());
    for (text, expected) in [
        ("a: 1\n", "compose.yml: expected \"services\", a mapping of names to services; this is no compose file"),
        ("services: [a]\n", "compose.yml:1:11: expected \"services\""),
        ("- a\n", "compose.yml:1:1: expected a mapping with services, found a list"),
    ] {
        std::fs::write(folder.path().join("compose.yml"), text).unwrap();
        std::fs::remove_file(folder.path().join("compose.override.yml")).unwrap_or_default();
        let error = read(folder.path()).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    // What is no service, port or check is left to Compose.
    let odd =
        "services:\n  a:\n  b: 3\n  c: { ports: 3, environment: 4, healthcheck: x, depends_on: 5, volumes: {} }\n";
    assert_eq!(found(&[("compose.yml", odd)]), Vec::<String>::new());
    // A service that extends itself, and a file that includes itself, end with words.
    for text in ["services:\n  a: { extends: a }\n", "include: [compose.yml]\nservices: {}\n"] {
        std::fs::write(folder.path().join("compose.yml"), text).unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(error.contains("extends itself") || error.contains("includes or extends itself"), "{error}");
    }
}

#[test]
fn variables_come_from_the_file_beside_and_a_comment_ignores_one_finding() {
    let text = "services:\n  web:\n    image: nginx:${NGINX_TAG_OF_TEST}\n    hostname: ${HOST_OF_TEST}\n";
    assert_eq!(found(&[("compose.yml", text)]), ["3 variable-unset", "4 variable-unset"]);
    let env = (".env", "NGINX_TAG_OF_TEST=1.27\nHOST_OF_TEST=web\n");
    assert_eq!(found(&[("compose.yml", text), env]), Vec::<String>::new());
    let ignored = "services:\n  web:\n    # doctor: ignore image-not-pinned built every night\n    image: nginx\n";
    assert_eq!(found(&[("compose.yml", ignored)]), Vec::<String>::new());
}

#[test]
fn servers_that_files_tell_where_to_listen_are_asked_there() {
    let compose = "\
services:
  prometheus:
    image: prom/prometheus:v2.54.1
    volumes: ['./prometheus.yml:/etc/prometheus/prometheus.yml:ro']
    networks: [default, others]
  otel-collector:
    image: otel/opentelemetry-collector-contrib:0.100.0
    volumes: ['./otel.yml:/etc/otelcol-contrib/config.yaml:ro']
  broker:
    image: rabbitmq:3.13-management
  web:
    image: nginx:1.27
    volumes: ['./Nginxfile:/etc/nginx/conf.d/default:ro']
    healthcheck: { test: [CMD, curl, -f, 'http://localhost:8080/'], start_period: 1m }
  node-exporter:
    image: prom/node-exporter:v1.8.2
  queue:
    image: nats:2.10-alpine
    healthcheck: { test: [CMD, wget, -q, -O, /dev/null, 'http://localhost:8222/healthz'], start_period: 1m, timeout: 30s }
networks:
  others: { external: true }
";
    let config = "\
scrape_configs:
  - job_name: apps
    static_configs: [{ targets: ['otel-collector:8889', 'broker:15692', 'shop-api:8000'] }]
  - job_name: nodes
    static_configs: [{ targets: ['node-exporter:9100'] }]
    relabel_configs: [{ target_label: instance, replacement: here }]
";
    let files = [
        ("compose.yml", compose),
        ("prometheus.yml", config),
        ("otel.yml", "exporters: { prometheus: { endpoint: '0.0.0.0:8889' } }\n"),
        ("Nginxfile", "server { listen 8080; }\n"),
    ];
    assert_eq!(found(&files), Vec::<String>::new());
    // Without a file of its own, and in nobody else's network, the same are mistakes.
    let bare = compose.replacen("    volumes: ['./otel.yml:/etc/otelcol-contrib/config.yaml:ro']\n", "", 1);
    let bare = bare.replacen("    networks: [default, others]\n", "", 1);
    let bare = [("compose.yml", bare.as_str()), ("prometheus.yml", config)];
    assert_eq!(found(&bare), ["3 scrape-unknown-target", "3 scrape-unknown-target"]);
}

#[test]
fn a_health_check_to_paste_is_yaml_and_means_what_it_says() {
    for (test, expected) in [
        (
            r#"'curl -H "Host: es" http://localhost:8080/'"#,
            r#"[CMD-SHELL, curl --fail -H "Host: es" http://localhost:8080/]"#,
        ),
        ("[CMD, /usr/bin/curl, 'http://localhost:8080/']", "[CMD, /usr/bin/curl, --fail, http://localhost:8080/]"),
        (r#"[CMD-SHELL, 'curl http://localhost:$$PORT/']"#, "[CMD-SHELL, curl --fail http://localhost:$$PORT/]"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let text = GOOD.replacen("[CMD, /api, check]", test, 1);
        std::fs::write(folder.path().join("compose.yml"), text).unwrap();
        let all = findings(&read(folder.path()).unwrap());
        let fix = &all.iter().find(|finding| finding.rule == "health-curl-without-fail").unwrap().fix;
        let pasted = kit::config::Node::parse("fix.yml", fix).unwrap();
        let words = pasted.child("healthcheck").and_then(|health| health.child("test")).unwrap();
        let kit::config::Value::List(words) = &words.value else { panic!("{fix}") };
        let words: Vec<String> = words.iter().map(|word| word.scalar_text().unwrap()).collect();
        assert_eq!(format!("[{}]", words.join(", ")), expected);
    }
}
