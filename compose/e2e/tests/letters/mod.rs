//! What dlq-processor says of itself, with letters of every kind in it.

use std::collections::BTreeSet;
use std::path::Path;

use e2e::{LIMIT, Program, ask};
use http::Request;
use kit::queue::{Options, Queues, Retry};
use serde_json::{Value, json};
use testkit::{Postgres, eventually};

use crate::described::Described;

/// What an administrator of dlq-processor shows.
const TOKEN: &str = "correct-horse-battery-staple";
/// Nobody waits for events that never end, whoever adopts is another one afterwards, and nobody makes lines up.
const APART: &str = "/events$|/adopt$|/import$";

/// Starts dlq-processor beside job tables with letters in them, some of each kind.
async fn start_dlq(ledger: &str, folder: &Path) -> Described {
    kit::tls::install();
    let queues = Queues::sqlite(&folder.join("jobs.db")).await.unwrap();
    for number in 0..30 {
        queues.enqueue("mails", "send", &json!({ "number": number }), Options::default()).await.unwrap();
    }
    let whys = ["ValidationError: no address", "connect ECONNREFUSED 127.0.0.1:25", "timeout"];
    let jobs = queues.claim(&["mails"], "worker", LIMIT, 30).await.unwrap();
    for (job, why) in jobs.into_iter().zip(whys.into_iter().cycle()) {
        queues.fail(job.claim, why, Retry::Dead).await.unwrap();
    }
    let mut program = Program::new("dlq-processor");
    let config = format!(
        "listen: {}\ndata_dir: data/dlq\nledger: '{ledger}'\n\
        access: {{ tokens: [{{ name: root, role: admin, token_file: token }}] }}\n\
        sources: {{ jobs: {{ jobs: {{ database: 'sqlite:jobs.db' }} }} }}\nqueues: [{{ queue: '*', mode: act }}]\n",
        program.address()
    );
    std::fs::write(folder.join("dlq-processor.yml"), config).unwrap();
    std::fs::write(folder.join("token"), TOKEN).unwrap();
    program.start(folder, &[], &[]).await;
    program.until_ready().await;
    Described(program)
}

/// Returns the operations that were answered as they should be at least once: of those a schema was looked at.
async fn answered_well(described: &Described) -> BTreeSet<String> {
    let (_, text) = ask(Request::get(format!("{}/metrics", described.0.url())), &Value::Null).await.unwrap();
    let label = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let well = text.lines().filter(|line| line.starts_with("http_requests_total{") && line.contains("status_code=\"2"));
    well.filter_map(|line| Some(format!("{} {}", label(line, "method")?, label(line, "endpoint")?))).collect()
}

/// Returns the operations below `/api` that are described.
async fn described_in(described: &Described) -> BTreeSet<String> {
    let (_, document) = described.ask("GET", "/openapi.json", None, &Value::Null).await;
    let paths = document["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/api/"));
    let of_path = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().keys().map(|method| method.to_uppercase());
        methods.map(|method| format!("{method} {path}")).collect::<Vec<_>>()
    };
    paths.flat_map(of_path).collect()
}

/// Imports a letter that is there.
async fn import_again(dlq: &Described) {
    let (_, page) = dlq.ask("GET", "/api/v1/letters?limit=1", None, &Value::Null).await;
    let letter = &page["letters"][0];
    let mut line = json!({ "data_base64": "e30=", "kept_base64": "" });
    for field in ["id", "source", "queue", "job", "name", "failed_at_ms", "message"] {
        line[field] = letter[field].clone();
    }
    let request = Request::post(format!("{}/api/v1/import?reason=test", dlq.0.url()));
    let request = request.header("authorization", format!("Bearer {TOKEN}")).header("idempotency-key", "import");
    let (status, answer) = ask(request, &line).await.unwrap();
    assert_eq!((status, serde_json::from_str::<Value>(&answer).unwrap()["here"].clone()), (200, json!(1)), "{answer}");
}

async fn try_dlq(ledger: &str, folder: &Path) {
    let dlq = start_dlq(ledger, folder).await;
    let taken_in = async || {
        let (_, page) = dlq.ask("GET", "/api/v1/letters", None, &Value::Null).await;
        (page["letters"].as_array()?.len() == 30).then_some(())
    };
    eventually("every letter to be taken in", LIMIT, taken_in).await;
    dlq.is_as_described(TOKEN, ["--exclude-path-regex", APART]).await;
    dlq.is_as_described(TOKEN, ["--include-path-regex", "/adopt$"]).await;
    import_again(&dlq).await;
    let mut described = described_in(&dlq).await;
    assert!(described.remove("GET /api/v1/events"));
    // Job tables take no edits; the daemon's own tests make some.
    for edit in ["edit", "unedit"] {
        assert!(described.remove(&format!("POST /api/v1/letters/{{id}}/{edit}")));
    }
    let answered = answered_well(&dlq).await;
    let never: Vec<&String> = described.difference(&answered).collect();
    assert!(never.is_empty(), "nobody has seen what these answer: {never:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dlq_processor_answers_as_it_says_over_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    try_dlq("sqlite:ledger.db", folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dlq_processor_answers_as_it_says_over_postgresql() {
    let (postgres, folder) = (Postgres::start().await, tempfile::tempdir().unwrap());
    try_dlq(&postgres.url(), folder.path()).await;
}
