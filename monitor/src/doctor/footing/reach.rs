//! What the network lets us ask: a name server, and the configured targets.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket, lookup_host};
use url::Url;

use super::Outcome;

/// As long as a resolver waits as a rule (resolv.conf(5), timeout), and less than a probe may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A configured target.
#[derive(Debug, Clone)]
pub struct Target {
    /// The check's id.
    pub check: String,
    /// Its address: a URL, or host and port.
    pub address: String,
}

/// Returns whether a name server answers.
pub(super) async fn resolver() -> Outcome {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let servers = name_servers(&text);
    if servers.is_empty() {
        return Outcome::Unknown("no name server in /etc/resolv.conf".to_owned());
    }
    for server in &servers {
        if answers(SocketAddr::new(*server, 53)).await {
            return Outcome::Fine(format!("the name server {server} answers"));
        }
    }
    let names: Vec<String> = servers.iter().map(IpAddr::to_string).collect();
    let fix =
        "nameserver 192.0.2.53   # one that answers, in /etc/resolv.conf; in compose: dns: [192.0.2.53]".to_owned();
    Outcome::Wrong(format!("no answer from {}", names.join(", ")), fix)
}

fn name_servers(text: &str) -> Vec<IpAddr> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    lines.filter_map(|address| address.trim().parse().ok()).collect()
}

/// Asks for the name servers of the root (RFC 1035 section 4.1); any answer will do.
async fn answers(server: SocketAddr) -> bool {
    const QUESTION: [u8; 17] = [0x4d, 0x4e, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    let own = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let ask = async {
        let socket = UdpSocket::bind(own).await?;
        socket.connect(server).await?;
        socket.send(&QUESTION).await?;
        socket.recv(&mut [0; 512]).await
    };
    tokio::time::timeout(PATIENCE, ask).await.is_ok_and(|answer| answer.is_ok())
}

/// Returns whether a target accepts a connection from here.
pub(super) async fn target(target: &Target, is_inside: bool) -> Outcome {
    let Some((host, port)) = host_and_port(&target.address) else {
        return Outcome::Unknown(format!("{}: {} is no address of a network", target.check, target.address));
    };
    let shown = format!("{} ({host}:{port})", target.check);
    let connected = tokio::time::timeout(PATIENCE, connect(&host, port)).await;
    let why = match connected {
        Ok(Ok(())) => return Outcome::Fine(format!("{shown} accepts connections")),
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    let is_own = matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
    if is_own && is_inside {
        let fix = format!(
            "Write the service's name instead of {host}, or host.docker.internal for what runs on the host\n\
                           (compose: extra_hosts: [\"host.docker.internal:host-gateway\"])."
        );
        return Outcome::Wrong(format!("{shown} is unreachable from here: localhost is this container"), fix);
    }
    Outcome::Wrong(format!("{shown}: {why}"), "Start it, open the way to it, or write its right address.".to_owned())
}

async fn connect(host: &str, port: u16) -> std::io::Result<()> {
    let mut last = std::io::Error::other("the name has no address");
    for address in lookup_host((host, port)).await? {
        match TcpStream::connect(address).await {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn host_and_port(address: &str) -> Option<(String, u16)> {
    if let Some(url) = Url::parse(address).ok().filter(Url::has_host) {
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        return Some((host, url.port_or_known_default()?));
    }
    let (host, port) = address.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target_of(address: &str) -> Target {
        Target { check: "web/http".to_owned(), address: address.to_owned() }
    }

    #[test]
    fn addresses_are_read_in_all_their_forms() {
        for (address, expected) in [
            ("http://a/health", Some(("a", 80))),
            ("https://[::1]:8443/", Some(("::1", 8443))),
            ("db:5432", Some(("db", 5432))),
            ("/usr/bin/check", None),
        ] {
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(host_and_port(address), expected, "{address}");
        }
        assert_eq!(name_servers("# x\nnameserver 127.0.0.53\nsearch a\nnameserver ::1\n").len(), 2);
    }

    #[tokio::test]
    async fn a_target_on_localhost_within_a_container_is_unreachable_from_here() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(matches!(target(&target_of(&format!("http://{address}/")), true).await, Outcome::Fine(_)));
        drop(listener);
        let address = target_of(&format!("http://{address}/"));
        let Outcome::Wrong(message, fix) = target(&address, true).await else { panic!("nobody listens there") };
        assert!(message.contains("unreachable from here") && fix.contains("host.docker.internal"), "{message} {fix}");
        let Outcome::Wrong(message, _) = target(&address, false).await else { panic!("nobody listens there") };
        assert!(message.contains("refused"), "{message}");
    }

    #[tokio::test]
    async fn a_name_server_that_answers_is_known() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let serve = async {
            let (_, from) = server.recv_from(&mut [0; 512]).await.unwrap();
            server.send_to(b"x", from).await.unwrap();
        };
        assert!(tokio::join!(answers(address), serve).0);
    }
}
