//! A platform in memory that is wrong in one named way at a time.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};

use aws_lc_rs::hmac::{self, HMAC_SHA256, HMAC_SHA512};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use testkit::{Request, Response, Target};

use crate::LIMIT;

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    HtmlEverywhere,
    Busy,
    TakesUnsigned,
    TakesAnySignature,
    TakesExpired,
    TakesHs512,
    TakesAnyPassword,
    SameAccess,
    SameRefresh,
    OldRefreshGood,
    LogoutKillsNothing,
    OthersProfile,
    NeverLocks,
    LocksWithoutSayingHowLong,
    LocksOnlyWrongPasswords,
    LeaksHash,
    TakesEveryEmail,
    TakenTwice,
    CannotDelete,
    LogoutHtml,
    DeleteHtml,
}

#[derive(Default)]
struct State {
    /// Email to password.
    accounts: HashMap<String, String>,
    failures: HashMap<String, u32>,
    /// Sessions that go on, with their account's email.
    sessions: HashMap<u64, String>,
    /// Refresh tokens that are good.
    refresh: HashMap<String, u64>,
    /// The newest access token of each session.
    access: HashMap<u64, String>,
    next: u64,
}

pub(crate) struct Fake {
    pub(crate) target: Target,
    state: Arc<Mutex<State>>,
    fault: Arc<Mutex<Fault>>,
    /// Whether logins wait.
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let (state, fault) = (Arc::<Mutex<State>>::default(), Arc::new(Mutex::new(Fault::None)));
        let gate = Arc::<(Mutex<bool>, Condvar)>::default();
        let (shared, wrong, shut) = (state.clone(), fault.clone(), gate.clone());
        let target = Target::respond_with(move |request| {
            if request.path == "/auth/login" && *shut.0.lock().unwrap() {
                let wait = || {
                    let waited = shut.1.wait_timeout_while(shut.0.lock().unwrap(), LIMIT, |held| *held).unwrap();
                    assert!(!waited.1.timed_out(), "nobody lets logins go on");
                };
                tokio::task::block_in_place(wait);
            }
            let (mut state, fault) = (shared.lock().unwrap(), *wrong.lock().unwrap());
            if fault == Fault::HtmlEverywhere { html() } else { state.answer(request, fault) }
        });
        Self { target, state, fault, gate }
    }

    pub(crate) fn be(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    /// Lets logins wait; for that the test's runtime must have several threads.
    pub(crate) fn hold_logins(&self) {
        *self.gate.0.lock().unwrap() = true;
    }

    /// Answers at once again.
    pub(crate) fn let_go(&self) {
        *self.gate.0.lock().unwrap() = false;
        self.gate.1.notify_all();
    }

    pub(crate) fn url(&self) -> String {
        self.target.url("")
    }

    pub(crate) fn accounts(&self) -> usize {
        self.state.lock().unwrap().accounts.len()
    }
}

fn html() -> Response {
    Response::new(200, "<html>welcome</html>").with_header("content-type", "text/html")
}

fn said(status: u16, body: &Value) -> Response {
    Response::new(status, body.to_string()).with_header("content-type", "application/json")
}

fn refuse(status: u16) -> Response {
    said(status, &json!({ "error": "no" }))
}

impl State {
    fn answer(&mut self, request: &Request, fault: Fault) -> Response {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let who = bearer.and_then(|token| self.who(token, fault));
        match (request.method.as_str(), request.path.as_str()) {
            _ if fault == Fault::Busy => refuse(503),
            ("POST", "/auth/register") => self.register(&body, fault),
            ("POST", "/auth/login") => self.login(&body, fault),
            ("POST", "/auth/refresh") => self.refresh(&body, fault),
            ("POST", "/auth/logout") if fault == Fault::LogoutHtml => html(),
            (method, path) => match who {
                None => refuse(401),
                Some((sid, email)) => self.as_person(method, path, sid, &email, fault),
            },
        }
    }

    fn as_person(&mut self, method: &str, path: &str, sid: u64, email: &str, fault: Fault) -> Response {
        match (method, path) {
            ("GET", "/auth/me") if fault == Fault::OthersProfile => said(200, &json!({ "email": "eve@example.com" })),
            ("GET", "/auth/me") => said(200, &json!({ "email": email })),
            ("POST", "/auth/logout") => {
                if fault != Fault::LogoutKillsNothing {
                    self.sessions.remove(&sid);
                }
                said(200, &json!({ "message": "signed out" }))
            }
            ("DELETE", _) if fault == Fault::DeleteHtml => html(),
            ("DELETE", path) if path == format!("/auth/users/{email}") && fault != Fault::CannotDelete => {
                self.accounts.remove(email);
                self.sessions.retain(|_, owner| owner != email);
                said(200, &json!({ "message": "deleted" }))
            }
            ("DELETE", _) => refuse(500),
            _ => refuse(404),
        }
    }

