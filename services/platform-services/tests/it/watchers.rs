//! Monitors that show the services' key: what they try on purpose harms nobody else.

use serde_json::{Value, json};

use crate::{Answer, KEY, PASSWORD, Platform, send, text};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_monitor_tries_harms_nobody_else() {
    all(&Platform::over_sqlite().await).await;
}

/// From the address that people come from too.
async fn watch(platform: &Platform, method: &str, path: &str, key: &str, body: Value) -> Answer {
    let request = platform.request(method, path).header("x-forwarded-for", "192.0.2.80").header("x-api-key", key);
    send(request.header("x-monitor-probe", "auth-monitor").header("content-type", "application/json"), body.to_string())
        .await
}

pub(crate) async fn all(platform: &Platform) {
    let people = async |email: &str, password: &str| {
        let body = json!({ "email": email, "password": password });
        platform.ask_from("192.0.2.80", "POST", "/auth/login", None, Some(body)).await
    };
    let login = async |email: &str, password: &str, key: &str| {
        watch(platform, "POST", "/auth/login", key, json!({ "email": email, "password": password })).await
    };
    platform.register("person@example.com").await.good(201);
    let body = json!({ "name": "Canary", "email": "canary@monitor.invalid", "password": PASSWORD });
    let canary = watch(platform, "POST", "/auth/register", KEY, body).await.good(201);
    login("canary@monitor.invalid", PASSWORD, KEY).await.good(200);
    let path = format!("/auth/users/{}", text(&canary, "id"));
    platform.with_key(KEY, "PATCH", &path, Some(json!({ "role": "readonly" }))).await.good(200);
    let canary = login("canary@monitor.invalid", PASSWORD, KEY).await.good(200);
    // Whoever learns its password is nobody without the key.
    people("canary@monitor.invalid", PASSWORD).await.error(401, "bad_credentials");
    login("canary@monitor.invalid", PASSWORD, "a wrong key").await.error(401, "unauthorized");
    for number in 0..60 {
        login(&format!("nobody-{number}@monitor.invalid"), "wrong", KEY).await.error(401, "bad_credentials");
    }
    people("person@example.com", PASSWORD).await.good(200);
    // One try without the key is counted already.
    for _free in 0..4 {
        login("canary@monitor.invalid", "a wrong password", KEY).await.error(401, "bad_credentials");
    }
    login("canary@monitor.invalid", PASSWORD, KEY).await.error(429, "locked");
    let events = platform.events().await;
    let realms: Vec<&Value> = events
        .iter()
        .filter(|event| event["email"].as_str().is_some_and(|email| email.ends_with("@monitor.invalid")))
        .map(|event| &event["realm"])
        .collect();
    let of_people = realms.iter().filter(|realm| **realm == "").count();
    assert_eq!((of_people, realms.len() > 60), (1, true), "but for the one that came without a key");
    platform.ask("DELETE", &path, Some(&text(&canary, "access_token")), None).await.good(200);
}
