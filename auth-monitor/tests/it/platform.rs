//! The real platform, in this process: what is right passes, and what its operator broke does not.

use std::net::SocketAddr;

use kit::config::Environment;
use kit::service::Settings as _;
use monitor::probe::{Outcome, ReasonCode};
use platform_services::Settings;
use testkit::eventually;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::fake::SECRET;
use crate::{Check, LIMIT};

pub(crate) const KEY: &str = "the-key-of-services";

/// A platform over a SQLite file; it stops when this is dropped.
pub(crate) struct Platform {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    folder: tempfile::TempDir,
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Platform {
    pub(crate) async fn start() -> Self {
        Self::start_signing_by("HS256").await
    }

    pub(crate) async fn start_signing_by(algorithm: &str) -> Self {
        Self::start_at("127.0.0.1:0", tempfile::tempdir().unwrap(), algorithm).await
    }

    /// Starts one on the data of an earlier one, at its address.
    async fn again(mut self) -> Self {
        self.stop.cancel();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        let address = self.address.to_string();
        Self::start_at(&address, folder, "HS256").await
    }

    async fn start_at(address: &str, folder: tempfile::TempDir, algorithm: &str) -> Self {
        let url = format!("sqlite:{}", folder.path().join("platform.db").display());
        let environment = Environment::of([
            ("JWT_SECRET", SECRET),
            ("JWT_ALGORITHM", algorithm),
            ("API_KEY", KEY),
            ("DATABASE_URL", url.as_str()),
        ]);
        let settings = Settings::read(&environment).unwrap();
        let listener =
            eventually("the address to be free", LIMIT, async || TcpListener::bind(address).await.ok()).await;
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let until = stop.clone();
        tokio::spawn(async move { platform_services::run(listener, settings, until).await });
        let platform = Self { address, stop, folder };
        eventually("the platform to be ready", LIMIT, async || {
            let request = hyper::Request::get(platform.url() + "/readyz").body(Default::default()).unwrap();
            let answer = kit::http::get(request, LIMIT, 65_536).await.ok()?;
            answer.0.is_success().then_some(())
        })
        .await;
        platform
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns how many accounts there are that are not deleted.
    pub(crate) async fn accounts(&self) -> usize {
        let request = hyper::Request::get(self.url() + "/auth/events").header("x-api-key", KEY);
        let (_, body) = kit::http::get(request.body(Default::default()).unwrap(), LIMIT, 1 << 20).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let count = |kind| body["events"].as_array().unwrap().iter().filter(|event| event["kind"] == kind).count();
        count("registered") - count("deleted")
    }
}

fn all(url: &str) -> [Check; 4] {
    [
        "sign-in: { url: 'URL', api_key: '${KEY}', budget: 60s }",
        "tokens: { url: 'URL', api_key: '${KEY}', budget: 60s, account: true, secret: '${SECRET}' }",
        "lockout: { url: 'URL', api_key: '${KEY}' }",
        "registration: { url: 'URL', api_key: '${KEY}', budget: 60s }",
    ]
    .map(|settings| Check::new(&settings.replace("URL", url)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_platform_passes_everything_and_is_left_without_an_account() {
    let platform = Platform::start().await;
    for check in all(&platform.url()) {
        let observation = check.passes().await;
        assert_eq!(observation.soft, []);
        assert_eq!(check.ledger.left(), 0);
    }
    assert_eq!(platform.accounts().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_those_that_sign_where_pairs_do_and_none_where_a_secret_does() {
    let keys = |platform: &Platform, more: &str| {
        Check::new(&format!("jwks: {{ url: '{}', api_key: '${{KEY}}', budget: 60s, {more} }}", platform.url()))
    };
    for algorithm in ["EdDSA", "RS256"] {
        let platform = Platform::start_signing_by(algorithm).await;
        for more in ["account: true, rotates_within: 100d", "account: true, required: false"] {
            let observation = keys(&platform, more).passes().await;
            assert_eq!(observation.seen.note, None);
        }
        // A false token says HS256 or HS512, or is signed by a secret: a pair verifies none of them.
        let tokens = "tokens: { url: 'URL', api_key: '${KEY}', budget: 60s, account: true, secret: '${SECRET}' }";
        Check::new(&tokens.replace("URL", &platform.url())).passes().await;
        assert_eq!(platform.accounts().await, 0);
    }
    let platform = Platform::start().await;
    let text = "step \"keys\" (1 of 4): json keys is missing or empty: no token can be verified";
    keys(&platform, "account: true").fails(ReasonCode::Json, text).await;
    let observation = keys(&platform, "account: true, required: false").ask().await;
    let note = observation.seen.note.as_deref();
    assert_eq!((&observation.outcome, note), (&Outcome::Pass, Some("no key is published: there is nothing to check")));
    assert_eq!(platform.accounts().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_is_stopped_fails_every_check_and_passes_again_when_it_is_back() {
    let platform = Platform::start().await;
    let checks = all(&platform.url());
    platform.stop.cancel();
    eventually("the platform to be gone", LIMIT, async || {
        tokio::net::TcpStream::connect(platform.address).await.is_err().then_some(())
    })
    .await;
    for check in &checks {
        let observation = check.ask().await;
        let Outcome::Fail(reason) = &observation.outcome else { panic!("{observation:?}") };
        assert_eq!(reason.code, ReasonCode::Refused, "{}", reason.text);
        assert!(reason.text.starts_with("step \"register\" (1 of "), "{}", reason.text);
    }
    let platform = platform.again().await;
    for check in &checks {
        check.passes().await;
    }
    assert_eq!(platform.accounts().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_somebody_set_up_is_signed_in_to_and_stays() {
    let platform = Platform::start().await;
    let body = r#"{"name":"Ada","email":"ada@example.com","password":"0123456789abcdef0123456789abcdef"}"#;
    let request = hyper::Request::post(platform.url() + "/auth/register")
        .header("content-type", "application/json")
        .body(body.to_owned().into());
    kit::http::get(request.unwrap(), LIMIT, 65_536).await.unwrap();
    let user = "user: { email: ADA@example.com, password: '${SECRET}' }";
    let check = Check::new(&format!("sign-in: {{ url: '{}', budget: 60s, {user} }}", platform.url()));
    let observation = check.passes().await;
    assert_eq!(observation.seen.steps.len(), 8);
    assert_eq!(platform.accounts().await, 1);
    let wrong = check_user(&platform, "user: { email: ada@example.com, password: '${KEY}' }");
    wrong
        .fails(
            ReasonCode::Status,
            "step \"login\" (1 of 8): status 401, expected 200 or 201: e-mail address or password is wrong",
        )
        .await;
}

fn check_user(platform: &Platform, user: &str) -> Check {
    Check::new(&format!("sign-in: {{ url: '{}', {user} }}", platform.url()))
}
