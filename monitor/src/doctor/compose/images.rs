//! What is known of an image from its name alone: the programs it lacks, where it listens, how slowly it starts.
//!
//! Only what a published Dockerfile or the vendor's word says; about any other image nothing is claimed.

use std::collections::{BTreeMap, BTreeSet};

/// What a program is for, as far as rules ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A base of one's own program.
    Base,
    /// Keeps data others come for: a database, queue or cache.
    Store,
    /// Shows or keeps telemetry; nothing may wait for it.
    Observability,
    /// Watches others; it must be up first.
    Monitor,
    /// Anything else.
    Other,
}

/// One well-known image.
#[derive(Debug)]
struct Known {
    /// The repository's end: `postgres`, `grafana/loki`.
    name: &'static str,
    kind: Kind,
    ports: &'static [u16],
    /// Programs that it lacks; `sh` means there is no shell, and nothing else either.
    lacks: &'static [&'static str],
    /// Paths a health check may ask for, if only these exist.
    wrong_path: Option<(&'static str, &'static str)>,
    /// Seconds a first start takes as a rule.
    starts_in_secs: u64,
    /// It brings its own HEALTHCHECK.
    has_health: bool,
}

const TOOLS: &[&str] = &["curl", "wget"];
const NOTHING: &[&str] = &["sh"];
const NO_CURL: &[&str] = &["curl"];
/// Without procps (Debian's slim images).
const SLIM: &[&str] = &["curl", "wget", "ps", "pgrep", "nc"];

const fn known(name: &'static str, kind: Kind, ports: &'static [u16], lacks: &'static [&'static str]) -> Known {
    Known { name, kind, ports, lacks, wrong_path: None, starts_in_secs: 0, has_health: false }
}

const fn slow(known: Known, starts_in_secs: u64) -> Known {
    Known { starts_in_secs, ..known }
}

const fn path(known: Known, wrong: &'static str, right: &'static str) -> Known {
    Known { wrong_path: Some((wrong, right)), ..known }
}

const fn healthy(known: Known) -> Known {
    Known { has_health: true, ..known }
}

