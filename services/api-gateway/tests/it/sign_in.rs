//! Sign-in through the gateway, by the real platform-services: the codes and bodies that clients of each path know.

use api_gateway::{Settings, Signed};
use kit::config::Environment;
use kit::service::Settings as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Target, eventually};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Gateway, KEY, LIMIT, send, settings, upstream};

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
const PASSWORD: &str = "correct horse battery";

/// A platform-services and a gateway before it, which tells it from the others.
pub(crate) struct SignIn {
    pub(crate) gateway: Gateway,
    pub(crate) llm: Target,
    /// Where platform-services itself is.
    pub(crate) platform: String,
    stop: CancellationToken,
    _folder: TempDir,
}

impl SignIn {
    pub(crate) async fn start() -> Self {
        Self::start_with(Signed::Secret(SECRET.into()), "HS256", Gateway::start).await
    }

    /// With a gateway in this thread.
    pub(crate) async fn start_here() -> Self {
        Self::start_with(Signed::Secret(SECRET.into()), "HS256", Gateway::start_here).await
    }

    /// With what the gateway knows of tokens, and how they are signed.
    async fn start_with(signed: Signed, algorithm: &str, start: impl AsyncFnOnce(Settings) -> Gateway) -> Self {
        let (folder, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
        let url = format!("sqlite:{}", folder.path().join("p.db").display());
        let environment = Environment::of([
            ("JWT_SECRET", SECRET),
            ("JWT_ALGORITHM", algorithm),
            ("API_KEY", KEY),
            ("DATABASE_URL", &url),
        ]);
        let platform = platform_services::Settings::read(&environment).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(platform_services::run(listener, platform, stop.clone()));
        let llm = Target::ok(r#"{"response": "hello", "session_id": "s", "tools_used": []}"#);
        let mut settings = settings();
        settings.platform_services = upstream(&url);
        settings.llm_orchestrator = upstream(&llm.url(""));
        settings.signed = signed;
        let gateway = start(settings).await;
        eventually("sign-in to be ready", LIMIT, async || {
            (gateway.get("/api/v1/platform/health").await.status == 200).then_some(())
        })
        .await;
        Self { gateway, llm, platform: url, stop, _folder: folder }
    }

    pub(crate) async fn register(&self, email: &str) -> String {
        let answer = self.gateway.post("/api/v1/auth/register", None, &person(email)).await;
        text(&answer.json(), "access_token")
    }

    /// Makes a key that is for this.
    pub(crate) async fn key_for(&self, scope: &str) -> Value {
        let body = json!({ "name": scope, "scopes": [scope] }).to_string();
        let request = hyper::Request::post(format!("{}/auth/keys", self.platform)).header("x-api-key", KEY);
        send(request.header("content-type", "application/json"), body).await.json()
    }

    pub(crate) async fn revoke(&self, key: &Value) {
        let request = hyper::Request::delete(format!("{}/auth/keys/{}", self.platform, text(key, "id")));
        assert_eq!(send(request.header("x-api-key", KEY), "").await.status, 200);
    }
}

impl Drop for SignIn {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn person(email: &str) -> Value {
    json!({ "name": "Ada Noel", "email": email, "password": PASSWORD, "confirm_password": PASSWORD, "tenant_id": "t1" })
}

fn text(json: &Value, key: &str) -> String {
    json[key].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_path_registers_with_the_codes_its_clients_know() {
    let SignIn { gateway, .. } = &SignIn::start().await;
    for (path, made) in [("/api/auth", 200), ("/api/v1/auth", 201)] {
        let email = format!("ada-{made}@example.com");
        let register = format!("{path}/register");
        let answer = gateway.post(&register, None, &person(&email)).await;
        let json = answer.json();
        assert_eq!(answer.status, made, "{json}");
        assert_eq!((&json["user"]["email"], &json["user"]["name"]), (&json!(email), &json!("Ada Noel")));
        assert!(json["message"].is_string() && json["user"]["id"].is_string(), "{json}");
        gateway.post(&register, None, &person(&email)).await.error(400, "email_taken");
        gateway.post(&register, None, &person("no address")).await.error(400, "invalid_email");
        let short = json!({ "name": "A", "email": "a@example.com", "password": "short" });
        gateway.post(&register, None, &short).await.error(400, "password_too_short");
        for (body, code) in [("{", 400), ("{}", 400), (r#"{"email": 7, "password": true}"#, 400)] {
            let request = gateway.request("POST", &format!("{path}/login")).header("content-type", "application/json");
            let answer = send(request, body).await;
            assert_eq!(answer.status, code, "{body}");
            assert!(answer.json()["error"].is_string());
        }
        let get = gateway.get(&format!("{path}/login")).await;
        assert_eq!(get.error(404, "not_found"), "no such path");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lives_and_ends_through_the_gateway() {
    let ways = [
        (Signed::Secret(SECRET.into()), "HS256"),
        (Signed::Unknown, "HS256"),
        (Signed::Published, "EdDSA"),
        (Signed::Published, "RS256"),
    ];
    for (signed, algorithm) in ways {
        let sign_in = SignIn::start_with(signed, algorithm, Gateway::start).await;
        let gateway = &sign_in.gateway;
        sign_in.register("ada@example.com").await;
        let wrong = json!({ "email": "ada@example.com", "password": "not this one" });
        gateway.post("/api/v1/auth/login", None, &wrong).await.error(401, "bad_credentials");
        let right = json!({ "email": "ada@example.com", "password": PASSWORD });
        let login = gateway.post("/api/auth/login", None, &right).await.json();
        assert_eq!((&login["token_type"], &login["user"]["email"]), (&json!("bearer"), &json!("ada@example.com")));
        let refresh = json!({ "refresh_token": login["refresh_token"] });
        let again = gateway.post("/api/v1/auth/refresh", None, &refresh).await.json();
        assert_ne!(again["access_token"], login["access_token"]);
        gateway.post("/api/v1/auth/refresh", None, &refresh).await.error(401, "bad_refresh_token");
        let token = text(&gateway.post("/api/v1/auth/login", None, &right).await.json(), "access_token");
        for path in ["/api/auth/users/profile", "/api/v1/users/profile", "/api/user/profile"] {
            assert_eq!(gateway.get_as(&token, path).await.json()["first_name"], "Ada", "{path}");
            gateway.get(path).await.error(401, "unauthorized");
        }
        assert_eq!(gateway.get_as(&token, "/api/v1/tenants/current").await.json()["id"], "t1");
        gateway.get("/api/v1/tenants/current").await.error(401, "unauthorized");
        let say = json!({ "message": "hello" });
        assert_eq!(gateway.post("/api/v1/chat", Some(&token), &say).await.status, 200);
        gateway.post("/api/auth/logout", Some(&token), &json!({})).await.json();
        for _twice in 0..2 {
            gateway.post("/api/v1/chat", Some(&token), &say).await.error(401, "unauthorized");
            gateway.get_as(&token, "/api/v1/users/profile").await.error(401, "unauthorized");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_shows_its_key_through_the_gateway_and_harms_nobody() {
    let sign_in = SignIn::start().await;
    let gateway = &sign_in.gateway;
    sign_in.register("ada@example.com").await;
    let login = async |key: Option<&str>, email: &str, password: &str| {
        let request = gateway.request("POST", "/api/v1/auth/login").header("content-type", "application/json");
        let request = match key {
            Some(key) => request.header("x-api-key", key).header("x-monitor-probe", "auth-monitor"),
            None => request,
        };
        send(request, json!({ "email": email, "password": password }).to_string()).await
    };
    for number in 0..55 {
        let email = format!("nobody-{number}@monitor.invalid");
        login(Some(KEY), &email, "wrong").await.error(401, "bad_credentials");
    }
    assert_eq!(login(None, "ada@example.com", PASSWORD).await.status, 200);
    login(Some("a wrong key"), "ada@example.com", PASSWORD).await.error(401, "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_can_say_who_asks_it_is_503_and_not_401() {
    let mut settings = settings();
    let (_gone, url) = crate::nowhere();
    settings.platform_services = upstream(&url);
    let gateway = Gateway::start(settings).await;
    let answer = gateway.post("/api/v1/chat", Some("any"), &json!({ "message": "hello" })).await;
    answer.error(503, "sign_in_unavailable");
    gateway.post("/api/v1/chat", None, &json!({ "message": "hello" })).await.error(401, "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_with_a_key_of_its_own_may_what_it_is_for() {
    let sign_in = SignIn::start().await;
    let gateway = &sign_in.gateway;
    let (chat, watch) = (sign_in.key_for("chat").await, sign_in.key_for("watch").await);
    let ask = async |key: &Value, method: &str, path: &str| {
        let request = gateway.request(method, path).header("x-api-key", text(key, "key"));
        send(request.header("x-monitor-probe", "test").header("content-type", "application/json"), "{}").await
    };
    assert_eq!(ask(&chat, "GET", "/api/tools").await.status, 200);
    assert_eq!(sign_in.llm.requests()[0].header("x-api-key"), Some(KEY), "services know the shared key alone");
    ask(&chat, "GET", "/api/airtable/bases").await.error(403, "forbidden");
    ask(&watch, "GET", "/api/tools").await.error(403, "forbidden");
    // What a service decides about it sees as it was shown: no key becomes a stronger one on its way.
    ask(&chat, "GET", "/api/v1/analytics/dashboard").await.error(403, "forbidden");
    for number in 0..55 {
        let request = gateway.request("POST", "/api/v1/auth/login").header("x-api-key", text(&watch, "key"));
        let body = json!({ "email": format!("nobody-{number}@monitor.invalid"), "password": "wrong" });
        let request = request.header("x-monitor-probe", "test").header("content-type", "application/json");
        send(request, body.to_string()).await.error(401, "bad_credentials");
    }
    sign_in.revoke(&chat).await;
    eventually("the revoked key to be refused", LIMIT, async || {
        (ask(&chat, "GET", "/api/tools").await.status == 401).then_some(())
    })
    .await;
    let forged = json!({ "key": "pak_forged" });
    ask(&forged, "GET", "/api/tools").await.error(401, "unauthorized");
}
