//! Keys, providers and cookies, against fakes.

use monitor::probe::ReasonCode::{Json, Status};
use serde_json::{Value, json};
use testkit::{Response, Target};

use crate::Check;
use crate::fake::Fake;
use crate::platform::Platform;

fn key(kid: &str) -> Value {
    json!({ "kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "x": "1", "y": "2" })
}

#[tokio::test]
async fn keys_are_there_or_the_check_says_what_is_there_instead() {
    let target = Target::ok(json!({ "keys": [key("a")] }).to_string());
    Check::new(&format!("jwks: {{ url: '{}' }}", target.url(""))).passes().await;
    assert_eq!(target.requests()[0].path, "/.well-known/jwks.json");
    target.set_status(404);
    let gone = Check::new(&format!("jwks: {{ url: '{}', keys: /keys }}", target.url("")));
    gone.fails(Status, "step \"keys\" (1 of 1): status 404, expected 200: it is JSON; there are keys").await;
    let fake = Fake::new();
    let none = Check::new(&format!("jwks: {{ url: '{}' }}", fake.url()));
    none.fails(Status, "step \"keys\" (1 of 1): status 401, expected 200: no").await;
}

#[tokio::test]
async fn a_provider_describes_itself_and_its_keys_are_where_it_says() {
    let provider = Target::respond_with(|request| {
        let host = format!("http://{}", request.header("host").unwrap());
        match request.path.as_str() {
            "/.well-known/openid-configuration" => {
                let body = json!({ "issuer": host, "authorization_endpoint": format!("{host}/a"),
                    "token_endpoint": format!("{host}/t"), "jwks_uri": format!("{host}/k") });
                Response::new(200, body.to_string())
            }
            "/k" => Response::new(200, json!({ "keys": [key("a")] }).to_string()),
            _ => Response::new(404, "{}"),
        }
    });
    Check::new(&format!("oidc: {{ url: '{}' }}", provider.url(""))).passes().await;
    let named = Check::new(&format!("oidc: {{ url: '{}/' }}", provider.url("")));
    let (host, asked) = (provider.url(""), provider.url("/"));
    let said = format!("the issuer is {host}, and {asked} was asked: its tokens would be refused");
    named.fails(Json, &format!("step \"discovery\" (1 of 2): {said}")).await;
}

#[tokio::test]
async fn a_password_for_the_provider_is_not_given_to_whom_it_names() {
    let keys = Target::ok(json!({ "keys": [key("a")] }).to_string());
    let elsewhere = keys.url("/k");
    let provider = Target::respond_with(move |request| {
        let host = format!("http://{}", request.header("host").unwrap());
        let body = json!({ "issuer": host, "authorization_endpoint": format!("{host}/a"),
            "token_endpoint": format!("{host}/t"), "jwks_uri": elsewhere });
        Response::new(200, body.to_string())
    });
    let headers = "headers: { x-team: a, x-secret: '${KEY}' }";
    Check::new(&format!("oidc: {{ url: '{}', bearer: '${{KEY}}', {headers} }}", provider.url(""))).passes().await;
    let (asked, told) = (provider.requests(), keys.requests());
    let given =
        |request: &testkit::Request| ["authorization", "x-secret", "x-team"].map(|name| request.header(name).is_some());
    assert_eq!((given(&asked[0]), given(&told[0])), ([true; 3], [false, false, true]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_sets_no_cookies_passes_and_says_so() {
    let platform = Platform::start().await;
    let check = Check::new(&format!("cookies: {{ url: '{}', api_key: '${{KEY}}' }}", platform.url()));
    let observation = check.passes().await;
    assert_eq!(observation.seen.note.as_deref(), Some("the login sets no cookies: there is nothing to check"));
    assert_eq!(platform.accounts().await, 0);
}

#[tokio::test]
async fn keys_that_never_change_are_found_after_a_restart_too() {
    let target = Target::ok(json!({ "keys": [key("a")] }).to_string());
    let check = Check::new(&format!("jwks: {{ url: '{}', rotates_within: 1d }}", target.url("")));
    check.passes().await;
    let file = check.folder.path().join("keys/platform.check");
    let seen: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let long_ago = seen["a"].as_i64().unwrap() - 3 * 86_400;
    std::fs::write(&file, json!({ "a": long_ago }).to_string()).unwrap();
    let check = check.again();
    let text = "step \"rotation\" (2 of 2): no new key for 3d: keys should follow one another within 1d";
    check.fails(Json, text).await;
}
