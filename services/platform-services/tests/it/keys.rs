//! Keys of services, roles, and the keys that tokens are signed with.

use serde_json::{Value, json};
use testkit::{Postgres, eventually};

use crate::{KEY, LIMIT, PASSWORD, Platform, text};

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_for_some_things_and_end() {
    all(&Platform::over_sqlite().await).await;
}

pub(crate) async fn all(platform: &Platform) {
    a_key_is_good_for_its_scopes_until_it_is_revoked(platform).await;
    who_administers_is_on_record(platform).await;
    what_no_database_keeps_is_nothing(platform).await;
}

async fn make(platform: &Platform, name: &str) -> Value {
    let body = json!({ "name": name, "scopes": ["events"], "expires_in_days": 30 });
    platform.with_key(KEY, "POST", "/auth/keys", Some(body)).await.good(201)
}

async fn a_key_is_good_for_its_scopes_until_it_is_revoked(platform: &Platform) {
    let made = make(platform, "reporting").await;
    let key = text(&made, "key");
    assert!(key.starts_with("pak_") && key.len() > 40, "{key}");
    let ask = async |method: &str, path: &str| platform.with_key(&key, method, path, None).await;
    ask("GET", "/auth/events").await.good(200);
    ask("GET", "/analytics/dashboard").await.error(403, "forbidden");
    ask("GET", "/auth/keys").await.error(403, "forbidden");
    let verified = ask("GET", "/auth/keys/verify").await.good(200);
    assert_eq!((&verified["name"], &verified["scopes"]), (&json!("reporting"), &json!(["events"])));
    let listed = platform.with_key(KEY, "GET", "/auth/keys", None).await;
    assert!(!String::from_utf8_lossy(&listed.body).contains(&key), "a key is shown once");
    let listed =
        listed.good(200)["keys"].as_array().unwrap().iter().find(|it| it["id"] == made["id"]).cloned().unwrap();
    assert!(listed["last_used_at"].is_string() && listed["revoked_at"].is_null(), "{listed}");
    let path = format!("/auth/keys/{}", text(&made, "id"));
    let [first, second] = [make(platform, "first").await, make(platform, "second").await];
    platform.with_key(KEY, "DELETE", &path, None).await.good(200);
    platform.with_key(KEY, "DELETE", &path, None).await.error(404, "no_such_key");
    let listed = platform.with_key(KEY, "GET", "/auth/keys", None).await.good(200);
    let ids: Vec<&Value> = listed["keys"].as_array().unwrap().iter().map(|key| &key["id"]).collect();
    assert_eq!(ids, [&second["id"], &first["id"], &made["id"]], "those that are good, and the newest, first");
    ask("GET", "/auth/events").await.error(401, "unauthorized");
    ask("GET", "/auth/keys/verify").await.error(401, "unauthorized");
    for (body, code) in [
        (json!({ "name": "", "scopes": ["events"] }), "invalid_name"),
        (json!({ "name": "a", "scopes": [] }), "invalid_scopes"),
        (json!({ "name": "a", "scopes": ["events"], "expires_in_days": 0 }), "invalid_scopes"),
    ] {
        platform.with_key(KEY, "POST", "/auth/keys", Some(body)).await.error(400, code);
    }
    let misspelt = json!({ "name": "a", "scopes": ["events"], "expires_in_day": 30 });
    for unknown in [json!({ "name": "a", "scopes": ["everything"] }), misspelt] {
        platform.with_key(KEY, "POST", "/auth/keys", Some(unknown)).await.error(422, "bad_request");
    }
    platform.ask("POST", "/auth/keys", None, Some(json!({}))).await.error(401, "unauthorized");
}

async fn who_administers_is_on_record(platform: &Platform) {
    let boss = platform.register("boss@example.com").await.good(201);
    let clerk = platform.register("clerk@example.com").await.good(201);
    let of = |who: &Value| format!("/auth/users/{}", text(who, "id"));
    let token = text(&boss, "access_token");
    platform.ask("PATCH", &of(&clerk), Some(&token), Some(json!({ "role": "admin" }))).await.error(403, "forbidden");
    platform.ask("GET", "/auth/users", Some(&token), None).await.error(403, "forbidden");
    let changed = platform.with_key(KEY, "PATCH", &of(&boss), Some(json!({ "role": "admin" }))).await.good(200);
    assert_eq!(changed["role"], "admin");
    assert_eq!(platform.profile(&token).await, 401, "its tokens say what was");
    let token = text(&platform.login("boss@example.com", PASSWORD).await.good(200), "access_token");
    let change = async |body: Value| platform.ask("PATCH", &of(&clerk), Some(&token), Some(body)).await;
    change(json!({ "role": "king" })).await.error(400, "invalid_role");
    change(json!({})).await.error(400, "nothing_to_change");
    assert_eq!(change(json!({ "is_active": false })).await.good(200)["is_active"], false);
    platform.login("clerk@example.com", PASSWORD).await.error(403, "inactive");
    change(json!({ "is_active": true })).await.good(200);
    for tenant in ["\u{1}", " ", &"x".repeat(101)] {
        change(json!({ "tenant_id": tenant })).await.error(400, "invalid_tenant");
    }
    assert_eq!(change(json!({ "tenant_id": " acme " })).await.good(200)["tenant_id"], "acme");
    nobody_joins_a_tenant_by_its_name(platform).await;
    platform.login("clerk@example.com", PASSWORD).await.good(200);
    let found = platform.ask("GET", "/auth/users?email=Clerk@Example.com", Some(&token), None).await.good(200);
    assert_eq!(found["users"][0]["id"], clerk["id"]);
    let page = platform.ask("GET", "/auth/users?limit=2", Some(&token), None).await.good(200);
    assert_eq!(page["users"].as_array().unwrap().len(), 2);
    let nobody = platform.ask("PATCH", "/auth/users/nobody", Some(&token), Some(json!({ "role": "user" }))).await;
    nobody.error(404, "no_such_account");
    let events = platform.events().await;
    let mut changes = events.iter().filter(|event| event["kind"] == "account_changed" && event["realm"] == "");
    let (first, second) = (changes.next().unwrap(), changes.next().unwrap());
    assert_eq!((&first["actor"], &first["detail"]), (&json!("API_KEY"), &json!("role admin, active")));
    assert_eq!((&second["actor"], &second["detail"]), (&boss["id"], &json!("role user, not active")));
}

