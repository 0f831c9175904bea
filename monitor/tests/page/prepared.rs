//! A monitor without a loop: a board that tests write, served on a spare port, and a client that sees headers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use kit::clock::Stamp;
use kit::http::{Credential, Limits, Role, SecretDigest, serve};
use kit::metrics::Metrics;
use monitor::export::{
    AccessSettings, Catalogue, CheckCard, ProbeMetrics, Reception, ServiceCard, Shared, Wishes, router,
};
use monitor::judge::{Board, CheckSpec, Policy, ServiceSpec, Severity, Verdict};
use monitor::probe::{CheckId, Observation, Outcome, Phase, Reason, ReasonCode, Seen, Vantage, Why};
use monitor::record::Stores;
use monitor::supervise::cause::{Cause, Exit};
use monitor::supervise::process::Ending;
use monitor::supervise::{Event, Who};
use testkit::Answer;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

/// A served board.
pub(crate) struct Monitor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) reception: Arc<Reception>,
    _stop: DropGuard,
    /// The loop's end of wishes: live events end with it.
    wishes: Mutex<Option<Wishes>>,
    _folder: tempfile::TempDir,
}

/// A service with one check, `health`, of no particular kind.
pub(crate) fn card(name: &str) -> ServiceCard {
    let id = CheckId::new(name, "health");
    ServiceCard {
        quorum: 1,
        replicas: Vec::new(),
        replica_of: None,
        name: name.into(),
        about: None,
        group: None,
        critical: true,
        hard_needs: Vec::new(),
        soft_needs: Vec::new(),
        availability: None,
        latency_p95: None,
        found: None,
        checks: vec![CheckCard {
            id,
            kind: "made-up",
            about: None,
            target: "127.0.0.1:9".to_owned(),
            every: Duration::from_secs(10),
            severity: Severity::Critical,
            pushed: false,
            push_token: None,
        }],
    }
}

fn spec(card: &ServiceCard, is_run: bool) -> ServiceSpec {
    ServiceSpec {
        ready: None,
        runtime: None,
        replicas: None,
        replica_of: None,
        name: card.name.clone(),
        hard_needs: card.hard_needs.clone(),
        checks: card
            .checks
            .iter()
            .map(|check| CheckSpec {
                name: check.id.check.clone(),
                policy: Policy::STANDARD,
                pushed: false,
                generation: 0,
            })
            .collect(),
        start_grace: is_run.then_some(Duration::from_secs(30)),
    }
}

impl Monitor {
    /// Serves a board of these services; those named in `run` have a workload.
    pub(crate) async fn start(cards: Vec<ServiceCard>, run: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stores = Stores::open(folder.path()).await.unwrap();
        Self::start_with(cards, run, stores, folder, Router::new()).await
    }

