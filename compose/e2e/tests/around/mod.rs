//! What stands around what `make up` starts while everything is asked, some of which breaks; and what people do meanwhile.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{ask, program};
use http::Request;
use kit::queue::{Options, Queues, Retry};
use serde_json::{Value, json};
use testkit::{Certificate, Collector, Loki, Redis, Target, eventually, free_port, installed};

use crate::given::repository;
use crate::stack::{LIMIT, Up};

/// As many as fail again until a breaker opens, and one more.
const MAILS: u32 = 6;

/// What stands around the stack, some of which breaks.
pub(crate) struct Around {
    pub collector: Collector,
    pub loki: Loki,
    pub redis: Redis,
    pub outside: Target,
    people: Target,
    refuses: Target,
    shop: Target,
    certified: Target,
    folder: tempfile::TempDir,
}

impl Around {
    pub(crate) async fn start() -> Self {
        let [outside, people, refuses, shop] = [(); 4].map(|()| Target::ok(""));
        let certified = Target::tls(&Certificate::self_signed());
        let (collector, loki) = (Collector::start().await, Loki::start().await);
        let (redis, folder) = (Redis::start().await, tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("dead-man"), outside.url("/monitor")).unwrap();
        Self { collector, loki, redis, outside, people, refuses, shop, certified, folder }
    }

    /// Beside the stack's own services one that will fail, one that loops, one that no restart cures and one that nobody
    /// checks; two channels, of which one will refuse.
    pub(crate) fn config(&self) -> String {
        let (shop, certified, closed) = (self.shop.url("/"), self.certified.addr(), free_port());
        let (people, refuses) = (self.people.url("/"), self.refuses.url("/"));
        let dead_man = self.folder.path().join("dead-man");
        format!(
            r#"
  shop:
    slo: {{ availability: 99.9% }}
    checks:
      page: {{ http: {{ url: "{shop}" }}, every: 1s, fail_after: 1 }}
      certificate: {{ tls: {{ address: "{certified}" }}, severity: warning }}
  worker:
    heal: true
    workload: {{ process: {{ command: [sh, -c, exit 1] }} }}
    checks: {{ port: {{ tcp: {{ address: "127.0.0.1:{closed}" }}, every: 1s }} }}
  stubborn:
    heal: true
    workload: {{ process: {{ command: [sleep, "1000"] }} }}
    checks: {{ page: {{ http: {{ url: "{shop}" }}, expect: {{ status: 201 }}, every: 1s, fail_after: 1 }} }}
  sleeper:
    workload: {{ process: {{ command: [sleep, "1000"] }} }}
channels:
  people: {{ webhook: {{ url: "{people}" }} }}
  refuses: {{ webhook: {{ url: "{refuses}" }} }}
dead_man: {{ url_file: "{}", every: 1s }}
"#,
            dead_man.display()
        )
    }

    /// Where `COMPOSE_DIR` is: dead letters of mails are redriven, and there is a queue of BullMQ.
    pub(crate) fn compose(&self) -> &Path {
        let compose = repository().join("compose");
        let text = std::fs::read_to_string(compose.join("dlq-processor.yml")).unwrap();
        let queues = "queues: [{ queue: \"*\", mode: observe }]\n";
        let bull = format!("sources:\n  bull: {{ bullmq: {{ url: \"{}\" }} }}\n", self.redis.url());
        assert!(text.contains(queues) && text.contains("sources:\n"), "{text}");
        let acts = "queues: [{ queue: \"*\", mode: observe }, { queue: mails, mode: act }, { queue: digests, mode: act }]\n\
            retries: { transient: { base: 1s, cap: 1s } }\n";
        let text = text.replace(queues, acts).replace("sources:\n", &bull);
        std::fs::write(self.folder.path().join("dlq-processor.yml"), text).unwrap();
        std::fs::copy(compose.join("auth-monitor.yml"), self.folder.path().join("auth-monitor.yml")).unwrap();
        self.folder.path()
    }