/// Sources: the Dockerfiles of Docker's official images (github.com/docker-library), those in each project's own
/// repository, and where given: qdrant issues 3491 and 4250 (neither curl nor wget), minio issue 18389 (curl removed),
/// keycloak.org/server/containers (no package manager, no curl), MongoDB 6.0 release notes (the `mongo` shell removed),
/// mariadb.org Docker notes of 11.0 (`mysql*` names removed).
const KNOWN: &[Known] = &[
    path(known("qdrant/qdrant", Kind::Store, &[6333, 6334], TOOLS), "/health", "/healthz"),
    known("postgres", Kind::Store, &[5432], NO_CURL),
    known("pgvector/pgvector", Kind::Store, &[5432], TOOLS),
    known("postgis/postgis", Kind::Store, &[5432], NO_CURL),
    known("timescale/timescaledb", Kind::Store, &[5432], NO_CURL),
    slow(known("mysql", Kind::Store, &[3306, 33060], &["wget"]), 30),
    slow(known("mariadb", Kind::Store, &[3306], &["curl", "wget", "mysqladmin"]), 30),
    known("redis", Kind::Store, &[6379], NO_CURL),
    known("valkey/valkey", Kind::Store, &[6379], NO_CURL),
    known("memcached", Kind::Store, &[11211], NO_CURL),
    known("mongo", Kind::Store, &[27017], &["curl", "wget", "mongo"]),
    slow(known("rabbitmq", Kind::Store, &[5672, 15672, 15692, 5671, 15671, 25672], &[]), 30),
    known("nats", Kind::Store, &[4222, 8222, 6222], NOTHING),
    slow(known("apache/kafka", Kind::Store, &[9092], NO_CURL), 30),
    slow(known("confluentinc/cp-kafka", Kind::Store, &[9092], &[]), 30),
    slow(known("bitnami/kafka", Kind::Store, &[9092], &[]), 30),
    slow(known("zookeeper", Kind::Store, &[2181], &[]), 15),
    slow(known("elasticsearch", Kind::Store, &[9200, 9300], &[]), 60),
    slow(known("elasticsearch/elasticsearch", Kind::Store, &[9200, 9300], &[]), 60),
    slow(known("opensearchproject/opensearch", Kind::Store, &[9200, 9600], &[]), 60),
    slow(known("cassandra", Kind::Store, &[9042], &[]), 60),
    path(known("minio/minio", Kind::Store, &[9000, 9001], NO_CURL), "/health", "/minio/health/live"),
    known("clickhouse/clickhouse-server", Kind::Store, &[8123, 9000, 9009, 9363], NO_CURL),
    known("influxdb", Kind::Store, &[8086], &[]),
    slow(known("keycloak/keycloak", Kind::Other, &[8080, 9000], TOOLS), 60),
    slow(healthy(known("gitlab/gitlab-ce", Kind::Other, &[80, 443, 22], &[])), 300),
    slow(healthy(known("gitlab/gitlab-ee", Kind::Other, &[80, 443, 22], &[])), 300),
    slow(known("jenkins/jenkins", Kind::Other, &[8080, 50000], &[]), 60),
    slow(known("sonarqube", Kind::Other, &[9000], &[]), 60),
    known("nginx", Kind::Other, &[80], &[]),
    known("httpd", Kind::Other, &[80], TOOLS),
    known("caddy", Kind::Other, &[80, 443, 2019], NO_CURL),
    known("traefik", Kind::Other, &[80, 443, 8080], NO_CURL),
    known("haproxy", Kind::Other, &[], TOOLS),
    known("wordpress", Kind::Other, &[80], &[]),
    known("nextcloud", Kind::Other, &[80], &[]),
    known("adminer", Kind::Other, &[8080], NO_CURL),
    healthy(known("axllent/mailpit", Kind::Other, &[1025, 8025], NO_CURL)),
    known("hashicorp/http-echo", Kind::Other, &[5678], NOTHING),
    known("traefik/whoami", Kind::Other, &[80], NOTHING),
    path(known("prom/prometheus", Kind::Monitor, &[9090], NO_CURL), "/health", "/-/healthy"),
    path(known("prom/alertmanager", Kind::Observability, &[9093], NO_CURL), "/health", "/-/healthy"),
    known("prom/blackbox-exporter", Kind::Monitor, &[9115], NO_CURL),
    known("prom/node-exporter", Kind::Observability, &[9100], NO_CURL),
    known("prom/pushgateway", Kind::Observability, &[9091], NO_CURL),
    known("prom/statsd-exporter", Kind::Observability, &[9102, 9125], NO_CURL),
    known("prom/mysqld-exporter", Kind::Observability, &[9104], NO_CURL),
    known("prometheuscommunity/postgres-exporter", Kind::Observability, &[9187], NO_CURL),
    known("oliver006/redis_exporter", Kind::Observability, &[9121], NOTHING),
    healthy(known("cadvisor/cadvisor", Kind::Observability, &[8080], NO_CURL)),
    path(known("grafana/grafana", Kind::Observability, &[3000], &[]), "/health", "/api/health"),
    path(known("grafana/grafana-oss", Kind::Observability, &[3000], &[]), "/health", "/api/health"),
    path(known("grafana/loki", Kind::Observability, &[3100, 9095], NO_CURL), "/health", "/ready"),
    path(known("grafana/tempo", Kind::Observability, &[3200, 4317, 4318], NO_CURL), "/health", "/ready"),
    path(known("grafana/mimir", Kind::Observability, &[8080, 9009], NOTHING), "/health", "/ready"),
    known("grafana/promtail", Kind::Observability, &[9080], &[]),
    known("grafana/alloy", Kind::Observability, &[12345], &[]),
    known(
        "jaegertracing/all-in-one",
        Kind::Observability,
        &[16686, 14268, 14269, 4317, 4318, 5775, 5778, 6831, 6832, 14250, 9411],
        NO_CURL,
    ),
    known("openzipkin/zipkin", Kind::Observability, &[9411], &[]),
    known("otel/opentelemetry-collector", Kind::Observability, &[4317, 4318, 13133, 8888], NOTHING),
    known("otel/opentelemetry-collector-contrib", Kind::Observability, &[4317, 4318, 13133, 8888], NOTHING),
    known("twinproduction/gatus", Kind::Monitor, &[8080], NOTHING),
    healthy(known("louislam/uptime-kuma", Kind::Monitor, &[3001], &[])),
    known("python", Kind::Base, &[], &[]),
    known("node", Kind::Base, &[], &[]),
    known("ruby", Kind::Base, &[], &[]),
    known("rust", Kind::Base, &[], &[]),
    known("golang", Kind::Base, &[], &[]),
    known("php", Kind::Base, &[], &["wget"]),
    known("debian", Kind::Base, &[], SLIM),
    known("ubuntu", Kind::Base, &[], &["curl", "wget", "nc"]),
    known("alpine", Kind::Base, &[], NO_CURL),
    known("busybox", Kind::Base, &[], NO_CURL),
    known("scratch", Kind::Base, &[], NOTHING),
];

/// Where these listen stands in files of their own, beside the ports that their images name.
const TOLD_BY_FILES: [&str; 11] = [
    "nginx",
    "httpd",
    "caddy",
    "traefik",
    "haproxy",
    "envoy",
    "kong",
    "opentelemetry-collector",
    "opentelemetry-collector-contrib",
    "alloy",
    "nats",
];

/// Busybox brings these (busybox.net/downloads/BusyBox.html; Alpine and the official `busybox` build them in).
const OF_BUSYBOX: [&str; 6] = ["wget", "nc", "ps", "pgrep", "grep", "sh"];

/// Programs that come with a system or a package, never with one's own program.
const OF_SYSTEMS: [&str; 12] =
    ["sh", "bash", "curl", "wget", "nc", "ps", "pgrep", "grep", "python", "python3", "node", "perl"];

