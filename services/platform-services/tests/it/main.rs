//! The whole service on a real socket, over a SQLite file and over a real PostgreSQL: the same scenarios on both.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

mod analytics;
mod asvs;
mod away;
mod full;
mod keys;
mod killed;
mod lockout;
mod mail;
mod mail_kept;
mod outages;
mod own_sessions;
mod relay;
mod second_factor;
mod sessions;
mod versions;
mod watchers;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};
use kit::config::Environment;
use kit::service::Settings as _;
use platform_services::Settings;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use testkit::{MailServer, Postgres, Smtp, eventually};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Far longer than anything on loopback takes; reaching it fails a test.
const LIMIT: Duration = Duration::from_secs(60);
const KEY: &str = "the-services-key";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const PASSWORD: &str = "correct horse battery";

/// A service in this process; it stops when this is dropped.
struct Platform {
    address: SocketAddr,
    url: String,
    stop: CancellationToken,
    running: JoinHandle<()>,
    folder: tempfile::TempDir,
    /// Takes its mails, unless it was told of another.
    mail: MailServer,
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Platform {
    /// Starts one over a file, and waits until it is ready.
    async fn over_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("data/platform.db").display());
        Self::ready(Self::start(folder, &url).await).await
    }

    /// Starts one over a server, and waits until it is ready.
    async fn over(postgres: &Postgres) -> Self {
        Self::ready(Self::start(tempfile::tempdir().unwrap(), &postgres.url()).await).await
    }

    async fn start(folder: tempfile::TempDir, url: &str) -> Self {
        Self::start_with(folder, url, ("REQUIRE_API_KEY", "true")).await
    }

    async fn start_with(folder: tempfile::TempDir, url: &str, more: (&str, &str)) -> Self {
        let mail = Smtp::default().start();
        let (smtp, jobs) = (format!("smtp://{}", mail.target().addr()), folder.path().join("jobs.db"));
        let jobs = if url.starts_with("sqlite:") { format!("sqlite:{}", jobs.display()) } else { String::new() };
        let environment = Environment::of([
            ("JWT_SECRET", SECRET),
            ("API_KEY", KEY),
            ("DATABASE_URL", url),
            ("SMTP_URL", &smtp),
            ("MAIL_FROM", "Platform <no-reply@platform.example>"),
            ("JOBS_DATABASE_URL", &jobs),
            ("PUBLIC_URL", "https://platform.example/app"),
            more,
        ]);
        let settings = Settings::read(&environment).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let until = stop.clone();
        let running = tokio::spawn(async move { platform_services::run(listener, settings, until).await });
        Self { address, url: url.to_owned(), stop, running, folder, mail }
    }

    /// Stops it, and starts another on the same files.
    async fn again(mut self, more: (&str, &str)) -> Self {
        self.stop.cancel();
        timeout(LIMIT, &mut self.running).await.expect("it ends").unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        let url = self.url.clone();
        Self::ready(Self::start_with(folder, &url, more).await).await
    }

    async fn ready(self) -> Self {
        eventually("the service to be ready", LIMIT, async || {
            (self.ask("GET", "/readyz", None, None).await.status == 200).then_some(())
        })
        .await;
        self
    }

    /// Asks as a browser does, from an address of its own.
    async fn ask(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        self.ask_from("127.0.0.1", method, path, token, body).await
    }

    async fn ask_from(&self, from: &str, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        let mut request = self.request(method, path).header("x-forwarded-for", from);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        send(request.header("content-type", "application/json"), body).await
    }

    fn request(&self, method: &str, path: &str) -> hyper::http::request::Builder {
        Request::builder().method(method).uri(format!("http://{}{path}", self.address))
    }

    async fn register(&self, email: &str) -> Answer {
        let body = json!({ "name": "Ada King Noel", "email": email, "password": PASSWORD });
        self.ask("POST", "/auth/register", None, Some(body)).await
    }

    async fn login(&self, email: &str, password: &str) -> Answer {
        self.ask("POST", "/auth/login", None, Some(json!({ "email": email, "password": password }))).await
    }

    async fn refresh(&self, token: &str) -> Answer {
        self.ask("POST", "/auth/refresh", None, Some(json!({ "refresh_token": token }))).await
    }

    /// Changes what is in the database behind the service's back; `{schema}` is before names of tables.
    async fn change(&self, sql: &str) {
        if self.url.starts_with("sqlite:") {
            let pool = sqlx::SqlitePool::connect(&self.url).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(sql.replace("{schema}", ""))).execute(&pool).await.unwrap();
            pool.close().await;
        } else {
            let pool = sqlx::PgPool::connect(&self.url).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(sql.replace("{schema}", "platform_services."))).execute(&pool).await.unwrap();
            pool.close().await;
        }
    }

    /// Asks as a service does that has this key.
    async fn with_key(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, path).header("x-api-key", key).header("content-type", "application/json");
        send(request, body.map(|body| body.to_string()).unwrap_or_default()).await
    }

    /// Returns what happened in sign-in, oldest first.
    async fn events(&self) -> Vec<Value> {
        let events = self.with_key(KEY, "GET", "/auth/events", None).await.good(200);
        events["events"].as_array().unwrap().clone()
    }

    /// Returns what happened to the account with this address.
    async fn kinds(&self, email: &str) -> Vec<String> {
        self.events().await.iter().filter(|event| event["email"] == email).map(|event| text(event, "kind")).collect()
    }

    /// Returns the status of a request for the own profile.
    async fn profile(&self, token: &str) -> u16 {
        self.ask("GET", "/auth/me", Some(token), None).await.status
    }
}

/// A whole answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns the JSON of an answer that is as wanted.
    #[track_caller]
    fn good(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// Asserts that this is an error in the one shape that satisfies all clients, and returns its text.
    #[track_caller]
    fn error(&self, status: u16, code: &str) -> String {
        let json = self.good(status);
        assert_eq!(json["code"], code, "{json}");
        assert!(json["error"] == json["detail"] && json["error"] == json["message"], "{json}");
        json["error"].as_str().unwrap().to_owned()
    }
}

/// Returns a text of an answer's JSON.
#[track_caller]
fn text(json: &Value, key: &str) -> String {
    json[key].as_str().unwrap().to_owned()
}

async fn send(request: hyper::http::request::Builder, body: impl Into<Bytes>) -> Answer {
    try_send(request, body).await.expect("somebody answers")
}

/// Returns the whole answer, if there is one.
async fn try_send(request: hyper::http::request::Builder, body: impl Into<Bytes>) -> Option<Answer> {
    let request = request.body(Full::new(body.into())).unwrap();
    let exchange = async {
        let response = kit::http::client(LIMIT).request(request).await.ok()?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Answer { status: head.status.as_u16(), headers: head.headers, body })
    };
    timeout(LIMIT, exchange).await.expect("an answer")
}

/// Every scenario on one server: each has accounts of its own.
#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_goes_the_same_way_on_postgresql() {
    let postgres = Postgres::start().await;
    let platform = Platform::over(&postgres).await;
    sessions::all(&platform).await;
    own_sessions::all(&platform).await;
    second_factor::all(&platform).await;
    mail::all(&platform).await;
    lockout::all(&platform).await;
    watchers::all(&platform).await;
    keys::all(&platform).await;
    analytics::all(&platform).await;
    let tables =
        postgres.sql("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'platform_services'");
    assert_eq!(tables.trim(), "19", "its own schema holds its tables and the steps that made them");
}
