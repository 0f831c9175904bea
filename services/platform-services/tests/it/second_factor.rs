//! The second factor: on and off, its codes and recovery codes good once, and what a wrong one costs.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{Answer, KEY, PASSWORD, Platform, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_is_asked_for_once_it_is_on() {
    all(&Platform::over_sqlite().await).await;
}

pub(crate) async fn all(platform: &Platform) {
    it_is_set_up_and_turned_on(platform).await;
    a_login_needs_it_and_each_code_is_good_once(platform).await;
    of_several_at_once_one_wins(platform).await;
    wrong_codes_lock_and_missing_ones_forget_nothing(platform).await;
    it_is_turned_off_with_both_factors_or_by_whoever_administers(platform).await;
}

/// What an authenticator app shows `ahead` steps from now (RFC 6238).
fn code(secret: &str, ahead: u64) -> String {
    let step = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 30 + ahead;
    let key = data_encoding::BASE32_NOPAD.decode(secret.as_bytes()).unwrap();
    let tag = sign(&Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key), &step.to_be_bytes());
    let offset = usize::from(tag.as_ref()[19] & 0xf);
    let piece: [u8; 4] = tag.as_ref()[offset..offset + 4].try_into().unwrap();
    format!("{:06}", (u32::from_be_bytes(piece) & 0x7fff_ffff) % 1_000_000)
}

async fn ask(platform: &Platform, token: &str, action: &str, body: Value) -> Answer {
    platform.ask("POST", &format!("/auth/totp/{action}"), Some(token), Some(body)).await
}

/// From an address of its own: what fails here locks nobody out who comes from where the others do.
async fn login(platform: &Platform, email: &str, code: &str) -> Answer {
    let body = json!({ "email": email, "password": PASSWORD, "code": code });
    platform.ask_from("192.0.2.60", "POST", "/auth/login", None, Some(body)).await
}

/// An account with a second factor.
pub(crate) struct Account {
    pub(crate) token: String,
    id: String,
    secret: String,
    pub(crate) recovery: Vec<String>,
}

pub(crate) async fn account(platform: &Platform, email: &str) -> Account {
    let registered = platform.register(email).await.good(201);
    let (token, id) = (text(&registered, "access_token"), text(&registered, "id"));
    let made = ask(platform, &token, "setup", json!({ "current_password": PASSWORD })).await.good(200);
    let secret = text(&made, "secret");
    let enabled = ask(platform, &token, "enable", json!({ "code": code(&secret, 0) })).await.good(200);
    let recovery = enabled["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned());
    Account { token, id, secret, recovery: recovery.collect() }
}

async fn it_is_set_up_and_turned_on(platform: &Platform) {
    let token = text(&platform.register("totp@example.com").await.good(201), "access_token");
    let state = async || platform.ask("GET", "/auth/totp", Some(&token), None).await.good(200);
    let body = |password: &str| json!({ "current_password": password });
    ask(platform, &token, "enable", json!({ "code": "000000" })).await.error(409, "no_second_factor");
    ask(platform, &token, "setup", body("not this one")).await.error(401, "bad_credentials");
    let first = ask(platform, &token, "setup", body(PASSWORD)).await.good(200);
    let made = ask(platform, &token, "setup", body(PASSWORD)).await;
    assert_eq!(made.headers["cache-control"], "no-store");
    let (made, secret) = (made.good(200), text(&made.json(), "secret"));
    assert_ne!(first["secret"], made["secret"], "each time another");
    let url = text(&made, "otpauth_url");
    assert!(
        url.starts_with(&format!("otpauth://totp/platform%2Eexample:totp%40example%2Ecom?secret={secret}&")),
        "{url}"
    );
    // Not before it is turned on.
    platform.login("totp@example.com", PASSWORD).await.good(200);
    assert_eq!(state().await, json!({ "enabled": false, "recovery_codes_left": 0 }));
    let of_the_first = code(&text(&first, "secret"), 0);
    ask(platform, &token, "enable", json!({ "code": of_the_first })).await.error(401, "bad_second_factor");
    let enabled = ask(platform, &token, "enable", json!({ "code": code(&secret, 0) })).await.good(200);
    assert_eq!(enabled["recovery_codes"].as_array().unwrap().len(), 10);
    assert_eq!(state().await, json!({ "enabled": true, "recovery_codes_left": 10 }));
    ask(platform, &token, "setup", body(PASSWORD)).await.error(409, "second_factor_enabled");
    ask(platform, &token, "enable", json!({ "code": code(&secret, 1) })).await.error(409, "second_factor_enabled");
}

async fn a_login_needs_it_and_each_code_is_good_once(platform: &Platform) {
    let Account { token, id, secret, recovery } = account(platform, "once@example.com").await;
    let said = platform.login("once@example.com", PASSWORD).await.error(401, "second_factor_required");
    assert!(said.contains("as code"), "{said}");
    platform.login("once@example.com", "a wrong password").await.error(401, "bad_credentials");
    let next = code(&secret, 1);
    let spaced = format!(" {} {}", &next[..3], &next[3..]);
    login(platform, "once@example.com", &spaced).await.good(200);
    login(platform, "once@example.com", &next).await.error(401, "bad_second_factor");
    login(platform, "once@example.com", &recovery[0].to_uppercase()).await.good(200);
    login(platform, "once@example.com", &recovery[0]).await.error(401, "bad_second_factor");
    let state = platform.ask("GET", "/auth/totp", Some(&token), None).await.good(200);
    assert_eq!(state["recovery_codes_left"], 9);
    let stranger = account(platform, "twice@example.com").await;
    login(platform, "once@example.com", &stranger.recovery[0]).await.error(401, "bad_second_factor");
    let expected = [
        "registered",
        "totp_enabled",
        "login_failed",
        "login",
        "second_factor_failed",
        "recovery_code_used",
        "login",
        "second_factor_failed",
        "second_factor_failed",
    ];
    assert_eq!(platform.kinds("once@example.com").await, expected);
    // The database alone gives nobody the second factor.
    let sql = format!(
        "UPDATE {{schema}}second_factors SET sealed = (SELECT sealed FROM {{schema}}second_factors
        WHERE user_id = '{}'), used_step = 0 WHERE user_id = '{id}'",
        stranger.id
    );
    platform.change(&sql).await;
    login(platform, "once@example.com", &code(&stranger.secret, 0)).await.error(401, "bad_second_factor");
    login(platform, "once@example.com", &recovery[1]).await.good(200);
}

