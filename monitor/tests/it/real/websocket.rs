//! A server that somebody else wrote: the `websockets` of PyPI, with a subprotocol, large messages and its own refusals.

use monitor::probe::ReasonCode;
use testkit::free_port;

use super::python;
use crate::{ask, assert_fail, assert_pass};

const SERVER: &str = r#"
import asyncio, sys
from websockets.asyncio.server import serve

async def handle(connection):
    if connection.request.path == "/secret":
        await connection.close(1008, "who are you?")
    async for message in connection:
        await connection.send(message)
        await connection.send(["pie", "ces"])
        if message == "large":
            await connection.send("x" * 200_000)
        if message == "huge":
            await connection.send("x" * 300_000)

def refuse(connection, request):
    if request.path == "/gone":
        return connection.respond(404, "no such socket")

def choose(connection, offered):
    return next((name for name in offered if name in ("chat", "v2")), None)

async def main():
    async with serve(handle, "127.0.0.1", int(sys.argv[1]), select_subprotocol=choose, process_request=refuse):
        await asyncio.Future()

asyncio.run(main())
"#;

#[tokio::test]
async fn a_real_server_talks_and_refuses() {
    let port = free_port();
    let _server = python::serve(SERVER, port).await;
    let check = |path: &str, settings: &str| format!("websocket: {{ url: 'ws://127.0.0.1:{port}{path}'{settings} }}");
    let plain = ask(&check("/", "")).await;
    assert_pass(&plain);
    assert_eq!(plain.seen.note, None, "the goodbye is answered");
    for talk in [
        "[{ send: hello, expect: hello }, { expect: pieces }]",
        "[{ send_hex: '00 ff', expect_hex: 00ff }]",
        "[{ send: large, expect_matches: '^x{1000}' }]",
    ] {
        assert_pass(&ask(&check("/", &format!(", talk: {talk}"))).await);
    }
    let json = ask(&format!(
        "{}\nexpect: {{ json: {{ n: 1 }} }}",
        check("/", ", talk: [{ send: '{\"n\": 1}', expect: '\"n\"' }]")
    ))
    .await;
    assert_pass(&json);
    let chosen = ask(&check("/", ", subprotocol: [v2, other]")).await;
    assert_pass(&chosen);
    assert_eq!(chosen.seen.protocol.as_deref(), Some("WebSocket (v2)"));

    let huge = ask(&check("/", ", talk: [{ send: huge, expect: never }]")).await;
    let text = "a message of 300000 bytes is more than the 262144 that are read";
    assert_fail(&huge, ReasonCode::TooLarge, text);
    let refused = ask(&check("/secret", ", talk: [{ send: hello, expect: hello }]")).await;
    let text = "closed with code 1008 (policy violation): who are you?, before \"hello\" came";
    assert_fail(&refused, ReasonCode::Rejected, text);
    let gone = ask(&check("/gone", "")).await;
    assert_fail(&gone, ReasonCode::Status, "the server answered 404 Not Found, not 101 Switching Protocols");
    let other = ask(&check("/", ", subprotocol: mqtt")).await;
    let text = "the server speaks none of the subprotocols offered (mqtt)";
    assert_fail(&other, ReasonCode::Protocol, text);
}
