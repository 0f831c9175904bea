//! Signing in to a real provider (npm's oidc-provider), with its forms, cookies, codes and tokens.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use monitor::probe::ReasonCode::{Auth, Json, Protocol, Redirects, Refused, Rejected, Status};
use monitor::probe::{Outcome, StepState};
use serde_json::{Value, json};
use testkit::{Response, Server, Target, free_port, serve_by_node};

use crate::Check;

const STEPS: [&str; 9] =
    ["discovery", "keys", "sign-in", "wrong-verifier", "no-verifier", "sign-in-again", "token", "id-token", "old-code"];

/// Secrets of `provider.mjs`.
pub(crate) const VARIABLES: [(&str, &str); 3] =
    [("PASSWORD", "right"), ("CLIENT_SECRET", "a secret / with = signs"), ("POSTED", "posted")];

/// Starts a provider with more settings than its own.
async fn provider(settings: &str) -> (Server, u16) {
    let port = free_port();
    (serve_by_node(include_str!("provider.mjs"), port, &[settings]).await, port)
}

/// A check of a client; `PASSWORD` is the account's.
fn check(port: u16, client: &str) -> Check {
    Check::new(&format!(
        "oidc: {{ url: 'http://127.0.0.1:{port}', budget: 30s, client: {{ {client}, redirect_url: \
         'https://app.example.com/callback' }}, user: {{ email: ada@example.com, password: '${{PASSWORD}}' }} }}"
    ))
}

#[tokio::test]
async fn clients_of_every_kind_are_signed_in_to_and_what_must_be_refused_is() {
    let (_server, port) = provider("{}").await;
    for client in ["id: web, secret: '${CLIENT_SECRET}'", "id: posts, secret: '${POSTED}'", "id: app"] {
        let observation = check(port, client).passes().await;
        let steps: Vec<&str> = observation.seen.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(steps, STEPS);
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_at_its_step_and_nothing_that_is_secret() {
    let (_server, port) = provider("{}").await;
    for (client, code, said) in [
        (
            "id: web, secret: '${POSTED}'",
            Status,
            "step \"wrong-verifier\" (4 of 9): status 401, expected 400: invalid_client",
        ),
        (
            "id: nobody",
            Status,
            "step \"sign-in\" (3 of 9): status 400, expected 200: the page \"oops! something went wrong\"",
        ),
        (
            "id: narrow, scope: openid email",
            Rejected,
            "step \"sign-in\" (3 of 9): the provider sends the browser back with an error: invalid_scope: requested scope is not allowed",
        ),
    ] {
        check(port, client).fails(code, said).await;
    }
    let yaml = check(port, "id: app").yaml.replace("PASSWORD", "POSTED");
    let said = "step \"sign-in\" (3 of 9): the page \"Sign in – Example\" asks again: the provider does not take the account's \
                name and password";
    Check::new(&yaml).fails(Auth, said).await;
}

/// A way in which a provider's token endpoint is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    TakesOtherVerifiers,
    TakesNoVerifier,
    TakesCodesAgain,
    OtherNonce,
    OtherClient,
    OtherKey,
    OtherKind,
}

/// A provider whose code says what it was asked for, and whose page of the authorization endpoint is `authorize`: it is
/// given the state and a code. Its endpoints end in slashes.
fn fake(fault: Fault, authorize: impl Fn(&str, &str) -> Response + Send + Sync + 'static) -> Target {
    let der = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
    let public = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.as_ref()).unwrap().public_key().as_ref().to_vec();
    let signing =
        if fault == Fault::OtherKey { Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap() } else { der };
    let used = Mutex::new(HashSet::new());
    Target::respond_with(move |request| {
        let host = format!("http://{}", request.header("host").unwrap());
        let url = url::Url::parse(&format!("{host}{}", request.path)).unwrap();
        let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
        let json = |status: u16, body: Value| Response::new(status, body.to_string());
        match url.path() {
            "/.well-known/openid-configuration" => {
                let endpoint = |path: &str| format!("{host}/{path}/");
                json(
                    200,
                    json!({ "issuer": host, "authorization_endpoint": endpoint("a"), "token_endpoint": endpoint("t"),
                    "jwks_uri": endpoint("k"), "authorization_response_iss_parameter_supported": true }),
                )
            }
            "/k/" => {
                let x = BASE64URL_NOPAD.encode(&public);
                json(200, json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": x }] }))
            }
            "/a/" => authorize(
                &asked["state"],
                &format!("{}.{}.{}", asked["nonce"], asked["code_challenge"], asked["state"]),
            ),
            "/t/" => {
                let form: HashMap<String, String> = url::form_urlencoded::parse(&request.body).into_owned().collect();
                let code = &form["code"];
                let is_right = match (form.get("code_verifier"), code.split('.').nth(1)) {
                    (Some(verifier), Some(challenge)) => {
                        let hash = BASE64URL_NOPAD.encode(digest(&SHA256, verifier.as_bytes()).as_ref());
                        hash == challenge || fault == Fault::TakesOtherVerifiers
                    }
                    (None, _) => fault == Fault::TakesNoVerifier,
                    (Some(_), None) => false,
                };
                let is_new = used.lock().unwrap().insert(code.clone()) || fault == Fault::TakesCodesAgain;
                if !is_right || !is_new {
                    return json(400, json!({ "error": "invalid_grant" }));
                }
                let nonce = if fault == Fault::OtherNonce { "other" } else { code.split('.').next().unwrap() };
                let client = if fault == Fault::OtherClient { "other" } else { "app" };
                let claims = json!({ "iss": host, "aud": client, "sub": "ada", "nonce": nonce, "exp": u32::MAX });
                let header = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::EdDSA) };
                let id_token = encode(&header, &claims, &EncodingKey::from_ed_der(signing.as_ref())).unwrap();
                let kind = if fault == Fault::OtherKind { "mac" } else { "Bearer" };
                json(200, json!({ "access_token": "s3cret", "id_token": id_token, "token_type": kind }))
            }
            other => Response::new(404, other.to_owned()),
        }
    })
}

