//! platform-services that hangs up, hangs or answers nonsense: users are told so, everybody else is served, and it goes on
//! by itself.

use std::sync::Arc;

use api_gateway::{Signed, Upstream};
use serde_json::json;
use testkit::{Target, eventually};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

use crate::sign_in::{SECRET, SignIn};
use crate::{Gateway, LIMIT, SHORT, settings, upstream};

/// What stands where platform-services is looked for.
#[derive(Debug, Clone, Copy)]
enum Front {
    /// Itself.
    Open,
    /// Somebody who hangs up.
    Gone,
    /// Somebody who never answers.
    Silent,
    /// Somebody who answers with this.
    Says(&'static str),
}

/// Serves as what `front` says, and starts anew when that changes. Returns the address.
async fn serve(platform: &str, front: watch::Receiver<Front>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let platform: Arc<str> = platform.trim_start_matches("http://").into();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let (platform, mut front) = (platform.clone(), front.clone());
            tokio::spawn(async move {
                let now = *front.borrow_and_update();
                tokio::select! {
                    () = answer(client, &platform, now) => {}
                    _changed = front.changed() => {}
                }
            });
        }
    });
    url
}

async fn answer(mut client: TcpStream, platform: &str, front: Front) {
    match front {
        Front::Open => {
            let mut server = TcpStream::connect(platform).await.unwrap();
            let _ended = copy_bidirectional(&mut client, &mut server).await;
        }
        Front::Gone => {}
        Front::Silent => std::future::pending().await,
        Front::Says(text) => {
            crate::read_until(&mut client, "\r\n\r\n").await;
            let _gone = client.write_all(text.as_bytes()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_signed_in_is_told_that_it_cannot_be_checked_and_nobody_else_notices() {
    let sign_in = SignIn::start().await;
    let (change, front) = watch::channel(Front::Open);
    let airtable = Target::ok("{}");
    let mut settings = settings();
    settings.airtable_gateway = upstream(&airtable.url(""));
    settings.llm_orchestrator = upstream(&sign_in.llm.url(""));
    let platform = Url::parse(&serve(&sign_in.platform, front).await).unwrap();
    settings.platform_services = Upstream::new("platform-services", platform);
    settings.timeouts.push(("platform-services", SHORT));
    settings.health_check_timeout = SHORT;
    settings.signed = Signed::Secret(SECRET.into());
    let gateway = Gateway::start(settings).await;
    let say = json!({ "message": "hello" });
    for (number, away) in (0..).zip([
        Front::Gone,
        Front::Silent,
        Front::Says("garbage\r\n\r\n"),
        Front::Says("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnope"),
        Front::Says("HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n{\"user\""),
        Front::Says("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"),
        Front::Says("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"),
    ]) {
        // Somebody whom the gateway has not seen yet, so that it has to ask.
        let token = sign_in.register(&format!("ada-{number}@example.com")).await;
        change.send(away).unwrap();
        for _twice in 0..2 {
            gateway.post("/api/v1/chat", Some(&token), &say).await.error(503, "sign_in_unavailable");
            gateway.post("/api/v1/chat", Some("garbage"), &say).await.error(401, "unauthorized");
            for path in ["/", "/livez", "/readyz", "/health", "/api/v1/airtable/info"] {
                assert_eq!(gateway.get(path).await.status, 200, "{away:?}: {path}");
            }
            assert_eq!(gateway.ask("GET", "/api/tools").await.status, 200, "{away:?}");
        }
        change.send(Front::Open).unwrap();
        eventually("users to be served again", LIMIT, async || {
            (gateway.post("/api/v1/chat", Some(&token), &say).await.status == 200).then_some(())
        })
        .await;
        eventually("profiles to be there again", LIMIT, async || {
            (gateway.get_as(&token, "/api/v1/users/profile").await.status == 200).then_some(())
        })
        .await;
    }
}
