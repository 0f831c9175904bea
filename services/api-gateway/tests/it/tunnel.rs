//! WebSockets of services, passed through.

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::{Gateway, KEY, soon};

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

type Socket = WebSocketStream<TcpStream>;

/// Asks for a tunnel.
async fn open(gateway: &Gateway, key: &str) -> Result<(Socket, u16), Error> {
    let mut request = format!("ws://{}/api/airtable/live?x=1", gateway.address).into_client_request().unwrap();
    request.headers_mut().insert("x-api-key", key.parse().unwrap());
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (socket, answer) = soon("an answer", client_async(request, stream)).await?;
    Ok((socket, answer.status().as_u16()))
}

/// Says something and returns what is said back.
async fn say(socket: &mut Socket, text: &str) -> String {
    socket.send(Message::from(text)).await.unwrap();
    let back = soon("an echo", socket.next()).await.unwrap().unwrap();
    back.into_text().unwrap().to_string()
}

#[tokio::test]
async fn frames_flow_both_ways_until_one_side_ends() {
    let gateway = Gateway::before(&echo().await).await;
    let (mut socket, status) = open(&gateway, KEY).await.unwrap();
    assert_eq!(status, 101);
    let long = "x".repeat(100_000);
    for text in ["hello", &long, "bye"] {
        assert_eq!(say(&mut socket, text).await, text);
    }
    socket.close(None).await.unwrap();
    soon("the end", async { while let Some(Ok(_)) = socket.next().await {} }).await;
    gateway.stop.cancel();
    soon("the gateway's end", gateway.task).await.unwrap();
}

#[tokio::test]
async fn a_stop_ends_tunnels() {
    let gateway = Gateway::before(&echo().await).await;
    let (mut socket, _) = open(&gateway, KEY).await.unwrap();
    say(&mut socket, "hello").await;
    gateway.stop.cancel();
    soon("the gateway's end", gateway.task).await.unwrap();
    assert!(soon("the end", socket.next()).await.is_none_or(|last| last.is_err()));
}

#[tokio::test]
async fn without_a_key_there_is_no_tunnel() {
    let gateway = Gateway::before(&echo().await).await;
    let refused = open(&gateway, "wrong").await.unwrap_err();
    assert!(refused.to_string().contains("401"), "{refused}");
}