    /// Puts jobs into a queue of BullMQ where nobody works.
    pub(crate) fn put_jobs_in(&self) {
        let script = repository().join("compose/e2e/tests/dashboards/jobs.mjs");
        let packages = installed("e2e-node/node_modules");
        let mut node = Command::new("node");
        node.arg(script).arg(packages).arg(self.redis.url()).stdout(Stdio::null());
        assert!(node.status().unwrap().success(), "jobs.mjs");
    }

    /// Proves once that all are told, then has something to tell that one channel refuses.
    pub(crate) async fn break_something(&self, up: &Up) {
        let pinged = async || self.outside.requests().iter().any(|ping| ping.path == "/monitor").then_some(());
        eventually("the dead man's ping", LIMIT, pinged).await;
        let mut drill = Command::new(program("monitor"));
        drill.arg("drill").env("MONITOR_URL", format!("http://{}", up.address("monitor")));
        drill.env("MONITOR_TOKEN_FILE", up.folder.path().join("data/secrets/operator_token"));
        assert!(drill.stdout(Stdio::null()).status().unwrap().success(), "the drill");
        self.refuses.set_status(400);
        self.shop.set_status(500);
    }
}

/// Somebody asks for what a service has that is not there.
pub(crate) async fn ask_in_vain(up: &Up) {
    let key = std::fs::read_to_string(up.folder.path().join("data/secrets/api_key")).unwrap();
    let request = Request::get(format!("http://{}/api/airtable/bases", up.address("api-gateway")));
    let (status, answer) = ask(request.header("x-api-key", key.trim()), &Value::Null).await.unwrap();
    // After a while the gateway spares that service.
    assert!([502, 503].contains(&status), "{status}: {answer}");
}

/// Jobs die, as platform-services has them: one for good, the others since what they need is away.
pub(crate) async fn let_jobs_die(up: &Up) {
    let queues = Queues::sqlite(&up.folder.path().join("data/jobs.db")).await.unwrap();
    queues.enqueue("reports", "monthly", &json!({ "month": 11 }), Options::default()).await.unwrap();
    for number in 0..MAILS {
        queues.enqueue("mails", "send", &json!({ "number": number }), Options::default()).await.unwrap();
    }
    fail_all(&queues, "reports", "ValidationError: no such month").await;
    queues.close().await;
    work_in_vain(up).await;
}

/// What those jobs need is still away, for those that were put back; it is there for other ones the second time.
pub(crate) async fn work_in_vain(up: &Up) {
    let queues = Queues::sqlite(&up.folder.path().join("data/jobs.db")).await.unwrap();
    let away = "connect ECONNREFUSED 127.0.0.1:25";
    fail_all(&queues, "mails", away).await;
    // Others are done once they were put back.
    for job in queues.claim(&["digests"], "a worker", Duration::from_secs(60), MAILS).await.unwrap() {
        queues.complete(job.claim).await.unwrap();
    }
    queues.enqueue("digests", "weekly", &json!({}), Options::default()).await.unwrap();
    fail_all(&queues, "digests", away).await;
    queues.close().await;
}

async fn fail_all(queues: &Queues, queue: &str, why: &str) {
    for job in queues.claim(&[queue], "a worker", Duration::from_secs(60), MAILS).await.unwrap() {
        queues.fail(job.claim, why, Retry::Dead).await.unwrap();
    }
}

/// Somebody has forgotten a password, and somebody else has no key.
pub(crate) async fn sign_in_in_vain(up: &Up) {
    let key = std::fs::read_to_string(up.folder.path().join("data/secrets/api_key")).unwrap();
    let request = Request::get(format!("http://{}/api/airtable/bases", up.address("api-gateway")));
    let (status, answer) = ask(request, &Value::Null).await.unwrap();
    assert_eq!(status, 401, "{answer}");
    let wrong = json!({ "email": "nobody@example.com", "password": "wrong-password-1" });
    for (part, path) in [("api-gateway", "/api/v1/auth/login"), ("platform-services", "/auth/login")] {
        let request = Request::post(format!("http://{}{path}", up.address(part)));
        let (status, answer) = ask(request.header("x-api-key", key.trim()), &wrong).await.unwrap();
        assert_eq!(status, 401, "{part}: {answer}");
    }
}