/// A provider with this page.
fn wrong_provider(authorize: impl Fn(&str) -> Response + Send + Sync + 'static) -> Target {
    fake(Fault::None, move |state, _code| authorize(state))
}

fn sends_to(url: &str) -> Response {
    Response::new(303, "").with_header("location", url)
}

#[tokio::test]
async fn what_a_provider_may_not_do_is_found() {
    type Page = fn(&str) -> Response;
    const BACK: &str = "https://app.example.com/callback";
    let cases: [(Page, _, &str); 6] = [
        (
            |state| sends_to(&format!("{BACK}?code=c&state={state}x")),
            Rejected,
            "step \"sign-in\" (3 of 9): the provider answers another request than ours: its state is another one",
        ),
        (
            |state| sends_to(&format!("{BACK}?code=c&state={state}")),
            Rejected,
            "step \"sign-in\" (3 of 9): the answer to the client lacks iss, which the provider promises",
        ),
        (
            |state| sends_to(&format!("{BACK}?code=c&state={state}&iss=https://id.example.com")),
            Rejected,
            "step \"sign-in\" (3 of 9): the answer to the client is another issuer's",
        ),
        (
            |_| sends_to("https://app.example.com/elsewhere"),
            Redirects,
            "step \"sign-in\" (3 of 9): the way leads to https://app.example.com, which is neither the provider nor the client",
        ),
        (
            |state| sends_to(&format!("/a/?state={state}&nonce=n&code_challenge=c")),
            Redirects,
            "step \"sign-in\" (3 of 9): not back at the client after 12 pages",
        ),
        (
            |_| Response::new(200, "<title>Soon</title>"),
            Protocol,
            "step \"sign-in\" (3 of 9): the page \"Soon\" has no form to sign in with",
        ),
    ];
    for (page, code, said) in cases {
        let provider = wrong_provider(page);
        check(provider.addr().port(), "id: app").fails(code, said).await;
    }
}

