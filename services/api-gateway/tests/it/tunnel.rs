//! WebSockets of services, passed through.

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::{accept_async, client_async};

use crate::{Gateway, KEY, LIMIT};

/// A service that says everything back.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut out, mut input) = accept_async(stream).await.unwrap().split();
                while let Some(Ok(message)) = input.next().await {
                    if message.is_text() {
                        out.send(message).await.unwrap();
                    }
                }
            });
        }
    });
    url
}

fn asking(gateway: &Gateway, key: &str) -> Request {
    let mut request = format!("ws://{}/api/airtable/live?x=1", gateway.address).into_client_request().unwrap();
    request.headers_mut().insert("x-api-key", key.parse().unwrap());
    request
}

#[tokio::test]
async fn frames_flow_both_ways_until_one_side_ends() {
    let gateway = Gateway::before(&echo().await).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut socket, answer) = client_async(asking(&gateway, KEY), stream).await.unwrap();
    assert_eq!(answer.status(), 101);
    let long = "x".repeat(100_000);
    for text in ["hello", &long, "bye"] {
        socket.send(Message::from(text)).await.unwrap();
        let back = tokio::time::timeout(LIMIT, socket.next()).await.expect("an echo").unwrap().unwrap();
        assert_eq!(back.into_text().unwrap().as_str(), text);
    }
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    gateway.stop.cancel();
    tokio::time::timeout(LIMIT, gateway.task).await.expect("nothing holds it").unwrap();
}

#[tokio::test]
async fn a_stop_ends_tunnels() {
    let gateway = Gateway::before(&echo().await).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut socket, _) = client_async(asking(&gateway, KEY), stream).await.unwrap();
    socket.send(Message::from("hello")).await.unwrap();
    socket.next().await.unwrap().unwrap();
    gateway.stop.cancel();
    tokio::time::timeout(LIMIT, gateway.task).await.expect("an end").unwrap();
    assert!(socket.next().await.is_none_or(|last| last.is_err()));
}

#[tokio::test]
async fn without_a_key_there_is_no_tunnel() {
    let gateway = Gateway::before(&echo().await).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let refused = client_async(asking(&gateway, "wrong"), stream).await.unwrap_err();
    assert!(refused.to_string().contains("401"), "{refused}");
}