/// What is known of a service's image: from its name, from its Dockerfile, or because an engine looked into it.
#[derive(Debug, Clone, Default)]
pub struct ImageFacts {
    /// Programs that were looked for, and whether they are there.
    pub programs: BTreeMap<String, bool>,
    /// Nothing but one's own program is in it.
    pub is_empty: bool,
    /// Whether it brings a health check; none if unknown.
    pub has_health: Option<bool>,
    /// Ports its program listens on if not told otherwise.
    pub ports: BTreeSet<u16>,
    /// A path that does not exist there, and the one that does.
    pub wrong_path: Option<(&'static str, &'static str)>,
    /// Seconds a first start takes as a rule; 0 if unknown.
    pub starts_in_secs: u64,
    /// What it is for.
    pub kind: Option<Kind>,
    /// The image's name without registry and tag.
    pub name: String,
    /// Where its environment or command sets a port (a Dockerfile's `ENV PORT`).
    pub port_variable: Option<u16>,
}

impl ImageFacts {
    /// Returns what the name tells.
    pub fn of(image: &str) -> Self {
        let (repository, tag) = split(image);
        let name = repository.rsplit_once('/').map_or(repository, |(_, last)| last);
        let mut facts = Self { name: name.to_owned(), ..Self::default() };
        if repository.starts_with("gcr.io/distroless/") && !tag.contains("debug") {
            (facts.is_empty, facts.has_health, facts.kind) = (true, Some(false), Some(Kind::Base));
            return facts;
        }
        // `docker.io/library/postgres` is `postgres`, somebody's own `me/postgres` is not.
        let is = |known: &&Known| match known.name.contains('/') {
            true => repository == known.name || repository.ends_with(&format!("/{}", known.name)),
            false => repository.strip_prefix("docker.io/library/").unwrap_or(repository) == known.name,
        };
        let Some(known) = KNOWN.iter().find(is) else { return facts };
        facts.kind = Some(known.kind);
        facts.has_health = Some(known.has_health);
        facts.ports = known.ports.iter().copied().collect();
        (facts.wrong_path, facts.starts_in_secs) = (known.wrong_path, known.starts_in_secs);
        let is_alpine = tag.contains("alpine") || matches!(known.name, "alpine" | "busybox");
        facts.is_empty = known.lacks.contains(&"sh") && !is_alpine;
        let mut lacks = known.lacks;
        if tag.contains("slim") && known.kind == Kind::Base {
            lacks = SLIM;
        }
        // The full Debian ones of languages come with both (buildpack-deps); of Alpine only curl is known to lack.
        if is_alpine && known.kind == Kind::Base {
            lacks = NO_CURL;
        } else if matches!(known.name, "postgres" | "redis" | "memcached") {
            lacks = TOOLS;
        }
        let missing = lacks.iter().filter(|program| !(is_alpine && OF_BUSYBOX.contains(program)));
        facts.programs.extend(missing.map(|program| ((*program).to_owned(), false)));
        facts
    }

    /// Returns whether a program is there; none if unknown.
    pub fn has(&self, program: &str) -> Option<bool> {
        match self.programs.get(program) {
            None if self.is_empty && OF_SYSTEMS.contains(&program) => Some(false),
            known => known.copied(),
        }
    }

    /// Returns true if a file may tell it to listen elsewhere.
    pub fn is_told_by_files(&self) -> bool {
        TOLD_BY_FILES.contains(&self.name.as_str())
    }

    /// Returns true if it is of this kind.
    pub fn is(&self, kind: Kind) -> bool {
        self.kind == Some(kind)
    }
}

/// Splits an image reference into repository and tag (a digest counts as a tag).
pub(in crate::doctor) fn split(image: &str) -> (&str, &str) {
    if let Some((name, digest)) = image.split_once('@') {
        return (name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(name, _)| name), digest);
    }
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_image_lacks_is_known_by_its_name() {
        for (image, program, expected) in [
            ("qdrant/qdrant:v1.7.3", "wget", Some(false)),
            ("python:3.11-slim", "curl", Some(false)),
            ("python:3.11", "curl", None),
            ("node:22-alpine3.20", "curl", Some(false)),
            ("node:22-alpine", "wget", None),
            ("docker.io/library/postgres:16", "curl", Some(false)),
            ("postgres:16-alpine", "wget", None),
            ("me/postgres:16", "curl", None),
            ("gcr.io/distroless/static-debian12", "sh", Some(false)),
            ("gcr.io/distroless/base:debug", "sh", None),
            ("registry.example.com:5000/grafana/loki:3.0.0", "curl", Some(false)),
            ("otel/opentelemetry-collector:0.100.0", "wget", Some(false)),
            ("nats:2.10", "wget", Some(false)),
            ("nats:2.10-alpine", "wget", None),
            ("nats:2.10-alpine", "sh", None),
        ] {
            assert_eq!(ImageFacts::of(image).has(program), expected, "{image} {program}");
        }
    }

    #[test]
    fn a_reference_is_split_where_the_tag_begins() {
        assert_eq!(split("a:1"), ("a", "1"));
        assert_eq!(split("host:5000/a"), ("host:5000/a", ""));
        assert_eq!(split("a:1@sha256:00"), ("a", "sha256:00"));
    }
}
