//! What people see of their sessions, how they end them, and how they change their names.

use serde_json::{Value, json};

use crate::{PASSWORD, Platform, send, text};

#[tokio::test(flavor = "multi_thread")]
async fn people_see_their_sessions_and_end_them() {
    all(&Platform::over_sqlite().await).await;
}

pub(crate) async fn all(platform: &Platform) {
    sessions_are_listed_and_end_one_by_one(platform).await;
    all_sessions_end_at_once(platform).await;
    a_use_is_noted(platform).await;
    a_name_is_changed(platform).await;
}

async fn listed(platform: &Platform, token: &str) -> Vec<Value> {
    let list = platform.ask("GET", "/auth/sessions", Some(token), None).await.good(200);
    list["sessions"].as_array().unwrap().clone()
}

async fn sessions_are_listed_and_end_one_by_one(platform: &Platform) {
    let here = text(&platform.register("own@example.com").await.good(201), "access_token");
    let request = platform.request("POST", "/auth/login").header("content-type", "application/json");
    let request = request.header("x-forwarded-for", "192.0.2.9").header("user-agent", "x".repeat(300));
    let body = json!({ "email": "own@example.com", "password": PASSWORD }).to_string();
    let there = text(&send(request, body).await.good(200), "access_token");

    let sessions = listed(platform, &here).await;
    let current: Vec<&Value> = sessions.iter().map(|session| &session["current"]).collect();
    assert_eq!(current, [false, true], "the newest first");
    assert_eq!((&sessions[0]["address"], &sessions[1]["address"]), (&json!("192.0.2.9"), &json!("127.0.0.1")));
    assert_eq!((text(&sessions[0], "user_agent").len(), &sessions[1]["user_agent"]), (200, &Value::Null));
    assert!(sessions[0]["created_at"].is_string() && sessions[0]["last_used_at"].is_string(), "{sessions:?}");

    let stranger = text(&platform.register("stranger@example.com").await.good(201), "access_token");
    let end = format!("/auth/sessions/{}", text(&sessions[0], "id"));
    platform.ask("DELETE", &end, Some(&stranger), None).await.error(404, "no_such_session");
    assert_eq!(platform.profile(&there).await, 200);
    platform.ask("DELETE", &end, Some(&here), None).await.good(200);
    platform.ask("DELETE", &end, Some(&here), None).await.error(404, "no_such_session");
    assert_eq!((platform.profile(&there).await, listed(platform, &here).await.len()), (401, 1));
    platform.ask("GET", "/auth/sessions", Some(&there), None).await.error(401, "unauthorized");
}

async fn all_sessions_end_at_once(platform: &Platform) {
    let here = text(&platform.register("all@example.com").await.good(201), "access_token");
    let login = platform.login("all@example.com", PASSWORD).await.good(200);
    let (there, refresh) = (text(&login, "access_token"), text(&login, "refresh_token"));
    platform.ask("POST", "/auth/logout-all", Some(&here), None).await.good(200);
    assert_eq!((platform.profile(&here).await, platform.profile(&there).await), (401, 401));
    platform.refresh(&refresh).await.error(401, "bad_refresh_token");
    platform.login("all@example.com", PASSWORD).await.good(200);
}

async fn a_use_is_noted(platform: &Platform) {
    let registered = platform.register("used@example.com").await.good(201);
    let (token, id) = (text(&registered, "access_token"), text(&registered, "id"));
    platform.change(&format!("UPDATE {{schema}}sessions SET used_ms = 0 WHERE user_id = '{id}'")).await;
    // The list is a use, and shows what was known after it.
    assert_ne!(listed(platform, &token).await[0]["last_used_at"], "1970-01-01T00:00:00Z");
}

async fn a_name_is_changed(platform: &Platform) {
    let token = text(&platform.register("named@example.com").await.good(201), "access_token");
    let rename = async |body: Value| platform.ask("PATCH", "/auth/profile", Some(&token), Some(body)).await;
    assert_eq!(rename(json!({ "name": " Augusta  Ada King" })).await.good(200)["name"], "Augusta Ada King");
    let changed = rename(json!({ "last_name": "Lovelace" })).await.good(200);
    assert_eq!((&changed["first_name"], &changed["last_name"]), (&json!("Augusta"), &json!("Lovelace")));
    let profile = platform.ask("GET", "/auth/profile", Some(&token), None).await.good(200);
    assert_eq!((&profile["name"], &profile["email_verified"]), (&json!("Augusta Lovelace"), &json!(false)));
    rename(json!({})).await.error(400, "nothing_to_change");
    rename(json!({ "first_name": " " })).await.error(400, "name_missing");
    rename(json!({ "name": "x".repeat(101) })).await.error(400, "invalid_name");
}
