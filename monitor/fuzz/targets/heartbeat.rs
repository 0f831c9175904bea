//! Any request to the paths of heartbeats, through the router that the daemon serves. Never: a panic, an answer of 500 and more;
//! a push that is taken without the token of its job or an operator's, or from a body of more than 64 KiB; a message of more than
//! one line or 200 characters; a token in an answer; a stranger who learns which heartbeats there are.
//!
//! The input is a line with method, path and how often the body is repeated, headers, an empty line, the body. The header
//! `x-peer` stands for the address at the other end.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, header};
use http_body_util::BodyExt;
use kit::http::{Credential, Role, SecretDigest, with_conventions};
use kit::metrics::{HttpMetrics, Metrics};
use libfuzzer_sys::{Corpus, fuzz_target};
use monitor::alert::{AlertFigures, Alerts};
use monitor::export::{
    AccessSettings, Catalogue, CheckCard, ProbeMetrics, Public, Reception, ServiceCard, Shared, Wishes, router,
};
use monitor::judge::{Board, Severity};
use monitor::probe::{CheckId, Pushed, Vantage};
use monitor::record::Stores;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const PATH: &str = "/api/v1/heartbeat";
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8888);
const BODY_LIMIT_BYTES: usize = 64 * 1024;
const MAX_MESSAGE_CHARS: usize = 200;
/// Longer bodies only cost time.
const MAX_BODY_BYTES: usize = 2 * BODY_LIMIT_BYTES;
const DEADLINE: Duration = Duration::from_secs(5);

/// A job with a token of its own, and one without.
const JOBS: [(&str, Option<&str>); 2] = [("nightly", Some("job-token-0123456789")), ("weekly", None)];
const CHECK: &str = "done";
const OPERATOR: &str = "operator-token-0123456789";
const OTHERS: [(&str, Role); 2] =
    [("viewer-token-0123456789", Role::Viewer), ("source-token-0123456789", Role::Source)];

struct World {
    runtime: Runtime,
    shared: Arc<Shared>,
    router: Router,
    /// Held, so that the handlers find somebody who would listen.
    _wishes: Wishes,
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

struct Asked<'a> {
    method: &'a str,
    path: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: String,
}

fuzz_target!(init: monitor_fuzz::begin(), |bytes: &[u8]| -> Corpus {
    let Some(asked) = std::str::from_utf8(bytes).ok().and_then(Asked::read) else { return Corpus::Reject };
    let Some(request) = asked.request(asked.path) else { return Corpus::Reject };
    let before = WORLD.pushed();
    let (status, answer) = WORLD.ask(request);
    assert!(status < 500, "{status} {answer}");
    let after = WORLD.pushed();
    let taken = JOBS.iter().zip(before.iter().zip(&after)).filter(|(_, (before, after))| before != after);
    let taken: Vec<_> = taken.map(|((_, token), (_, after))| (*token, after)).collect();
    assert_eq!(status == 204, taken.len() == 1, "{status} and {taken:?}");
    for (token, pushed) in taken {
        assert!(asked.bears(OPERATOR) || token.is_some_and(|token| asked.bears(token)), "taken from a stranger: {pushed:?}");
        assert!(asked.method == "POST" && asked.body.len() <= BODY_LIMIT_BYTES, "{} {}", asked.method, asked.body.len());
        let message = pushed.message.as_deref().unwrap_or_default();
        assert!(message.chars().count() <= MAX_MESSAGE_CHARS && !message.contains('\n'), "{message:?}");
    }
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let known = tokens().find(|token| !text.contains(token) && answer.contains(token));
    assert!(known.is_none(), "an answer tells {known:?}: {answer}");
    let is_stranger = !tokens().any(|token| text.contains(token));
    if is_stranger && asked.path.matches("nightly").count() == 1 {
        let other = asked.request(&asked.path.replace("nightly", "nightlx"));
        let (other_status, other_answer) = WORLD.ask(other.expect("a path like the other"));
        // Other headers may have the name too.
        let answers = [answer, other_answer].map(|answer| answer.replace("nightly", "nightlx"));
        assert_eq!((status, &answers[0]), (other_status, &answers[1]), "a stranger learns a name");
    }
    Corpus::Keep
});

fn tokens() -> impl Iterator<Item = &'static str> {
    let jobs = JOBS.iter().filter_map(|(_, token)| *token);
    jobs.chain([OPERATOR]).chain(OTHERS.iter().map(|(token, _)| *token))
}

