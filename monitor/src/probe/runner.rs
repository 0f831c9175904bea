//! Runs one probe under its deadline, catches its panic, and judges its facts against the expectations.

use std::any::Any;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use kit::clock::Stamp;
use kit::config::show_duration;
use kit::http::describe;
use kit::trace::{Context, Kind, Span};
use tokio::time::Instant;

use super::detour::Detour;
use super::expect::Expectations;
use super::kinds::Probe;
use super::observation::{CheckId, Facts, Observation, Outcome, Phase, Reason, ReasonCode, Seen, Why};
use super::run::{Asked, Left, Run, Vantage};

/// A check as the probe sees it: whom to ask, what to expect, how long to wait.
#[derive(Debug, Clone)]
pub struct Question {
    /// Whose question it is.
    pub id: CheckId,
    /// The configured kind.
    pub probe: Arc<dyn Probe>,
    /// What a pass must show.
    pub expect: Arc<Expectations>,
    /// Hard deadline for the whole observation.
    pub timeout: Duration,
}

/// A run that outlives its deadline by this much was not watched: the process was stopped or the machine asleep.
const STOPPED_AFTER: Duration = Duration::from_secs(3);

/// Asks once and returns what was found; never errs, never takes longer than the timeout, never panics.
pub async fn observe(vantage: Arc<Vantage>, question: &Question, why: Why, sampled: bool) -> Observation {
    observe_once(vantage, question, why, sampled, None).await
}

/// As [`observe`], but by another way: to find out whether the target fails, or the usual way to it.
pub async fn observe_by(detour: Detour, vantage: Arc<Vantage>, question: &Question) -> Observation {
    observe_once(vantage, question, Why::Forced, true, Some(detour)).await
}

async fn observe_once(
    vantage: Arc<Vantage>,
    question: &Question,
    why: Why,
    sampled: bool,
    detour: Option<Detour>,
) -> Observation {
    let started = Stamp::now();
    let clock = Instant::now();
    let context = Context::root(None, sampled);
    let mut span = Span::root(Kind::Client, format!("probe {}", question.id), context.clone());
    // What is sent along is what becomes of it here.
    let is_recorded = span.context().is_some_and(Context::is_sampled);
    let context = span.context().cloned().unwrap_or(context);
    let mut run = Run::new(question.id.clone(), vantage, question.timeout, context.traceparent());
    let deadline = run.deadline;
    run.needs_body = question.expect.needs_body();
    run.detour = detour;
    let asked = AssertUnwindSafe(tokio::time::timeout_at(deadline, question.probe.ask(&mut run))).catch_unwind().await;
    let took = clock.elapsed();
    let passed = Stamp::now().at.since(started.at);
    let stuck_in = run.current();
    let Left { phases, seen, soft, request } = run.finish();
    let (outcome, soft, seen) = match asked {
        Ok(Ok(Ok(mut facts))) => {
            facts.seen.fill_from(seen);
            facts.soft.extend(soft);
            judge(question, facts, took, deadline).await
        }
        Ok(Ok(Err(outcome))) => (outcome, Vec::new(), seen),
        Ok(Err(_elapsed)) => (Outcome::Fail(timed_out(question.timeout, stuck_in, seen.address)), Vec::new(), seen),
        Err(panic) => (Outcome::Unknown(panicked(&*panic)), Vec::new(), seen),
    };
    // The deadline ends every run; if more time went by, it was we who did not run (suspend, SIGSTOP, a restored machine).
    let outcome = match outcome {
        Outcome::Fail(_) if passed > question.timeout + STOPPED_AFTER => Outcome::Unknown(stopped(passed)),
        outcome => outcome,
    };
    let (check, trace_id) = (question.id.clone(), context.trace_id());
    let observation = Observation { check, started, took, phases, outcome, soft, seen, why, trace_id, is_recorded };
    if let Some(Asked { method, uri, path }) = request {
        describe(&mut span, &method, &uri, path);
    }
    tell(span, &observation);
    observation
}

/// Ends the span of an observation with what was found. Of steps only the lengths are known: they are told one after the other.
fn tell(mut span: Span, observation: &Observation) {
    if span.context().is_none() {
        return;
    }
    span.set("check.id", observation.check.to_string());
    if let Some(status) = observation.seen.status {
        span.set("http.response.status_code", status);
    }
    if let Some(address) = observation.seen.address {
        span.set("network.peer.address", address.ip().to_string());
        span.set("network.peer.port", address.port());
    }
    if let Some(reason) = observation.soft.first() {
        span.set("check.degraded_by", reason.code.as_str());
    }
    let mut after = Duration::ZERO;
    for (name, took) in observation.parts() {
        span.add_step(name.to_owned(), after, took);
        after += took;
    }
    match &observation.outcome {
        Outcome::Fail(reason) | Outcome::Unknown(reason) => span.fail(reason.code.as_str(), reason.text.clone()),
        Outcome::Pass => {}
    }
}

fn stopped(passed: Duration) -> Reason {
    let text =
        format!("the monitor itself did not run for a while ({} went by during this probe)", show_duration(passed));
    Reason::new(ReasonCode::Local, text)
}

async fn judge(question: &Question, facts: Facts, took: Duration, deadline: Instant) -> (Outcome, Vec<Reason>, Seen) {
    let mut seen = facts.seen.clone();
    let judged = AssertUnwindSafe(question.expect.judge(facts, took, deadline)).catch_unwind().await;
    match judged {
        Ok(Ok(judged)) => {
            seen.version = judged.version;
            (Outcome::Pass, judged.soft, seen)
        }
        Ok(Err(outcome)) => (outcome, Vec::new(), seen),
        Err(panic) => (Outcome::Unknown(panicked(&*panic)), Vec::new(), seen),
    }
}

/// What is said when the time was over.
pub(super) fn timed_out(timeout: Duration, stuck_in: Option<Phase>, address: Option<SocketAddr>) -> Reason {
    let step = while_in(stuck_in);
    let to = match (stuck_in, address) {
        (Some(Phase::Connect), Some(address)) => format!(" to {address}"),
        _ => String::new(),
    };
    Reason::new(ReasonCode::Timeout, format!("no answer within {} ({step}{to})", show_duration(timeout)))
}

/// Where a run was when its time was over, in words.
pub(super) fn while_in(phase: Option<Phase>) -> &'static str {
    match phase {
        Some(Phase::Dns) => "while resolving the name",
        Some(Phase::Connect) => "while connecting",
        Some(Phase::Tls) => "in the TLS handshake",
        Some(Phase::FirstByte) => "while waiting for the first byte",
        Some(Phase::Transfer) => "while reading the answer",
        Some(Phase::Exec) => "while the command ran",
        None => "before the answer was complete",
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Reason {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Reason::new(ReasonCode::Panic, format!("the probe itself broke: {}", text.unwrap_or("no message")))
}