#[tokio::test]
async fn a_code_and_its_token_are_good_for_nothing_else() {
    for (fault, expected) in [
        (Fault::None, None),
        (Fault::TakesOtherVerifiers, Some((Status, "step \"wrong-verifier\" (4 of 9): status 200, expected 400: "))),
        (Fault::TakesNoVerifier, Some((Status, "step \"no-verifier\" (5 of 9): status 200, expected 400: "))),
        (Fault::OtherKind, Some((Json, "step \"token\" (7 of 9): json token_type is \"mac\", expected \"Bearer\""))),
        (Fault::OtherNonce, Some((Json, "step \"id-token\" (8 of 9): the id token is not of this sign-in: "))),
        (Fault::OtherClient, Some((Json, "step \"id-token\" (8 of 9): the id token is for another client"))),
        (
            Fault::OtherKey,
            Some((Json, "step \"id-token\" (8 of 9): the id token is not signed by the key that it names")),
        ),
        (Fault::TakesCodesAgain, Some((Status, "step \"old-code\" (9 of 9): status 200, expected 400: "))),
    ] {
        let port = Arc::new(OnceLock::new());
        let known = port.clone();
        let provider = fake(fault, move |state, code| {
            let issuer = format!("http://127.0.0.1:{}", known.get().unwrap());
            sends_to(&format!("https://app.example.com/callback?code={code}&state={state}&iss={issuer}"))
        });
        port.set(provider.addr().port()).unwrap();
        let observation = check(provider.addr().port(), "id: app").ask().await;
        match (&observation.outcome, expected) {
            (Outcome::Pass, None) => {}
            (Outcome::Fail(reason), Some((code, said))) => {
                assert_eq!(reason.code, code, "{fault:?}: {}", reason.text);
                assert!(reason.text.starts_with(said), "{fault:?}: {}", reason.text);
                assert!(!reason.text.contains("s3cret"), "{}", reason.text);
            }
            (found, _) => panic!("{fault:?}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn a_page_that_wants_more_than_name_and_password_is_told_and_given_nothing() {
    const PAGES: [&str; 2] = [
        "<form method=post action=/a/?state=s&nonce=n&code_challenge=c><input name=u><input type=password name=p></form>",
        "<title>One more</title><form method=post action=/more><input name=otp></form>",
    ];
    let turn = AtomicUsize::new(0);
    let provider = wrong_provider(move |_| Response::new(200, PAGES[turn.fetch_add(1, Ordering::Relaxed)]));
    let said = "step \"sign-in\" (3 of 9): the page \"One more\" asks for more than a name and a password (a second factor?); let an \
                account sign in that has no more";
    check(provider.addr().port(), "id: app").fails(Auth, said).await;
    assert!(provider.requests().iter().all(|request| request.path != "/more"));
}

#[tokio::test]
async fn nobody_but_the_provider_is_given_the_password() {
    let form = "<form method=post action=URL><input name=u><input type=password name=p></form>";
    let thief = Target::ok(form);
    for page in [sends_to(&thief.url("/")), Response::new(200, form.replace("URL", &thief.url("/")))] {
        let provider = wrong_provider(move |_| page.clone());
        let origin = thief.url("");
        let said = format!(
            "step \"sign-in\" (3 of 9): the way leads to {}, which is neither the provider nor the client",
            origin.trim_end_matches('/')
        );
        check(provider.addr().port(), "id: app").fails(Redirects, &said).await;
    }
    assert_eq!(thief.connections(), 0);
}

#[tokio::test]
async fn a_provider_that_went_and_came_back_is_told_and_forgotten() {
    let (mut server, port) = provider("{}").await;
    let check = check(port, "id: app");
    check.passes().await;
    server.end();
    check.fails(Refused, &format!("step \"discovery\" (1 of 9): connection refused by 127.0.0.1:{port}")).await;
    let _server = serve_by_node(include_str!("provider.mjs"), port, &["{}"]).await;
    let observation = check.passes().await;
    assert!(observation.seen.steps.iter().all(|step| step.state == StepState::Passed));
}

#[test]
fn a_client_and_its_user_go_together() {
    let said = |more: &str| {
        let yaml = format!("oidc: {{ url: 'https://id.example.com', {more} }}");
        crate::decode(&yaml, &auth_monitor::Means::new("test")).unwrap_err().join("\n")
    };
    for (more, expected) in [
        (
            "client: { id: a, redirect_url: 'https://a.example/' }",
            "a client is there to sign in to; write user: { email, password_file } too",
        ),
        (
            "user: { email: a@b.c, password: '${PASSWORD}' }",
            "a user signs in to a client; write client: { id, redirect_url } too",
        ),
        ("client: { id: a }", "\"redirect_url\" is missing"),
        (
            "client: { id: a, redirect_url: callback }",
            "\"callback\" is not where a client is; write it like https://app.example.com/callback",
        ),
        (
            "client: { id: a, redirect_url: 'https://a.example/', scope: email }",
            "\"email\" lacks \"openid\": without it the provider does not say who signed in",
        ),
        (
            "client: { id: a, redirect_url: 'https://a.example/', secret: literal }",
            "a secret does not belong in this file; write secret_file: /path/to/file or secret: ${VARIABLE}",
        ),
    ] {
        let found = said(more);
        assert!(found.contains(expected), "{found}");
    }
}
