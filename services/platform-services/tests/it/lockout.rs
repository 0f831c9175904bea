//! Who tries too often waits, whether there is such an account or not.

use serde_json::json;

use crate::{PASSWORD, Platform};

#[tokio::test(flavor = "multi_thread")]
async fn who_tries_too_often_waits() {
    all(&Platform::over_sqlite().await).await;
}

pub(crate) async fn all(platform: &Platform) {
    platform.register("locked@example.com").await.good(201);
    for email in ["locked@example.com", "unknown@example.com"] {
        for _free in 0..5 {
            platform.login(email, "a wrong password").await.error(401, "bad_credentials");
        }
        let locked = platform.login(email, PASSWORD).await;
        locked.error(429, "locked");
        let wait: u64 = locked.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=30).contains(&wait), "{wait}");
    }
    let body = json!({ "email": "locked@example.com", "password": PASSWORD });
    let elsewhere = platform.ask_from("192.0.2.7", "POST", "/auth/login", None, Some(body)).await;
    elsewhere.error(429, "locked");
    let kinds = platform.kinds("locked@example.com").await;
    assert_eq!(
        kinds[kinds.len() - 3..],
        ["login_failed", "login_failed", "account_locked"],
        "and no word of what was refused"
    );
    one_address_is_locked_whatever_it_tries(platform).await;
    // Others are not locked out with it, and a login forgets what failed before.
    platform.register("free@example.com").await.good(201);
    for _round in 0..3 {
        for _free in 0..4 {
            platform.login("free@example.com", "a wrong password").await.error(401, "bad_credentials");
        }
        platform.login("free@example.com", PASSWORD).await.good(200);
    }
}

async fn one_address_is_locked_whatever_it_tries(platform: &Platform) {
    platform.register("sprayed@example.com").await.good(201);
    let body = |email: &str, password: &str| Some(json!({ "email": email, "password": password }));
    let right = || body("sprayed@example.com", PASSWORD);
    let spray = async |from: &str, body| platform.ask_from(from, "POST", "/auth/login", None, body).await;
    // What does not fail is taken back.
    spray("192.0.2.50", right()).await.good(200);
    for number in 0..50 {
        let email = format!("sprayed-{number}@example.com");
        spray("192.0.2.50", body(&email, "a wrong password")).await.error(401, "bad_credentials");
    }
    spray("192.0.2.50", right()).await.error(429, "locked");
    spray("192.0.2.51", right()).await.good(200);
}
