//! What every channel over HTTP has in common over TLS: whom it trusts, and that it leaves no connection behind.

use std::net::SocketAddr;

use monitor::alert::SendError;
use testkit::{Authority, Target, eventually};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::{PATIENT, channel, decode, file, messages, send, send_within};

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_by_its_file_and_by_nothing_else() {
    let authority = Authority::new();
    let target = Target::https(&authority.valid(), "ok");
    let trust = file(&authority.pem());
    let url = format!("https://localhost:{}/hook", target.addr().port());
    let ours = format!("webhook: {{ url: '{url}', ca_file: {} }}", trust.path().display());
    assert_eq!(send(&ours, &messages::page()).await.unwrap().answer, "200 OK: ok");
    assert_eq!(target.requests()[0].version, "HTTP/2.0");
    let error = send(&format!("webhook: {{ url: '{url}' }}"), &messages::page()).await.unwrap_err();
    assert!(matches!(&error, SendError::Failed(why) if why.contains("invalid peer certificate")), "{error}");
    let expired = Target::https(&authority.expired(), "ok");
    let url = format!("https://localhost:{}/hook", expired.addr().port());
    let ours = format!("webhook: {{ url: '{url}', ca_file: {} }}", trust.path().display());
    let error = send(&ours, &messages::page()).await.unwrap_err();
    assert!(error.to_string().contains("certificate expired"), "{error}");
}

#[tokio::test]
async fn a_stuck_http_2_connection_is_not_used_again() {
    let authority = Authority::new();
    let trust = file(&authority.pem());
    let target = Target::https(&authority.valid(), "ok");
    let url = format!("https://localhost:{}/hook", target.addr().port());
    let channel = channel(&format!("webhook: {{ url: '{url}', ca_file: {} }}", trust.path().display()));
    target.set_delay(PATIENT * 10);
    let page = messages::page();
    tokio::select! {
        sent = send_within(PATIENT, &channel, &page) => panic!("{sent:?}"),
        () = eventually("the request arrives", PATIENT, async || (target.requests().len() == 1).then_some(())) => {}
    }
    target.set_delay(std::time::Duration::ZERO);
    send_within(PATIENT, &channel, &page).await.unwrap().unwrap();
    assert_eq!(target.connections(), 2);
}

/// Hands one connection on to `to`; ends when the client closes it.
async fn relay(to: SocketAddr) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let relaying = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(to).await.unwrap();
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.split(), server.split());
        tokio::select! {
            _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
            ended = tokio::io::copy(&mut from_server, &mut to_client) => panic!("the server ended it: {ended:?}"),
        }
    });
    (port, relaying)
}

#[tokio::test]
async fn a_dropped_delivery_over_http_2_closes_its_connection() {
    let authority = Authority::new();
    let trust = file(&authority.pem());
    let target = Target::https(&authority.valid(), "ok");
    target.set_delay(PATIENT * 10);
    let (port, relaying) = relay(target.addr()).await;
    let url = format!("https://localhost:{port}/hook");
    let channel = channel(&format!("webhook: {{ url: '{url}', ca_file: {} }}", trust.path().display()));
    let page = messages::page();
    tokio::select! {
        sent = send_within(PATIENT, &channel, &page) => panic!("{sent:?}"),
        () = eventually("the request arrives", PATIENT, async || (target.requests().len() == 1).then_some(())) => {}
    }
    assert_eq!(target.requests()[0].version, "HTTP/2.0");
    tokio::time::timeout(PATIENT, relaying).await.expect("the connection ends").unwrap();
}

#[tokio::test]
async fn an_answer_whose_text_never_ends_was_still_given() {
    let endless = Target::endless_body();
    let accepted = send(&format!("webhook: {{ url: '{}' }}", endless.url("/")), &messages::page()).await.unwrap();
    assert_eq!(accepted.answer, "200 OK");
    let half = Target::half_body();
    let accepted = send(&format!("webhook: {{ url: '{}' }}", half.url("/")), &messages::page()).await.unwrap();
    assert_eq!(accepted.answer, "200 OK");
}

#[test]
fn a_file_without_an_authority_is_a_mistake() {
    let empty = file("nothing");
    let path = empty.path().display();
    let mistakes = decode(&format!("slack: {{ url: 'https://x/y', ca_file: {path} }}")).unwrap_err();
    let text = format!("m.yml:2:41: ops.slack.ca_file: there is no PEM certificate of an authority in {path}");
    assert_eq!(mistakes, [text]);
}
