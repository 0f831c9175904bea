//! Programs that keep data: a restart at the wrong moment costs more than an outage, so they are restarted only where
//! that was asked for by name.

/// Parts of the names of programs, images and units that keep data on disk or the only copy of it in memory.
const STATEFUL: [&str; 32] = [
    "cassandra",
    "clickhouse",
    "cockroach",
    "consul",
    "couchdb",
    "elasticsearch",
    "etcd",
    "influxdb",
    "kafka",
    "mariadb",
    "meilisearch",
    "milvus",
    "minio",
    "mongo",
    "mssql",
    "mysql",
    "nats",
    "neo4j",
    "opensearch",
    "oracle",
    "pgvector",
    "postgis",
    "postgres",
    "qdrant",
    "rabbitmq",
    "redis",
    "redpanda",
    "timescale",
    "valkey",
    "vault",
    "weaviate",
    "zookeeper",
];
/// Those of them that only read what another keeps.
const NOT_STATEFUL: [&str; 4] = ["exporter", "proxy", "commander", "admin"];

/// Returns which program that keeps data a command, image or unit is by its name: `library/postgres:16` is postgres.
pub(super) fn stateful_program(name: &str) -> Option<&'static str> {
    let name = name.rsplit('/').next().unwrap_or(name);
    let name = name.split([':', '@']).next().unwrap_or(name).to_lowercase();
    if NOT_STATEFUL.iter().any(|word| name.contains(word)) {
        return None;
    }
    STATEFUL.into_iter().find(|program| name.contains(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_data_is_known_by_its_name() {
        for (name, expected) in [
            ("docker.io/library/postgres:16-alpine", Some("postgres")),
            ("/usr/lib/postgresql/15/bin/postgres", Some("postgres")),
            ("ghcr.io/example/redis@sha256:00ff", Some("redis")),
            ("postgresql@15-main.service", Some("postgres")),
            ("qdrant/qdrant", Some("qdrant")),
            ("prom/mysqld-exporter", None),
            ("./api-gateway", None),
            ("registry:5000/web", None),
        ] {
            assert_eq!(stateful_program(name), expected, "{name}");
        }
    }
}
