//! A disk that is full: what must be written is refused for now, what is only read is answered.

use serde_json::json;
use testkit::{Disk, eventually};

use crate::{KEY, LIMIT, Platform, send, text};

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nobody_registers_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let disk = Disk::mount(&data, "8m");
    let url = format!("sqlite:{}", data.join("platform.db").display());
    let platform = Platform::ready(Platform::start(tempfile::tempdir().unwrap(), &url).await).await;
    let token = text(&platform.register("ada@example.com").await.good(201), "access_token");
    let made = json!({ "name": "reporting", "scopes": ["events"] });
    let made = platform.with_key(KEY, "POST", "/auth/keys", Some(made)).await.good(201);
    let filler = disk.fill();
    let mut numbers = 0..;
    let mut register = async || {
        let email = format!("late-{}@example.com", numbers.next().unwrap());
        platform.register(&email).await
    };
    // What SQLite has made room for already is used up first.
    let refused = eventually("a registration to be refused", LIMIT, async || {
        Some(register().await).filter(|answer| answer.status != 201)
    });
    refused.await.error(503, "database_unavailable");
    assert_eq!(platform.profile(&token).await, 200);
    // That it is used for the first time cannot be noted.
    platform.with_key(&text(&made, "key"), "GET", "/auth/keys/verify", None).await.good(200);
    platform.ask("GET", "/livez", None, None).await.good(200);
    eventually("it to say why it is not ready", LIMIT, async || {
        let ready = send(platform.request("GET", "/readyz"), "").await;
        (ready.status == 503).then(|| assert!(ready.json().to_string().contains("full"), "{}", ready.json()))
    })
    .await;
    std::fs::remove_file(filler).unwrap();
    eventually("registrations to go on", LIMIT, async || (register().await.status == 201).then_some(())).await;
    eventually("it to be ready", LIMIT, async || {
        (platform.ask("GET", "/readyz", None, None).await.status == 200).then_some(())
    })
    .await;
}
