//! Signing in to a real provider (npm's oidc-provider), with its forms, cookies, codes and tokens.

use monitor::probe::ReasonCode::{Auth, Protocol, Redirects, Refused, Rejected, Status};
use monitor::probe::StepState;
use serde_json::json;
use testkit::{Response, Server, Target, free_port, serve_by_node};

use crate::Check;

const STEPS: [&str; 8] =
    ["discovery", "keys", "sign-in", "wrong-verifier", "sign-in-again", "token", "id-token", "old-code"];

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
            "step \"wrong-verifier\" (4 of 8): status 401, expected 400: invalid_client",
        ),
        (
            "id: nobody",
            Status,
            "step \"sign-in\" (3 of 8): status 400, expected 200: the page \"oops! something went wrong\"",
        ),
        (
            "id: narrow, scope: openid email",
            Rejected,
            "step \"sign-in\" (3 of 8): the provider sends the browser back with an error: invalid_scope: requested scope is not allowed",
        ),
    ] {
        check(port, client).fails(code, said).await;
    }
    let yaml = check(port, "id: app").yaml.replace("PASSWORD", "POSTED");
    let said = "step \"sign-in\" (3 of 8): the page \"Sign in – Example\" asks again: the provider does not take the account's \
                name and password";
    Check::new(&yaml).fails(Auth, said).await;
}

/// A provider that is wrong in one way: its page of the authorization endpoint, which is given the state, answers so.
fn wrong_provider(authorize: impl Fn(&str) -> Response + Send + Sync + 'static) -> Target {
    Target::respond_with(move |request| {
        let host = format!("http://{}", request.header("host").unwrap());
        let url = url::Url::parse(&format!("{host}{}", request.path)).unwrap();
        let state = url.query_pairs().find(|(name, _)| name == "state").map(|(_, state)| state.into_owned());
        match url.path() {
            "/.well-known/openid-configuration" => {
                let body = json!({ "issuer": host, "authorization_endpoint": format!("{host}/a"),
                    "token_endpoint": format!("{host}/t"), "jwks_uri": format!("{host}/k"),
                    "authorization_response_iss_parameter_supported": true });
                Response::new(200, body.to_string())
            }
            "/k" => Response::new(200, json!({ "keys": [{ "kty": "EC", "kid": "a" }] }).to_string()),
            "/t" => Response::new(200, json!({ "access_token": "s3cret", "id_token": "s3cret" }).to_string()),
            _ => authorize(&state.unwrap_or_default()),
        }
    })
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
            "step \"sign-in\" (3 of 8): the provider answers another request than ours: its state is another one",
        ),
        (
            |state| sends_to(&format!("{BACK}?code=c&state={state}")),
            Rejected,
            "step \"sign-in\" (3 of 8): the answer to the client lacks iss, which the provider promises",
        ),
        (
            |state| sends_to(&format!("{BACK}?code=c&state={state}&iss=https://id.example.com")),
            Rejected,
            "step \"sign-in\" (3 of 8): the answer to the client is another issuer's",
        ),
        (
            |_| sends_to("https://app.example.com/elsewhere"),
            Redirects,
            "step \"sign-in\" (3 of 8): the way leads to https://app.example.com, which is neither the provider nor the client",
        ),
        (|_| sends_to("/a"), Redirects, "step \"sign-in\" (3 of 8): not back at the client after 12 pages"),
        (
            |_| Response::new(200, "<title>Soon</title>"),
            Protocol,
            "step \"sign-in\" (3 of 8): the page \"Soon\" has no form to sign in with",
        ),
    ];
    for (page, code, said) in cases {
        let provider = wrong_provider(page);
        check(provider.addr().port(), "id: app").fails(code, said).await;
    }
}

#[tokio::test]
async fn a_provider_that_takes_any_verifier_is_found() {
    let port = std::sync::Arc::new(std::sync::OnceLock::new());
    let known = port.clone();
    let provider = wrong_provider(move |state| {
        let issuer = format!("http://127.0.0.1:{}", known.get().unwrap());
        sends_to(&format!("https://app.example.com/callback?code=c&state={state}&iss={issuer}"))
    });
    port.set(provider.addr().port()).unwrap();
    let said =
        "step \"wrong-verifier\" (4 of 8): status 200, expected 400: it is JSON; there are access_token, id_token";
    check(provider.addr().port(), "id: app").fails(Status, said).await;
}

#[tokio::test]
async fn nobody_but_the_provider_is_given_the_password() {
    let form = "<form method=post action=URL><input name=u><input type=password name=p></form>";
    let thief = Target::ok(form);
    for page in [sends_to(&thief.url("/")), Response::new(200, form.replace("URL", &thief.url("/")))] {
        let provider = wrong_provider(move |_| page.clone());
        let origin = thief.url("");
        let said = format!(
            "step \"sign-in\" (3 of 8): the way leads to {}, which is neither the provider nor the client",
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
    check.fails(Refused, &format!("step \"discovery\" (1 of 8): connection refused by 127.0.0.1:{port}")).await;
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
