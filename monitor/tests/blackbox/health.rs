//! Prober `grpc`, with the health service of PyPI.

use testkit::{Authority, Server, Target, free_port, installed};

use crate::both::Case;

const SERVER: &str = r#"
import grpc, sys
from concurrent import futures
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

server = grpc.server(futures.ThreadPoolExecutor(4))
states = health.HealthServicer()
states.set("shop", health_pb2.HealthCheckResponse.SERVING)
states.set("broken", health_pb2.HealthCheckResponse.NOT_SERVING)
health_pb2_grpc.add_HealthServicer_to_server(states, server)
server.add_insecure_port("127.0.0.1:" + sys.argv[1])
chain, key = open(sys.argv[3], "rb").read(), open(sys.argv[4], "rb").read()
server.add_secure_port("127.0.0.1:" + sys.argv[2], grpc.ssl_server_credentials([(key, chain)]))
server.start()
server.wait_for_termination()
"#;

pub(crate) struct Servers {
    server: Server,
    tls_port: u16,
    refuse: Target,
    folder: tempfile::TempDir,
}

impl Servers {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let certificate = authority.valid();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for (name, text) in [
            ("ca", authority.pem()),
            ("chain", certificate.pem().to_owned()),
            ("key", certificate.key_pem().to_owned()),
        ] {
            std::fs::write(path(name), text).unwrap();
        }
        let python = installed("e2e-venv/bin/python");
        let (port, tls_port) = (free_port(), free_port());
        let arguments = ["-c", SERVER, &port.to_string(), &tls_port.to_string(), &path("chain"), &path("key")];
        let server = Server::start(port, python, &arguments).await;
        Self { server, tls_port, refuse: Target::refuse(), folder }
    }

    pub(crate) fn modules(&self) -> String {
        let ca = self.folder.path().join("ca").display().to_string();
        let module = |name: &str, more: &str| {
            format!("  {name}: {{ prober: grpc, timeout: 2s, grpc: {{ preferred_ip_protocol: ip4{more} }} }}\n")
        };
        [
            module("grpc", ""),
            module("grpc_shop", ", service: shop"),
            module("grpc_broken", ", service: broken"),
            module("grpc_gone", ", service: gone"),
            module("grpc_tls", &format!(", tls: true, tls_config: {{ ca_file: {ca} }}")),
        ]
        .concat()
    }

    pub(crate) fn cases(&self) -> Vec<Case> {
        let (plain, tls) = (self.server.addr().to_string(), format!("127.0.0.1:{}", self.tls_port));
        vec![
            Case::new("the whole server", "grpc", &plain, true),
            Case::new("a service", "grpc_shop", &plain, true),
            Case::new("a service that does not serve", "grpc_broken", &plain, false),
            Case::new("no such service", "grpc_gone", &plain, false),
            Case::new("a server behind TLS", "grpc_tls", &tls, true),
            Case::new("no server", "grpc", &self.refuse.addr().to_string(), false),
        ]
    }
}
