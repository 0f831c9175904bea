//! Programs that keep data: a restart at the wrong moment costs more than an outage, so they are restarted only where
//! that was asked for by name.

use crate::supervise::Described;

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

/// Programs that start another one, which is named by their first argument that is no option; `tini -- postgres`.
const WRAPPERS: [&str; 14] = [
    "ash",
    "bash",
    "dash",
    "docker-entrypoint.sh",
    "dumb-init",
    "entrypoint.sh",
    "env",
    "exec",
    "gosu",
    "java",
    "setpriv",
    "sh",
    "su-exec",
    "tini",
];
/// Words that are looked at behind wrappers, at most.
const WORDS_READ: usize = 12;

/// Returns why a service is believed to keep data, by the names of its command, container or unit, and image, and by the
/// volumes that its image declares; none if nothing says so.
pub(super) fn what_keeps_data(command: &[String], described: &Described) -> Option<String> {
    let by_image = described.image.as_deref().and_then(of_image);
    let program = of_command(command).or(by_image).or_else(|| of_command(&described.command));
    let by_name = program.map(|program| format!("{program} keeps data"));
    by_name.or_else(|| described.volumes.first().map(|volume| format!("it keeps data in the volume {volume}")))
}

/// Returns which program that keeps data an image is by its name: its last part may say more than the program, those
/// before it are its makers' names, as in `mssql/server`.
fn of_image(image: &str) -> Option<&'static str> {
    let mut parts = image.rsplit('/');
    let last = parts.next()?.split([':', '@']).next()?.to_lowercase();
    if is_beside(&last) {
        return None;
    }
    let maker = || STATEFUL.into_iter().find(|program| parts.clone().any(|part| part == *program));
    named(&last).or_else(maker)
}

fn of_command(command: &[String]) -> Option<&'static str> {
    let mut words = command.iter().flat_map(|word| word.split_whitespace()).take(WORDS_READ);
    loop {
        let word = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
        let name = word.rsplit('/').next().unwrap_or(word).to_lowercase();
        if !WRAPPERS.contains(&name.as_str()) {
            return named(&name).filter(|_| !is_beside(&name));
        }
    }
}

fn named(name: &str) -> Option<&'static str> {
    STATEFUL.into_iter().find(|program| name.contains(program))
}

fn is_beside(name: &str) -> bool {
    NOT_STATEFUL.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_keeps_data_is_known_by_its_name() {
        for (name, expected) in [
            ("docker.io/library/postgres:16-alpine", Some("postgres")),
            ("ghcr.io/example/redis@sha256:00ff", Some("redis")),
            ("mcr.microsoft.com/mssql/server:2022-latest", Some("mssql")),
            ("postgis/postgis:16-3.4", Some("postgis")),
            ("qdrant/qdrant", Some("qdrant")),
            ("prom/mysqld-exporter", None),
            ("registry:5000/web", None),
            ("ghcr.io/postgres-fans/web", None),
        ] {
            assert_eq!(of_image(name), expected, "{name}");
        }
    }

    #[test]
    fn a_command_that_keeps_data_is_known_by_its_program() {
        for (command, expected) in [
            ("/usr/lib/postgresql/15/bin/postgres -D /data", Some("postgres")),
            ("postgresql@15-main.service", Some("postgres")),
            ("docker-entrypoint.sh redis-server --appendonly yes", Some("redis")),
            ("/bin/sh -c exec mongod --bind_ip_all", Some("mongo")),
            ("tini -- /opt/nats-server -js", Some("nats")),
            ("java -Xmx1g -jar /opt/elasticsearch.jar", Some("elasticsearch")),
            ("./api-gateway --database postgres://db/web", None),
            ("python sync_mysql.py", None),
        ] {
            let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
            assert_eq!(of_command(&words), expected, "{command}");
        }
    }

    #[test]
    fn an_image_that_declares_a_volume_keeps_data_whatever_its_name() {
        let described = Described {
            image: Some("sha256:00ff".to_owned()),
            volumes: vec!["/var/lib/ours".to_owned()],
            ..Described::default()
        };
        let why = what_keeps_data(&["web".to_owned()], &described);
        assert_eq!(why.as_deref(), Some("it keeps data in the volume /var/lib/ours"));
    }
}
