//! `kill -9` of the real binary while people register and sign in: what was answered is kept, and nothing half made.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use hyper::Request;
use serde_json::{Value, json};
use testkit::{at_scale, eventually, free_port};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::{Answer, KEY, LIMIT, PASSWORD, SECRET, text, try_send};

/// As many as there are turns for hashing on a small machine, twice.
const CLIENTS: usize = 4;

/// The real binary over a file.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    async fn start(url: &str) -> Self {
        let port = free_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_platform-services"));
        let variables = [("JWT_SECRET", SECRET), ("API_KEY", KEY), ("DATABASE_URL", url), ("LOG_LEVEL", "error")];
        command.env_clear().envs(variables).env("PORT", port.to_string()).kill_on_drop(true);
        let program = Self { child: command.spawn().unwrap(), address: ([127, 0, 0, 1], port).into() };
        eventually("the file to be open", LIMIT, async || {
            let ready = program.request("GET", "/readyz", Value::Null).await?;
            (ready.status == 200).then_some(())
        })
        .await;
        program
    }

    /// Asks with the key, as a monitor: no address is locked by what is tried here. None if nobody answers.
    async fn request(&self, method: &str, path: &str, body: Value) -> Option<Answer> {
        let request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        let request = request.header("x-api-key", KEY).header("x-monitor-probe", "test");
        try_send(request.header("content-type", "application/json"), body.to_string()).await
    }

    async fn log_in(&self, email: &str) -> Option<Answer> {
        self.request("POST", "/auth/login", json!({ "email": email, "password": PASSWORD })).await
    }
}

/// What somebody was told.
#[derive(Default)]
struct Told {
    /// Accounts that were asked for.
    asked: Vec<String>,
    /// Those that were made.
    made: Vec<String>,
    /// Refresh tokens that nobody has used.
    refresh: Vec<String>,
}

/// Registers and signs in, one account after the other, until nobody answers.
async fn live(program: &Program, client: &str, answers: &AtomicUsize, told: &Mutex<Told>) {
    for number in 0.. {
        let email = format!("{client}-{number}@example.com");
        let body = json!({ "name": "Ada", "email": email, "password": PASSWORD });
        told.lock().unwrap().asked.push(email.clone());
        let Some(made) = program.request("POST", "/auth/register", body).await else { return };
        let made = made.good(201);
        answers.fetch_add(1, Ordering::Relaxed);
        told.lock().unwrap().made.push(email.clone());
        let Some(login) = program.log_in(&email).await else { return };
        let login = login.good(200);
        answers.fetch_add(1, Ordering::Relaxed);
        told.lock().unwrap().refresh.extend([&made, &login].map(|tokens| text(tokens, "refresh_token")));
    }
}

/// Every account is whole: what was answered is there, and the rest is either there with all that belongs to it, or not.
async fn holds(program: &Program, told: &Told) {
    for email in &told.asked {
        let login = program.log_in(email).await.unwrap();
        if login.status == 200 {
            continue;
        }
        login.error(401, "bad_credentials");
        assert!(!told.made.contains(email), "{email} is lost");
        let body = json!({ "name": "Ada", "email": email, "password": PASSWORD });
        program.request("POST", "/auth/register", body).await.unwrap().good(201);
    }
    for refresh in &told.refresh {
        let body = json!({ "refresh_token": refresh });
        program.request("POST", "/auth/refresh", body).await.unwrap().good(200);
    }
    let events = program.request("GET", "/auth/events?limit=1000", Value::Null).await.unwrap().good(200);
    for email in &told.asked {
        let is_about = |event: &&Value| event["email"] == email.as_str() && event["kind"] == "registered";
        let noted = events["events"].as_array().unwrap().iter().filter(is_about).count();
        assert_eq!(noted, 1, "{email}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_outlives_kill_9() {
    let seed = testkit::seed();
    for round in 0..at_scale(4, 200) {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("platform.db").display());
        let mut program = Program::start(&url).await;
        let (answers, told) = (AtomicUsize::new(0), Mutex::new(Told::default()));
        // After so many answers: some are in the middle of something then.
        let after = usize::try_from((seed.wrapping_add(round) % 13) + 1).unwrap();
        let id = program.child.id().unwrap();
        let clients: Vec<String> = (0..CLIENTS).map(|client| format!("client-{client}")).collect();
        let living = join_all(clients.iter().map(|client| live(&program, client, &answers, &told)));
        tokio::join!(living, async {
            eventually("some answers", LIMIT, async || (answers.load(Ordering::Relaxed) >= after).then_some(())).await;
            let done = Command::new("kill").args(["-KILL", &id.to_string()]).status().await.unwrap();
            assert!(done.success());
        });
        timeout(LIMIT, program.child.wait()).await.expect("it is dead").unwrap();
        let told = told.into_inner().unwrap();
        assert!(!told.made.is_empty());
        holds(&Program::start(&url).await, &told).await;
    }
}
