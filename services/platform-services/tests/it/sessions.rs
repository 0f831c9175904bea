//! From registration to the end of a session.

use data_encoding::BASE64URL_NOPAD;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{KEY, PASSWORD, Platform, send, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_from_registration_to_its_end() {
    all(&Platform::over_sqlite().await).await;
}

pub(crate) async fn all(platform: &Platform) {
    whole_life(platform).await;
    an_access_token_says_what_clients_read(platform).await;
    an_older_hash_is_made_anew_at_the_next_login(platform).await;
    what_is_wrong_is_said(platform).await;
    a_refresh_token_is_good_once(platform).await;
    a_new_password_ends_other_sessions(platform).await;
    a_deleted_account_is_gone(platform).await;
}

async fn whole_life(platform: &Platform) {
    let registered = platform.register("Ada@Example.com").await.good(201);
    assert_eq!(
        (&registered["email"], &registered["user"]["email"]),
        (&json!("ada@example.com"), &json!("ada@example.com"))
    );
    assert_eq!((&registered["first_name"], &registered["last_name"]), (&json!("Ada"), &json!("King Noel")));
    assert_eq!((&registered["token_type"], &registered["expires_in"]), (&json!("bearer"), &json!(86_400)));
    assert_eq!(platform.profile(&text(&registered, "access_token")).await, 200);
    platform.register("ada@example.com").await.error(409, "email_taken");

    let login = platform.login(" ADA@example.com", PASSWORD).await.good(200);
    let (access, refresh) = (text(&login, "access_token"), text(&login, "refresh_token"));
    for path in ["/auth/me", "/auth/profile", "/api/auth/profile", "/profile"] {
        let profile = platform.ask("GET", path, Some(&access), None).await.good(200);
        assert_eq!(
            (&profile["email"], &profile["name"], &profile["role"]),
            (&json!("ada@example.com"), &json!("Ada King Noel"), &json!("user"))
        );
        assert!(profile.get("password_hash").is_none(), "{profile}");
    }
    for (method, path) in [("GET", "/auth/verify"), ("POST", "/auth/validate"), ("POST", "/verify")] {
        assert_eq!(platform.ask(method, path, Some(&access), None).await.good(200)["valid"], true);
    }
    platform.ask("POST", "/auth/logout", Some(&access), None).await.good(200);
    platform.ask("GET", "/auth/me", Some(&access), None).await.error(401, "unauthorized");
    platform.refresh(&refresh).await.error(401, "bad_refresh_token");
    // The other session goes on.
    assert_eq!(platform.profile(&text(&registered, "access_token")).await, 200);
    told(platform).await;
}

async fn an_access_token_says_what_clients_read(platform: &Platform) {
    let login = platform.register("claims@example.com").await.good(201);
    let token = text(&login, "access_token");
    let payload = BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    let names: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["email", "exp", "iat", "jti", "role", "sid", "sub", "tenant_id", "type", "user_id"]);
    let id = &login["user"]["id"];
    assert_eq!((&claims["sub"], &claims["user_id"]), (id, id));
    assert_eq!((&claims["email"], &claims["role"]), (&json!("claims@example.com"), &json!("user")));
    assert_eq!((&claims["type"], &claims["tenant_id"]), (&json!("access"), &Value::Null));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 86_400);
}

async fn an_older_hash_is_made_anew_at_the_next_login(platform: &Platform) {
    let email = "before@example.com";
    let token = text(&platform.register(email).await.good(201), "access_token");
    // The cheapest, so that the test is quick; what the original wrote has a cost of 12.
    let older = bcrypt::hash(PASSWORD, 4).unwrap();
    assert!(older.starts_with("$2b$04$"), "{older}");
    platform.change(&format!("UPDATE {{schema}}users SET password_hash = '{older}' WHERE email = '{email}'")).await;
    // Their hashes are seen by whom they let be renamed.
    let renamed = async |hash: &str| {
        let matches = format!("email = '{email}' AND password_hash LIKE '{hash}%'");
        platform.change(&format!("UPDATE {{schema}}users SET first_name = '{hash}' WHERE {matches}")).await;
        platform.ask("GET", "/auth/me", Some(&token), None).await.good(200)["first_name"] == hash
    };
    platform.login(email, "another password").await.error(401, "bad_credentials");
    assert!(renamed("$2b$").await, "who does not know the password changes nothing");
    platform.login(email, PASSWORD).await.good(200);
    assert!(renamed("$argon2id$v=19$m=19456,t=2,p=1$").await);
    platform.login(email, PASSWORD).await.good(200);
}

/// What happened is told to services that have the key, in order.
async fn told(platform: &Platform) {
    assert_eq!(platform.kinds("ada@example.com").await, ["registered", "login", "logout"]);
    let last = platform.events().await.last().unwrap()["number"].as_i64().unwrap();
    let later = platform.with_key(KEY, "GET", &format!("/auth/events?after={last}"), None).await.good(200);
    assert_eq!(later["events"], json!([]));
    platform.ask("GET", "/auth/events", None, None).await.error(401, "unauthorized");
}

