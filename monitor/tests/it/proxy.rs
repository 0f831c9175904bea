//! Kind `http` through a proxy, and what stays with the host it was written for.

use std::net::SocketAddr;

use monitor::probe::{Observation, Outcome, ReasonCode};
use testkit::{Authority, Response, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::{ask, assert_fail, assert_pass, fail, file, trusting};

/// A proxy that tunnels everything to one address, until dropped.
struct Proxy {
    address: SocketAddr,
    _task: JoinSet<()>,
}

impl Proxy {
    async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    client.read_buf(&mut head).await.unwrap();
                }
                assert!(head.starts_with(b"CONNECT localhost:4443 HTTP/1.1\r\nHost: localhost:4443\r\n"), "{head:?}");
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                let mut server = TcpStream::connect(target).await.unwrap();
                let _whoever_leaves_first = copy_bidirectional(&mut client, &mut server).await;
            }
        });
        Self { address, _task: task }
    }
}

async fn ask_through(proxy: SocketAddr, more: &str) -> Observation {
    ask(&format!("http: {{ url: 'https://localhost:4443/', proxy: 'http://{proxy}'{more} }}")).await
}

#[tokio::test]
async fn https_goes_through_a_tunnel() {
    let authority = Authority::new();
    let (_file, trust) = trusting(&authority);
    let target = Target::https(&authority.valid(), "pong");
    let proxy = Proxy::to(target.addr()).await;
    let observation = ask_through(proxy.address, &format!(", tls: {{ {trust} }}")).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.address, Some(proxy.address));
    assert_eq!(target.requests()[0].path, "/");
}

#[tokio::test]
async fn a_virtual_host_leads_a_proxy_nowhere_else() {
    let proxy = Target::reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let check = format!(
        "http: {{ url: 'http://shop.example/x', proxy: '{}', headers: {{ host: other.example }} }}",
        proxy.url("")
    );
    assert_pass(&ask(&check).await);
    let request = String::from_utf8(proxy.received().remove(0)).unwrap();
    assert!(request.starts_with("GET http://shop.example/x HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("host: other.example\r\n"), "{request}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_our_trouble_and_one_that_cannot_reach_the_target_is_not() {
    let busy = Target::reply("HTTP/1.1 502 Bad Gateway\r\n\r\n");
    let text = "the proxy cannot reach localhost:4443: HTTP/1.1 502 Bad Gateway";
    assert_fail(&ask_through(busy.addr(), "").await, ReasonCode::Unreachable, text);
    let strict = Target::reply("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    match ask_through(strict.addr(), "").await.outcome {
        Outcome::Unknown(reason) => assert_eq!(
            reason.text,
            "the proxy refuses CONNECT localhost:4443: HTTP/1.1 407 Proxy Authentication Required"
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn our_certificate_is_not_shown_to_a_host_we_are_redirected_to() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let stranger = Target::https_requiring_client_certificate(&clients, &servers.valid(), "pong");
    let elsewhere = stranger.url("/");
    let target =
        Target::https_with(&servers.valid(), move |_| Response::new(302, "").with_header("location", &elsewhere));
    let (_file, trust) = trusting(&servers);
    let client = clients.client("monitor");
    let (chain, key) = (file(client.pem()), file(client.key_pem()));
    let tls = format!(
        "{trust}, client_certificate_file: {}, client_key_file: {}",
        chain.path().display(),
        key.path().display()
    );
    let check = |target: &Target| format!("http: {{ url: '{}', tls: {{ {tls} }} }}", target.url("/"));
    assert_pass(&ask(&check(&stranger)).await);
    let text = "the server asks for a client certificate";
    assert_fail(&ask(&check(&target)).await, ReasonCode::Tls, text);
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_the_connection() {
    let target = Target::reply("HTTP/1.0 200 OK\r\n\r\npong");
    let observation =
        ask(&format!("http: {{ url: '{}' }}\nexpect: {{ body_matches: '^pong$' }}", target.url("/"))).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.protocol.as_deref(), Some("HTTP/1.0"));
}

#[tokio::test]
async fn a_head_request_needs_no_body() {
    let target = Target::reply("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
    assert_pass(&ask(&format!("http: {{ url: '{}', method: head }}", target.url("/"))).await);
    let target = Target::reply("HTTP/1.1 204 No Content\r\n\r\n");
    assert_pass(&ask(&format!("http: {{ url: '{}' }}", target.url("/"))).await);
}

#[tokio::test]
async fn a_redirect_that_leads_nowhere_is_told() {
    let target = Target::redirect_to("ftp://example.com/x");
    let text = "redirected to ftp://example.com/x, which cannot be asked: its scheme is neither http nor https";
    let observation = ask(&format!("http: {{ url: '{}' }}", target.url("/"))).await;
    assert_fail(&observation, ReasonCode::Redirects, text);
    assert_eq!(observation.seen.status, Some(302));
    let target = Target::redirect_to("http://[::1/");
    let (code, text) = fail(&ask(&format!("http: {{ url: '{}' }}", target.url("/"))).await);
    assert_eq!(code, ReasonCode::Redirects);
    assert!(text.ends_with("which is not a URL"), "{text}");
}