async fn of_several_at_once_one_wins(platform: &Platform) {
    let Account { secret, recovery, .. } = account(platform, "race@example.com").await;
    for code in [code(&secret, 1), recovery[0].clone()] {
        let answers = join_all((0..4).map(|_| login(platform, "race@example.com", &code))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    }
}

async fn wrong_codes_lock_and_missing_ones_forget_nothing(platform: &Platform) {
    let Account { secret, .. } = account(platform, "guessed@example.com").await;
    for _free in 0..5 {
        // Whoever has the password must not make what failed be forgotten.
        platform.login("guessed@example.com", PASSWORD).await.error(401, "second_factor_required");
        login(platform, "guessed@example.com", "nonsense").await.error(401, "bad_second_factor");
    }
    login(platform, "guessed@example.com", &code(&secret, 1)).await.error(429, "locked");
    platform.login("guessed@example.com", PASSWORD).await.error(429, "locked");
}

async fn it_is_turned_off_with_both_factors_or_by_whoever_administers(platform: &Platform) {
    let Account { token, id, secret, recovery } = account(platform, "off@example.com").await;
    let body = |password: &str, code: &str| json!({ "current_password": password, "code": code });
    ask(platform, &token, "disable", body("not this one", &code(&secret, 1))).await.error(401, "bad_credentials");
    ask(platform, &token, "disable", body(PASSWORD, "000000")).await.error(401, "bad_second_factor");
    ask(platform, &token, "disable", body(PASSWORD, &recovery[0])).await.good(200);
    ask(platform, &token, "disable", body(PASSWORD, &recovery[1])).await.error(404, "no_second_factor");
    platform.login("off@example.com", PASSWORD).await.good(200);

    let made = ask(platform, &token, "setup", json!({ "current_password": PASSWORD })).await.good(200);
    let secret = text(&made, "secret");
    ask(platform, &token, "enable", json!({ "code": code(&secret, 0) })).await.good(200);
    login(platform, "off@example.com", &recovery[1]).await.error(401, "bad_second_factor");
    let path = format!("/auth/users/{id}/totp");
    platform.ask("DELETE", &path, Some(&token), None).await.error(403, "forbidden");
    let remove = async || platform.with_key(KEY, "DELETE", &path, None).await;
    remove().await.good(200);
    remove().await.error(404, "no_second_factor");
    platform.login("off@example.com", PASSWORD).await.good(200);
    let events = platform.events().await;
    let last = events.iter().rfind(|event| event["kind"] == "totp_disabled").unwrap();
    assert_eq!((&last["user_id"], &last["actor"]), (&json!(id), &json!("API_KEY")));
}