    fn register(&mut self, body: &Value, fault: Fault) -> Response {
        let (email, password) = (text(body, "email"), text(body, "password"));
        if !email.contains('@') && fault != Fault::TakesEveryEmail || password.len() < 8 {
            return refuse(400);
        }
        if self.accounts.contains_key(&email) && fault != Fault::TakenTwice {
            return refuse(409);
        }
        self.accounts.insert(email.clone(), password);
        let mut session = self.begin(&email);
        if fault == Fault::LeaksHash {
            session["user"]["password_hash"] = json!("$argon2id$");
        }
        said(201, &session)
    }

    fn login(&mut self, body: &Value, fault: Fault) -> Response {
        let (email, password) = (text(body, "email"), text(body, "password"));
        let is_right = self.accounts.get(&email) == Some(&password) || fault == Fault::TakesAnyPassword;
        let failures = self.failures.entry(email.clone()).or_default();
        let is_locked = *failures >= 5 && fault != Fault::NeverLocks;
        if is_locked && !(is_right && fault == Fault::LocksOnlyWrongPasswords) {
            let locked = refuse(429);
            return if fault == Fault::LocksWithoutSayingHowLong {
                locked
            } else {
                locked.with_header("retry-after", "30")
            };
        }
        if is_right {
            *failures = 0;
            return said(200, &self.begin(&email));
        }
        *failures += 1;
        refuse(401)
    }

    fn refresh(&mut self, body: &Value, fault: Fault) -> Response {
        let old = text(body, "refresh_token");
        let Some(sid) = self.refresh.get(&old).copied() else { return refuse(401) };
        if fault != Fault::OldRefreshGood {
            self.refresh.remove(&old);
        }
        let before = self.access.get(&sid).cloned();
        let mut tokens = self.tokens(sid);
        if fault == Fault::SameRefresh {
            tokens["refresh_token"] = json!(old);
        }
        if fault == Fault::SameAccess {
            tokens["access_token"] = json!(before);
        }
        said(200, &tokens)
    }

    fn begin(&mut self, email: &str) -> Value {
        self.next += 1;
        self.sessions.insert(self.next, email.to_owned());
        self.tokens(self.next)
    }

    fn tokens(&mut self, sid: u64) -> Value {
        self.next += 1;
        let (access, refresh) = (access(sid, self.next), format!("refresh-{}", self.next));
        self.access.insert(sid, access.clone());
        self.refresh.insert(refresh.clone(), sid);
        let email = self.sessions.get(&sid).cloned().unwrap_or_default();
        json!({ "access_token": access, "refresh_token": refresh, "token_type": "bearer",
            "user": { "id": email, "email": email }, "email": email })
    }

    /// Returns whose session a token is of, verified as badly as the fault says.
    fn who(&self, token: &str, fault: Fault) -> Option<(u64, String)> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let read = |part: &str| -> Option<Value> {
            serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).ok()?).ok()
        };
        let (header, claims) = (read(header)?, read(claims)?);
        let alg = header["alg"].as_str()?;
        let right = |hash| sign(hash, signed) == signature;
        let is_signed = match alg {
            "HS256" => right(HMAC_SHA256) || fault == Fault::TakesAnySignature,
            "HS512" => right(HMAC_SHA512) && fault == Fault::TakesHs512,
            "none" => fault == Fault::TakesUnsigned,
            _ => false,
        };
        let now = jiff::Timestamp::now().as_second();
        let is_young = claims["exp"].as_i64()? > now || fault == Fault::TakesExpired;
        let sid = claims["sid"].as_u64()?;
        let email = self.sessions.get(&sid).filter(|_| is_signed && is_young)?;
        Some((sid, email.clone()))
    }
}

fn access(sid: u64, number: u64) -> String {
    let part = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let exp = jiff::Timestamp::now().as_second() + 600;
    let signed =
        format!("{}.{}", part(json!({ "alg": "HS256" })), part(json!({ "sid": sid, "jti": number, "exp": exp })));
    format!("{signed}.{}", sign(HMAC_SHA256, &signed))
}

fn sign(hash: hmac::Algorithm, text: &str) -> String {
    BASE64URL_NOPAD.encode(hmac::sign(&hmac::Key::new(hash, SECRET.as_bytes()), text.as_bytes()).as_ref())
}

fn text(body: &Value, key: &str) -> String {
    body[key].as_str().unwrap_or_default().to_owned()
}
