//! Asks fake targets on loopback through the real decoding and the real runner, and reads what a person would read.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that panics has failed")]

mod amqp;
mod causes;
mod compliance;
mod detours;
mod dns;
mod domain;
mod exec;
mod file;
mod first_message;
mod grpc;
mod host;
mod http;
mod http_tls;
mod icmp;
mod journey;
mod kinds;
mod mqtt;
mod mysql;
mod names;
mod nats;
mod ntp;
mod postgres;
mod prometheus;
mod proxy;
mod qdrant;
mod real;
mod redis;
mod settings;
mod smtp;
mod spans;
mod ssh;
mod tcp;
mod tls;
mod udp;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use kit::config::{Cursor, Environment, Mistakes, Source, load};
use monitor::probe::{
    CheckId, Expectations, Kinds, Observation, Outcome, Pushes, Question, ReasonCode, Vantage, Why, observe,
};
use testkit::Authority;

/// Far longer than anything healthy takes on loopback.
const PATIENT: Duration = Duration::from_secs(10);
/// For targets that never answer.
const SHORT: Duration = Duration::from_millis(300);

/// Decodes a check's mapping (`{ http: {…}, expect: {…} }`) as the monitor does.
fn question(check: &str, timeout: Duration) -> Question {
    decode(check, timeout).unwrap_or_else(|mistakes| panic!("{check}: {mistakes:?}"))
}

/// Returns the question, or every mistake as a person reads it. `${SECRET}` is set.
fn decode(check: &str, timeout: Duration) -> Result<Question, Vec<String>> {
    let file = file(check);
    let mistakes = Mistakes::default();
    let environment = Environment::of([("SECRET", "hunter2")]);
    let node = load(&Source { path: file.path(), environment: &environment, prefix: "MONITOR" }, &mistakes);
    let found = decode_node(&Cursor::top(&node, &mistakes), timeout);
    let mistakes = mistakes.into_sorted();
    let path = file.path().display().to_string();
    match found {
        Some(question) if mistakes.is_empty() => Ok(question),
        _ => Err(mistakes.iter().map(|mistake| mistake.to_string().replace(&path, "m.yml")).collect()),
    }
}

fn decode_node(cursor: &Cursor<'_>, timeout: Duration) -> Option<Question> {
    let kinds = Kinds::standard();
    let entries = cursor.entries()?;
    let expect = entries.iter().find(|(key, _)| *key == "expect").map(|(_, cursor)| cursor);
    let (name, settings) = entries.iter().find(|(key, _)| *key != "expect")?;
    let kind = kinds.find(name)?;
    let probe = kind.decode(settings);
    let expect = Expectations::decode(expect, kind.expectations());
    Some(Question { id: CheckId::new("shop", "web"), probe: probe?, expect: Arc::new(expect?), timeout })
}

/// A vantage whose resolver is a port of loopback.
fn vantage(resolver_port: u16) -> Arc<Vantage> {
    let mut connection = ConnectionConfig::udp();
    connection.port = resolver_port;
    let server = NameServerConfig::new([127, 0, 0, 1].into(), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.options_mut().cache_size = 0;
    builder.options_mut().attempts = 1;
    let resolver = builder.build().unwrap();
    let name_servers = vec![([127, 0, 0, 1], resolver_port).into()];
    Arc::new(Vantage { resolver, name_servers, roots: kit::tls::roots(), pushes: Pushes::default() })
}

/// Decodes and asks once.
async fn ask_within(timeout: Duration, check: &str) -> Observation {
    observe(vantage(9), &question(check, timeout), Why::Asked, false).await
}

async fn ask(check: &str) -> Observation {
    ask_within(PATIENT, check).await
}

/// Takes a fail's code and text.
#[track_caller]
fn fail(observation: &Observation) -> (ReasonCode, String) {
    match &observation.outcome {
        Outcome::Fail(reason) => (reason.code, reason.text.clone()),
        other => panic!("expected a fail, found {other:?}"),
    }
}

#[track_caller]
fn assert_fail(observation: &Observation, code: ReasonCode, text: &str) {
    assert_eq!(fail(observation), (code, text.to_owned()));
}

#[track_caller]
fn assert_pass(observation: &Observation) {
    assert_eq!(observation.outcome, Outcome::Pass, "{observation:?}");
}

/// Soft limits that were broken, as a person reads them.
fn soft(observation: &Observation) -> Vec<&str> {
    observation.soft.iter().map(|reason| reason.text.as_str()).collect()
}

/// Writes text to a file that lives as long as the handle.
fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// A file that makes clients trust `authority`, and the `tls:` setting that names it.
fn trusting(authority: &Authority) -> (tempfile::NamedTempFile, String) {
    let file = file(&authority.pem());
    let setting = format!("ca_file: {}", file.path().display());
    (file, setting)
}
