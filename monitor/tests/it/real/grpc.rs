//! A server that somebody else wrote: `grpcio` and `grpcio-health-checking` of PyPI, with and without TLS.

use monitor::probe::ReasonCode;
use testkit::{Authority, free_port};

use super::python;
use crate::{ask, assert_fail, assert_pass, fail, file, trusting};

const SERVER: &str = r#"
import grpc, sys
from concurrent import futures
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

server = grpc.server(futures.ThreadPoolExecutor(4))
if sys.argv[4] == "health":
    states = health.HealthServicer()
    states.set("shop", health_pb2.HealthCheckResponse.SERVING)
    states.set("broken", health_pb2.HealthCheckResponse.NOT_SERVING)
    states.set("new", health_pb2.HealthCheckResponse.UNKNOWN)
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
address = "127.0.0.1:" + sys.argv[1]
if sys.argv[2]:
    chain, key = open(sys.argv[2], "rb").read(), open(sys.argv[3], "rb").read()
    server.add_secure_port(address, grpc.ssl_server_credentials([(key, chain)]))
else:
    server.add_insecure_port(address)
server.start()
server.wait_for_termination()
"#;

#[tokio::test]
async fn a_real_server_tells_how_it_is() {
    let (port, bare_port) = (free_port(), free_port());
    let _server = python::serve_with(SERVER, port, &["", "", "health"]).await;
    let check = |service: &str| format!("grpc: {{ address: '127.0.0.1:{port}'{service} }}");
    let serving = ask(&check("")).await;
    assert_pass(&serving);
    assert_eq!(serving.seen.protocol.as_deref(), Some("gRPC"));
    assert_pass(&ask(&check(", service: shop")).await);
    for (service, code, text) in [
        ("broken", ReasonCode::Body, "\"broken\" says that it does not serve (NOT_SERVING)"),
        ("new", ReasonCode::Body, "\"new\" does not know how it is (UNKNOWN)"),
        ("gone", ReasonCode::Rejected, "it keeps no health of a service \"gone\" (NOT_FOUND)"),
    ] {
        assert_fail(&ask(&check(&format!(", service: {service}"))).await, code, text);
    }
    let _bare = python::serve_with(SERVER, bare_port, &["", "", "none"]).await;
    let (code, text) = fail(&ask(&format!("grpc: {{ address: '127.0.0.1:{bare_port}' }}")).await);
    assert_eq!(code, ReasonCode::Rejected);
    assert!(text.starts_with("it has no health service (UNIMPLEMENTED); "), "{text}");
}

#[tokio::test]
async fn a_real_server_speaks_tls() {
    let authority = Authority::new();
    let certificate = authority.valid();
    let (chain, key) = (file(certificate.pem()), file(certificate.key_pem()));
    let port = free_port();
    let paths = [chain.path().display().to_string(), key.path().display().to_string()];
    let _server = python::serve_with(SERVER, port, &[&paths[0], &paths[1], "health"]).await;
    let (_file, trust) = trusting(&authority);
    let check = |tls: &str| format!("grpc: {{ address: '127.0.0.1:{port}', service: shop{tls} }}");
    let observation =
        ask(&format!("{}\nexpect: {{ cert_valid_for: 1h }}", check(&format!(", tls: {{ {trust} }}")))).await;
    assert_pass(&observation);
    let (code, text) = fail(&ask(&check(", tls: {}")).await);
    assert_eq!(code, ReasonCode::Certificate, "{text}");
    let (code, text) = fail(&ask(&check("")).await);
    assert!(matches!(code, ReasonCode::Protocol | ReasonCode::Reset), "{code:?} {text}");
}
