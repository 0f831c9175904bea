//! PostgreSQL that is restarted, or hangs, while people sign in: nobody is told anything wrong, nothing is lost, and all
//! goes on by itself.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::{Postgres, at_scale, eventually};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{Answer, LIMIT, PASSWORD, Platform, send, text};

/// More than the pool has connections.
const CLIENTS: usize = 24;

/// How many answers somebody got.
#[derive(Default)]
struct Seen {
    good: AtomicUsize,
    refusals: AtomicUsize,
}

/// What somebody knows of his session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    In,
    /// He was not answered: his refresh token may have been taken.
    Unsure,
    Out,
}

/// Somebody who stays signed in and looks at his profile, for ever.
struct Client<'a> {
    platform: &'a Platform,
    seen: &'a Seen,
    address: String,
    email: String,
    access: String,
    refresh: String,
    standing: Standing,
    /// Refresh tokens that were taken, each with an answer.
    used: Vec<String>,
}

impl<'a> Client<'a> {
    async fn register(platform: &'a Platform, number: usize, seen: &'a Seen) -> Self {
        let (address, email) = (format!("192.0.2.{number}"), format!("client-{number}@example.com"));
        let body = json!({ "name": "Ada", "email": email, "password": PASSWORD });
        let made = platform.ask_from(&address, "POST", "/auth/register", None, Some(body)).await.good(201);
        let (access, refresh) = (text(&made, "access_token"), text(&made, "refresh_token"));
        Self { platform, seen, address, email, access, refresh, standing: Standing::In, used: Vec::new() }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.platform.ask_from(&self.address, method, path, Some(&self.access), body).await
    }

    /// Returns the JSON of a good answer. The only other one is that the database cannot be reached.
    fn note(&self, answer: &Answer) -> Option<Value> {
        if answer.status == 503 {
            answer.error(503, "database_unavailable");
            self.seen.refusals.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let json = answer.good(200);
        self.seen.good.fetch_add(1, Ordering::Relaxed);
        Some(json)
    }

    async fn live_until(&mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.standing {
                Standing::In => {
                    self.note(&self.ask("GET", "/auth/me", None).await);
                    self.refresh().await;
                }
                Standing::Unsure => self.refresh().await,
                Standing::Out => self.log_in().await,
            }
        }
        let returning = async {
            while self.standing != Standing::In {
                self.log_in().await;
            }
        };
        timeout(LIMIT, returning).await.expect("everybody comes in again");
    }

    async fn refresh(&mut self) {
        let body = json!({ "refresh_token": self.refresh });
        let answer = self.ask("POST", "/auth/refresh", Some(body)).await;
        if answer.status == 401 && self.standing == Standing::Unsure {
            self.standing = Standing::Out;
            return;
        }
        match self.note(&answer) {
            Some(tokens) => {
                let used = std::mem::replace(&mut self.refresh, text(&tokens, "refresh_token"));
                self.used.push(used);
                self.access = text(&tokens, "access_token");
                self.standing = Standing::In;
            }
            None => self.standing = Standing::Unsure,
        }
    }

    async fn log_in(&mut self) {
        let body = json!({ "email": self.email, "password": PASSWORD });
        if let Some(tokens) = self.note(&self.ask("POST", "/auth/login", Some(body)).await) {
            (self.access, self.refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
            self.standing = Standing::In;
        }
    }

    /// What was answered holds: the newest token is good, and none of the earlier ones.
    async fn has_lost_nothing(&mut self) {
        assert_eq!(self.platform.profile(&self.access).await, 200);
        self.refresh().await;
        for used in &self.used {
            self.platform.refresh(used).await.error(401, "bad_refresh_token");
        }
    }
}

/// Waits until everybody has got one more answer of a kind.
async fn each_gets(what: &str, seen: &[Seen], of: impl Fn(&Seen) -> &AtomicUsize) {
    let count = || seen.iter().map(|seen| of(seen).load(Ordering::Relaxed)).collect::<Vec<_>>();
    let before = count();
    eventually(what, LIMIT, async || count().iter().zip(&before).all(|(now, before)| now > before).then_some(())).await;
}

/// Has people sign in while `fault` takes the database away and `mend` brings it back.
async fn bears(postgres: &mut Postgres, fault: impl Fn(&mut Postgres), mend: impl AsyncFn(&mut Postgres)) {
    let platform = Platform::over(postgres).await;
    let seen: Vec<Seen> = (1..=CLIENTS).map(|_| Seen::default()).collect();
    let mut clients = Vec::new();
    for (number, seen) in (1..).zip(&seen) {
        clients.push(Client::register(&platform, number, seen).await);
    }
    let stop = CancellationToken::new();
    let living = join_all(clients.iter_mut().map(|client| client.live_until(&stop)));
    tokio::join!(living, async {
        for _outage in 0..at_scale(1, 20) {
            each_gets("everybody to be answered", &seen, |seen| &seen.good).await;
            fault(postgres);
            each_gets("everybody to be refused", &seen, |seen| &seen.refusals).await;
            let good = || seen.iter().map(|seen| seen.good.load(Ordering::Relaxed)).sum::<usize>();
            let before = good();
            it_lives_and_says_why(&platform).await;
            each_gets("everybody to be refused again", &seen, |seen| &seen.refusals).await;
            assert_eq!(good(), before, "there is nothing that could answer");
            mend(postgres).await;
            each_gets("everybody to be answered again", &seen, |seen| &seen.good).await;
        }
        stop.cancel();
    });
    for client in &mut clients {
        client.has_lost_nothing().await;
    }
    eventually("the service to be ready", LIMIT, async || {
        (platform.ask("GET", "/readyz", None, None).await.status == 200).then_some(())
    })
    .await;
}

/// However many wait for the database, nobody waits for these.
async fn it_lives_and_says_why(platform: &Platform) {
    platform.ask("GET", "/livez", None, None).await.good(200);
    eventually("it to say why it is not ready", LIMIT, async || {
        let answer = send(platform.request("GET", "/readyz"), "").await;
        (answer.status == 503).then(|| assert!(answer.json()["checks"]["database"]["reason"].is_string()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_is_restarted_under_load() {
    let mut postgres = Postgres::start().await;
    bears(&mut postgres, Postgres::end, Postgres::begin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_hangs_under_load() {
    let mut postgres = Postgres::start().await;
    bears(&mut postgres, |postgres| postgres.hang(), async |postgres: &mut Postgres| postgres.go_on()).await;
}