async fn nobody_joins_a_tenant_by_its_name(platform: &Platform) {
    let body =
        |email: &str, tenant: &str| json!({ "name": "A", "email": email, "password": PASSWORD, "tenant_id": tenant });
    let register = async |email: &str, tenant: &str| {
        platform.ask("POST", "/auth/register", None, Some(body(email, tenant))).await.good(201)["tenant_id"].clone()
    };
    assert_eq!(register("founder@globex.example.com", "globex").await, "globex");
    assert_eq!(register("stranger@globex.example.com", "globex").await, Value::Null);
    assert_eq!(register("other@acme.example.com", "acme").await, Value::Null);
    let colleague = body("colleague@globex.example.com", "globex");
    let colleague = platform.with_key(KEY, "POST", "/auth/register", Some(colleague)).await.good(201);
    assert_eq!(colleague["tenant_id"], "globex");
}

/// PostgreSQL has no word for it, and SQLite none that has it.
async fn what_no_database_keeps_is_nothing(platform: &Platform) {
    for (method, path, expected) in [
        ("GET", "/auth/users?after=%00", 200),
        ("GET", "/auth/users?email=%00", 200),
        ("PATCH", "/auth/users/%00", 404),
        ("DELETE", "/auth/keys/%00", 404),
    ] {
        let answer = platform.with_key(KEY, method, path, Some(json!({ "role": "user" }))).await;
        if answer.status == 400 {
            assert_eq!(answer.error(400, "bad_request"), "a text has a zero byte; leave it out");
        } else {
            assert_eq!(answer.status, expected, "{path}");
        }
    }
}

/// Returns the header of a token.
fn header(token: &str) -> Value {
    let encoded = token.split('.').next().unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(encoded.as_bytes()).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_of_keys_are_published_and_the_same_for_several_programs() {
    let postgres = Postgres::start().await;
    for algorithm in ["EdDSA", "RS256"] {
        let start = async || {
            let folder = tempfile::tempdir().unwrap();
            Platform::ready(Platform::start_with(folder, &postgres.url(), ("JWT_ALGORITHM", algorithm)).await).await
        };
        let platforms = [start().await, start().await];
        let published = async |platform: &Platform| {
            eventually("the keys to be there", LIMIT, async || {
                let answer = platform.ask("GET", "/.well-known/jwks.json", None, None).await;
                (answer.status == 200).then(|| answer.json())
            })
            .await
        };
        let keys = published(&platforms[0]).await;
        assert_eq!(keys, published(&platforms[1]).await);
        assert_eq!(platforms[0].ask("GET", "/auth/jwks", None, None).await.good(200), keys);
        let key = keys["keys"][0].as_object().unwrap();
        assert_eq!((&key["use"], &key["alg"]), (&json!("sig"), &json!(algorithm)));
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(!key.contains_key(private), "{key:?}");
        }
        let email = format!("{}@example.com", algorithm.to_lowercase());
        let token = text(&platforms[0].register(&email).await.good(201), "access_token");
        assert_eq!((&header(&token)["alg"], &header(&token)["kid"]), (&json!(algorithm), &key["kid"]));
        assert_eq!(platforms[1].profile(&token).await, 200);
        // A token of the secret is none any more, whoever knows it.
        let of_secret = Platform::ready(Platform::start(tempfile::tempdir().unwrap(), &postgres.url()).await).await;
        let token = text(&of_secret.login(&email, PASSWORD).await.good(200), "access_token");
        assert_eq!((of_secret.profile(&token).await, platforms[1].profile(&token).await), (200, 401));
        assert_eq!(of_secret.ask("GET", "/.well-known/jwks.json", None, None).await.good(200), json!({ "keys": [] }));
    }
}