impl<'a> Asked<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let mut words = lines.next()?.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        // Other paths may wait for what never comes here.
        path.starts_with(PATH).then_some(())?;
        let repeat: u16 = words.next().and_then(|word| word.parse().ok()).unwrap_or(1);
        let body = body.repeat(usize::from(repeat).min(MAX_BODY_BYTES / body.len().max(1)));
        Some(Self { method, path, headers: lines.filter_map(|line| line.split_once(": ")).collect(), body })
    }

    fn request(&self, path: &str) -> Option<Request<Body>> {
        let mut request = Request::builder().method(self.method).uri(path);
        let has_host = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        if !has_host {
            request = request.header(header::HOST, ADDRESS.to_string());
        }
        let mut peer = ADDRESS.ip();
        for (name, value) in &self.headers {
            match (*name, value.parse()) {
                ("x-peer", Ok(address)) => peer = address,
                _ => request = request.header(*name, *value),
            }
        }
        let request = request.extension(ConnectInfo(SocketAddr::new(peer, 40_000)));
        request.body(Body::from(self.body.clone())).ok()
    }

    /// As RFC 6750 section 2.1 has it; the scheme's name has no case.
    fn bears(&self, token: &str) -> bool {
        let values = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        values
            .filter_map(|(_, value)| value.split_once(' '))
            .any(|(scheme, found)| scheme.eq_ignore_ascii_case("bearer") && found.trim() == token)
    }
}

impl World {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (shared, wishes, router) = runtime.block_on(async {
            let stores = Stores::open(monitor_fuzz::folder()).await.expect("new stores");
            let state = stores.state.clone();
            tokio::spawn(async move { state.run(CancellationToken::new()).await });
            let metrics = Metrics::new("monitor", "0");
            let alerts = Arc::new(Alerts::new(stores.state.clone(), b"key", AlertFigures::new(&metrics)));
            let vantage = Arc::new(Vantage::of_system().expect("a resolver"));
            let reception = Arc::new(Reception::new(stores.state.clone(), ADDRESS));
            reception.configure(&access(), None);
            let (shared, wishes) =
                Shared::new(Board::starting_at(1), stores, alerts, vantage, ProbeMetrics::new(&metrics), [7; 32]);
            let services = JOBS.iter().map(|(name, token)| card(name, *token)).collect();
            shared.catalogue.store(Arc::new(Catalogue { services, ..Catalogue::default() }));
            let now = shared.catalogue.load().loaded;
            JOBS.iter().for_each(|(name, _)| shared.vantage.pushes.know(&CheckId::new(name, CHECK), Pushed::new(now)));
            let routes = router(shared.clone(), reception, Router::new());
            let router = with_conventions(routes, HttpMetrics::new(&metrics, "monitor"), DEADLINE, BODY_LIMIT_BYTES);
            (shared, wishes, router)
        });
        Self { runtime, shared, router, _wishes: wishes }
    }

    fn pushed(&self) -> Vec<Pushed> {
        let of = |name| self.shared.vantage.pushes.of(&CheckId::new(name, CHECK)).expect("a known job");
        JOBS.iter().map(|(name, _)| of(name)).collect()
    }

    fn ask(&self, request: Request<Body>) -> (u16, String) {
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.expect("a router never fails");
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
            (status, String::from_utf8_lossy(&body).into_owned())
        })
    }
}

fn access() -> AccessSettings {
    let credential = |token: &str, role: Role| Credential {
        name: role.as_str().to_owned(),
        role,
        digest: SecretDigest::of(token.as_bytes()),
    };
    let others = OTHERS.iter().map(|(token, role)| credential(token, *role));
    let credentials = others.chain([credential(OPERATOR, Role::Operator)]).collect();
    AccessSettings { credentials, public: Public::Nothing, ..AccessSettings::STANDARD }
}

fn card(name: &str, token: Option<&str>) -> ServiceCard {
    let check = CheckCard {
        id: CheckId::new(name, CHECK),
        kind: "heartbeat",
        about: None,
        target: "a push every day".to_owned(),
        every: Duration::from_secs(60),
        severity: Severity::Critical,
        pushed: true,
        push_token: token.map(Into::into),
    };
    ServiceCard {
        name: name.into(),
        about: None,
        group: None,
        critical: true,
        hard_needs: Vec::new(),
        soft_needs: Vec::new(),
        availability: None,
        latency_p95: None,
        found: None,
        replicas: Vec::new(),
        quorum: 1,
        replica_of: None,
        checks: vec![check],
    }
}