async fn what_is_wrong_is_said(platform: &Platform) {
    platform.register("wrong@example.com").await.good(201);
    let wrong = platform.login("wrong@example.com", "another password").await.error(401, "bad_credentials");
    let unknown = platform.login("nobody@example.com", "another password").await.error(401, "bad_credentials");
    assert_eq!(wrong, unknown, "whether there is an account is nobody's business");
    for body in [
        json!({ "name": "A", "email": "no address", "password": PASSWORD }),
        json!({ "name": "A", "email": "a@example.com", "password": "short" }),
        json!({ "name": "A", "email": "a@example.com", "password": "iloveyou1" }),
        json!({ "name": "A", "email": "a@example.com", "password": "a@example.com" }),
        json!({ "name": "A", "email": "a@example.com", "password": PASSWORD, "confirm_password": "another" }),
        json!({ "email": "a@example.com", "password": PASSWORD }),
    ] {
        assert_eq!(platform.ask("POST", "/auth/register", None, Some(body.clone())).await.status, 400, "{body}");
    }
    let not_json = platform.request("POST", "/auth/login").header("content-type", "application/json");
    assert_eq!(send(not_json, "{").await.status, 400);
    for token in ["", "garbage", "eyJhbGciOiJub25lIn0.e30."] {
        platform.ask("GET", "/auth/me", Some(token), None).await.error(401, "unauthorized");
    }
    platform.ask("GET", "/auth/me", None, None).await.error(401, "unauthorized");
}

async fn a_refresh_token_is_good_once(platform: &Platform) {
    let first = platform.register("refresh@example.com").await.good(201);
    let refresh = text(&first, "refresh_token");
    let answers = join_all((0..8).map(|_| platform.refresh(&refresh))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 7), "of several at once exactly one wins");
    lost.iter().for_each(|answer| {
        answer.error(401, "bad_refresh_token");
    });
    let second = won[0].json();
    assert_ne!(second["access_token"], first["access_token"]);
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    let first = platform.login("refresh@example.com", PASSWORD).await.good(200);
    let second = platform.refresh(&text(&first, "refresh_token")).await.good(200);
    let third = platform.refresh(&text(&second, "refresh_token")).await.good(200);
    assert_eq!(platform.profile(&text(&third, "access_token")).await, 200);
    // Whoever comes later has a copy: nobody goes on with what came of it.
    platform.refresh(&text(&second, "refresh_token")).await.error(401, "bad_refresh_token");
    platform.refresh(&text(&third, "refresh_token")).await.error(401, "bad_refresh_token");
    assert_eq!(platform.profile(&text(&third, "access_token")).await, 401);
    platform.refresh("garbage").await.error(401, "bad_refresh_token");
}

async fn a_new_password_ends_other_sessions(platform: &Platform) {
    let here = platform.register("change@example.com").await.good(201);
    let there = platform.login("change@example.com", PASSWORD).await.good(200);
    let (here, there) = (text(&here, "access_token"), text(&there, "access_token"));
    let change = |current: &str, new: &str| json!({ "current_password": current, "new_password": new });
    let ask = async |body| platform.ask("POST", "/auth/change-password", Some(&here), Some(body)).await;
    ask(change("not this one", "a new password")).await.error(401, "bad_credentials");
    ask(change(PASSWORD, "short")).await.error(400, "password_too_short");
    ask(change(PASSWORD, "football1")).await.error(400, "password_too_common");
    ask(change(PASSWORD, "Change@Example.com")).await.error(400, "password_is_name");
    ask(change(PASSWORD, "a new password")).await.good(200);
    assert_eq!((platform.profile(&here).await, platform.profile(&there).await), (200, 401));
    platform.login("change@example.com", PASSWORD).await.error(401, "bad_credentials");
    platform.login("change@example.com", "a new password").await.good(200);
}

async fn a_deleted_account_is_gone(platform: &Platform) {
    let other = platform.register("other@example.com").await.good(201);
    let gone = platform.register("gone@example.com").await.good(201);
    let (token, id) = (text(&gone, "access_token"), text(&gone, "id"));
    let path = |id: &str| format!("/auth/users/{id}");
    platform.ask("DELETE", &path(&text(&other, "id")), Some(&token), None).await.error(403, "forbidden");
    platform.ask("DELETE", &path(&id), Some(&token), None).await.good(200);
    assert_eq!(platform.profile(&token).await, 401);
    platform.login("gone@example.com", PASSWORD).await.error(401, "bad_credentials");
    assert_ne!(platform.register("gone@example.com").await.good(201)["id"], id.as_str(), "its address is free again");
}
