//! Debian's exporters for this machine, a PostgreSQL and a Redis, as Prometheus is told of them.

use std::path::Path;

use testkit::{Postgres, Redis, Server, free_port};

/// How many there are.
pub(crate) const EXPORTERS: usize = 3;

/// Running exporters, and what they ask.
pub(crate) struct Exporters {
    /// Each with the name of its job.
    servers: [(&'static str, Server); EXPORTERS],
    _asked: (Postgres, Redis),
}

impl Exporters {
    pub(crate) async fn start() -> Self {
        let (postgres, redis) = (Postgres::start().await, Redis::start().await);
        let [of_node, of_postgres, of_redis] = [(); EXPORTERS].map(|()| free_port());
        let node = Server::start(of_node, "prometheus-node-exporter", &[listen("--", of_node)]).await;
        // It is told by its environment alone.
        let source = format!("DATA_SOURCE_NAME={}?sslmode=disable", postgres.url());
        let arguments = [source, "prometheus-postgres-exporter".to_owned(), listen("--", of_postgres)];
        let to_postgres = Server::start(of_postgres, "env", &arguments).await;
        let arguments = [listen("-", of_redis), format!("-redis.addr={}", redis.url())];
        let to_redis = Server::start(of_redis, "prometheus-redis-exporter", &arguments).await;
        let servers = [("node", node), ("postgres", to_postgres), ("redis", to_redis)];
        Self { servers, _asked: (postgres, redis) }
    }

    /// Writes where they are into the folder that prometheus.yml names.
    pub(crate) fn write_targets(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        for (job, server) in &self.servers {
            let targets = format!("[{{ targets: [\"{}\"] }}]\n", server.addr());
            std::fs::write(folder.join(format!("{job}.yml")), targets).unwrap();
        }
    }
}

fn listen(dashes: &str, port: u16) -> String {
    format!("{dashes}web.listen-address=127.0.0.1:{port}")
}
