//! A loop that claims jobs, runs a handler for each, and settles them with back-off.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::job::{Claim, Failed, Job, Retry};
use super::{QueueError, Queues, spans};
use crate::backoff::Backoff;
use crate::config::show_duration;
use crate::trace::{Kind, Span};

/// How much longer than the handler's deadline a lease lasts: for what was claimed but not begun, and three tries of 10 s
/// to settle.
const LEASE_MARGIN: Duration = Duration::from_secs(45);
/// How often settling is tried before the job is left to its lease.
const SETTLE_TRIES: u32 = 3;

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// The queues it claims from, all together in order of priority.
    pub queues: Vec<String>,
    /// Who it is, as seen in the table.
    pub owner: String,
    /// Jobs that run at the same time, at most.
    pub concurrency: u32,
    /// Longest time one attempt may take; then its handler is dropped.
    pub deadline: Duration,
    /// How often to look for jobs that came due or that other programs put in. Those of this process are seen at once.
    pub poll: Duration,
    /// The wait after a failed attempt, and after a failed claim.
    pub backoff: Backoff,
}

impl Default for WorkerSettings {
    /// No queue, and no name but the process's. One job at a time, 30 s each, a look every second, waits of 1 s to 5 min
    /// (ours: a service that restarts is back by the third attempt, and one that is down is not hammered).
    fn default() -> Self {
        Self {
            queues: Vec::new(),
            owner: format!("pid-{}", std::process::id()),
            concurrency: 1,
            deadline: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            backoff: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(300) },
        }
    }
}

/// Why a handler did not do its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobFailure {
    /// Another attempt may help, after the back-off or, if given, not before this long.
    Retry(String, Option<Duration>),
    /// Another attempt cannot help.
    Dead(String),
}

/// Runs `handler` for each job of its queues.
pub struct Worker<H> {
    queues: Queues,
    settings: WorkerSettings,
    handler: Arc<H>,
}

impl<H, F> Worker<H>
where
    H: Fn(Job) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), JobFailure>> + Send + 'static,
{
    /// Makes a worker; nothing runs before [`Worker::run`].
    pub fn new(queues: Queues, settings: WorkerSettings, handler: H) -> Self {
        Self { queues, settings, handler: Arc::new(handler) }
    }

    /// Works until `stop`, then waits for the attempts that run; each has its deadline.
    ///
    /// # Cancel safety
    /// Dropping it drops the running handlers; their jobs come back when the leases run out.
    pub async fn run(&self, stop: CancellationToken) {
        let mut running = JoinSet::new();
        let mut put_in = self.queues.put_in();
        let mut failures = 0;
        while !stop.is_cancelled() {
            put_in.mark_unchanged();
            let free = self.settings.concurrency.saturating_sub(u32::try_from(running.len()).unwrap_or(u32::MAX));
            let jobs = self.claim(free).await;
            failures = if jobs.is_some() { 0 } else { failures + 1 };
            for job in jobs.into_iter().flatten() {
                running.spawn(self.attempt(job));
            }
            let pause = if failures == 0 { self.settings.poll } else { self.wait_after(failures) };
            tokio::select! {
                () = stop.cancelled() => {}
                Some(_) = running.join_next(), if !running.is_empty() => {}
                Ok(()) = put_in.changed(), if failures == 0 => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Returns none if the store failed.
    async fn claim(&self, free: u32) -> Option<Vec<Job>> {
        if free == 0 {
            return Some(Vec::new());
        }
        let names: Vec<&str> = self.settings.queues.iter().map(String::as_str).collect();
        let lease = self.settings.deadline + LEASE_MARGIN;
        let claimed = self.queues.claim(&names, &self.settings.owner, lease, free).await;
        let log = |error: &QueueError| {
            let error: &dyn std::error::Error = error;
            tracing::warn!(error, "cannot claim jobs");
        };
        claimed.inspect_err(log).ok()
    }

    /// Runs one attempt and settles it.
    fn attempt(&self, job: Job) -> impl Future<Output = ()> + Send + 'static + use<H, F> {
        let (queues, handler) = (self.queues.clone(), self.handler.clone());
        let (deadline, wait) = (self.settings.deadline, self.wait_after(job.attempt));
        async move {
            let claim = job.claim;
            let mut span = span_of(&job);
            // The handler itself is called inside: it may panic before there is a future.
            let attempt = async move { timeout(deadline, handler(job)).await };
            let attempt = AssertUnwindSafe(span.within(attempt)).catch_unwind().await;
            let failure = match attempt {
                Ok(Ok(Ok(()))) => None,
                Ok(Ok(Err(failure))) => Some(failure),
                Ok(Err(_elapsed)) => {
                    Some(JobFailure::Retry(format!("not finished within {}", show_duration(deadline)), None))
                }
                Err(panic) => Some(JobFailure::Retry(format!("the handler panicked: {}", words_of(&*panic)), None)),
            };
            match &failure {
                Some(JobFailure::Retry(reason, _)) => span.fail("retry", reason.clone()),
                Some(JobFailure::Dead(reason)) => span.fail("dead", reason.clone()),
                None => {}
            }
            drop(span);
            settle(&queues, claim, failure, wait).await;
        }
    }

    fn wait_after(&self, failures: u32) -> Duration {
        self.settings.backoff.delay(failures, rand::random())
    }
}

/// Begins the span of an attempt, below what put the job in.
fn span_of(job: &Job) -> Span {
    let mut span = spans::begin(Kind::Consumer, "process", &job.queue, &job.name, job.asked_by.as_ref());
    span.set("messaging.message.id", job.claim.id.to_string());
    span.set("messaging.delivery.attempt", job.attempt);
    span
}

/// Settles within the lease's margin. What cannot be settled is done again: at least once.
async fn settle(queues: &Queues, claim: Claim, failure: Option<JobFailure>, wait: Duration) {
    for attempt in 1..=SETTLE_TRIES {
        let settled = match &failure {
            None => queues.complete(claim).await.map(|()| None),
            Some(JobFailure::Retry(reason, after)) => {
                queues.fail(claim, reason, Retry::After(after.unwrap_or(wait))).await.map(Some)
            }
            Some(JobFailure::Dead(reason)) => queues.fail(claim, reason, Retry::Dead).await.map(Some),
        };
        match settled {
            Ok(Some(Failed::Dead)) => return tracing::warn!(job.id = %claim.id, ?failure, "a job died"),
            Ok(_) => return,
            Err(QueueError::Lost(_)) => {
                return tracing::warn!(job.id = %claim.id, "a job's lease ran out before it was settled");
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(job.id = %claim.id, error, attempt, "cannot settle a job");
            }
        }
        tokio::time::sleep(Duration::from_secs(u64::from(attempt))).await;
    }
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}