    pub(crate) async fn start_with(
        cards: Vec<ServiceCard>,
        run: &[&str],
        stores: Stores,
        folder: tempfile::TempDir,
        beside: Router,
    ) -> Self {
        let now = Stamp::now();
        let mut board = Board::default();
        board.configure(cards.iter().map(|card| spec(card, run.contains(&&*card.name))).collect(), now, |_| None);
        let registry = Metrics::new("monitor", "0");
        let metrics = ProbeMetrics::new(&registry);
        let figures = monitor::alert::AlertFigures::new(&registry);
        let alerts = Arc::new(monitor::alert::Alerts::new(stores.state.clone(), &[0; 32], figures));
        let vantage = Arc::new(Vantage::of_system().unwrap());
        let (shared, wishes) = Shared::new(board, stores, alerts, vantage, metrics, [0; 32]);
        shared.catalogue.store(Arc::new(Catalogue { services: cards, discoveries: Vec::new(), loaded: now.wall }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let reception = Arc::new(Reception::new(shared.stores.state.clone(), address));
        let routes = router(shared.clone(), reception.clone(), Router::new()).merge(beside);
        tokio::spawn(serve(listener, routes, Limits::default(), stop.clone()));
        let (state, ended) = (shared.stores.state.clone(), stop.clone());
        tokio::spawn(async move { state.run(ended).await });
        Self { shared, address, reception, wishes: Mutex::new(Some(wishes)), _stop: stop.drop_guard(), _folder: folder }
    }

    /// Ends the loop that there is not.
    pub(crate) fn end(&self) {
        *self.wishes.lock().unwrap() = None;
    }

    /// Gives a service a verdict, as a restart of the monitor would.
    pub(crate) fn set(&self, service: &str, verdict: Verdict, why: &str) {
        self.shared.board().restore_verdict(service, verdict, why.to_owned(), Stamp::now());
    }

    /// Lets `health` of a service fail three times with this reason, or pass.
    pub(crate) fn observe(&self, service: &str, fail: Option<&str>) {
        for _ in 0..3 {
            let observation = Arc::new(observation(service, fail));
            let mut board = self.shared.board();
            let started = board.next_sequence();
            board.observe(observation, started, Stamp::now());
        }
    }

    /// Lets a service's process start, write these lines and exit with code 3.
    pub(crate) fn crash(&self, service: &str, last_lines: &[String]) {
        let (run, stamp, service) = (Uuid::now_v7(), Stamp::now(), service.to_owned());
        let started =
            Event::Started { service: service.clone(), run, pid: Some(77), by: Who::Us, adopted: false, stamp };
        let ending = Ending {
            exit: Exit::Code(3),
            cause: Cause::Crashed { code: 3 },
            at: stamp,
            stopped: None,
            last_lines: last_lines.to_owned(),
            record: None,
        };
        let ended = Event::Ended { service, run, by: Who::Runtime, planned: false, ending };
        self.shared.board().runtime(&started, stamp);
        self.shared.board().runtime(&ended, stamp);
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_as(path, "text/html,application/xhtml+xml").await
    }

    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send(Method::GET, path, &[("accept", accept)], "").await
    }

    /// Lets these people in, each with her name as the beginning of her token.
    pub(crate) fn know(&self, people: &[(&str, Role)]) {
        let credential = |(name, role): &(&str, Role)| Credential {
            name: (*name).to_owned(),
            role: *role,
            digest: SecretDigest::of(token(name).as_bytes()),
        };
        let credentials = people.iter().map(credential).collect();
        self.reception.configure(&AccessSettings { credentials, ..AccessSettings::STANDARD }, None);
    }

    /// Signs somebody in as a browser does; returns her cookie.
    pub(crate) async fn sign_in(&self, name: &str) -> String {
        let answer = self.post("/login", "", &format!("token={}", token(name))).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        answer.header("set-cookie").split(';').next().unwrap().to_owned()
    }

    /// Sends a form as a page of ours does.
    pub(crate) async fn post(&self, path: &str, cookie: &str, form: &str) -> Answer {
        let origin = format!("http://{}", self.address);
        let kind = ("content-type", "application/x-www-form-urlencoded");
        self.send(Method::POST, path, &[kind, ("origin", &origin), ("cookie", cookie)], form).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let client = kit::http::client::<Full<Bytes>>(Duration::from_secs(5));
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = client.request(request.body(Full::from(body.to_owned())).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }
}

/// Somebody's token.
pub(crate) fn token(name: &str) -> String {
    format!("{name}-token-0123456789")
}

/// What a page says if no time has passed since: a busy machine may have let some seconds go by.
pub(crate) fn as_if_at_once(text: &str) -> String {
    let mut pieces = text.split(" for ");
    let mut said = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_seconds = rest.len() < piece.len() && rest.starts_with(" s");
        said.push_str(if is_seconds { " for 0" } else { " for " });
        said.push_str(if is_seconds { rest } else { piece });
    }
    said
}

fn observation(service: &str, fail: Option<&str>) -> Observation {
    let ms = Duration::from_millis;
    Observation {
        check: CheckId::new(service, "health"),
        started: Stamp::now(),
        took: ms(42),
        phases: vec![(Phase::Connect, ms(2)), (Phase::FirstByte, ms(40))],
        outcome: match fail {
            None => Outcome::Pass,
            Some(text) => Outcome::Fail(Reason::new(ReasonCode::Body, text)),
        },
        soft: Vec::new(),
        seen: Seen { status: Some(200), ..Seen::default() },
        why: Why::Schedule,
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        is_recorded: true,
    }
}
