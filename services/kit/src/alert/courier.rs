//! The loop that posts: news at once, repeats every minute, to the fallback what has waited too long.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use secrecy::SecretString;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::figures::{ACCEPTED, Figures, REFUSED, RETRIED};
use super::kinds::Posting;
use super::lane::{DELIVER, Lane};
use super::outage::Outage;
use super::post::{Answer, Post};
use super::settings::Endpoint;
use super::{AlertError, AlertSettings, Fallback};
use crate::clock::later;
use crate::metrics::Metrics;
use crate::queue::{Job, QueueError, Queues, Retry};

/// Requests at the same time. Ours: a thousand repeats at 20 ms each take 3 s of their minute.
const AT_ONCE: u32 = 8;
/// How much longer than its requests a lease lasts: the deadline of a queue's call, to note what came of them.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

pub(super) struct Courier {
    pub(super) settings: AlertSettings,
    pub(super) queues: Queues,
    /// The queue's name.
    pub(super) queue: String,
    owner: String,
    pub(super) figures: Figures,
    pub(super) monitor: Place,
    pub(super) fallback: Option<Place>,
}

/// Somewhere to post to.
pub(super) struct Place {
    pub(super) post: Post,
    outage: Mutex<Outage>,
}

impl Place {
    pub(super) fn outage<T>(&self, with: impl FnOnce(&mut Outage) -> T) -> T {
        with(&mut self.outage.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Courier {
    pub(super) fn new(settings: AlertSettings, queues: Queues, metrics: &Metrics) -> Result<Self, AlertError> {
        check_source(&settings.source)?;
        let fallback_secrets = settings.fallback.iter().flat_map(Fallback::secrets);
        let secrets: Vec<SecretString> = settings.token.iter().cloned().chain(fallback_secrets).collect();
        let place = |endpoint: Endpoint| Place {
            post: Post {
                client: crate::http::client(settings.timeout),
                endpoint,
                timeout: settings.timeout,
                user_agent: settings.source.clone(),
                secrets: secrets.clone(),
            },
            outage: Mutex::default(),
        };
        Ok(Self {
            queue: format!("alerts-{}", settings.source),
            owner: format!("{}-{}", settings.source, std::process::id()),
            monitor: place(Endpoint::monitor(&settings)?),
            fallback: settings.fallback.as_ref().map(Endpoint::fallback).transpose()?.map(place),
            figures: Figures::new(metrics),
            settings,
            queues,
        })
    }

    pub(super) async fn run(&self, stop: CancellationToken) {
        let mut put_in = self.queues.put_in();
        let mut failures = 0;
        while !stop.is_cancelled() {
            put_in.mark_unchanged();
            let turn = self.turn().await;
            let pause = match turn {
                // There may be more.
                Ok(true) => continue,
                Ok(false) => {
                    failures = 0;
                    self.settings.poll
                }
                Err(error) => {
                    failures += 1;
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, failures, "cannot read the alerts to post");
                    self.settings.backoff.delay(failures, rand::random())
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                Ok(()) = put_in.changed(), if failures == 0 => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Posts some of what is due, and returns whether anything was.
    async fn turn(&self) -> Result<bool, QueueError> {
        let now = self.queues.now();
        // One request finds out whether a monitor that was away is back.
        let is_trying = self.monitor.outage(|outage| outage.is_failing() && outage.until(now).is_none());
        let (limit, lease) = (if is_trying { 1 } else { AT_ONCE }, self.settings.timeout * 2 + LEASE_MARGIN);
        let jobs = self.queues.claim(&[&self.queue], &self.owner, lease, limit).await?;
        let was_due = !jobs.is_empty();
        join_all(jobs.into_iter().map(|job| self.handle(job))).await;
        let pending = self.queues.count_named(&self.queue, DELIVER).await?;
        self.figures.pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
        Ok(was_due)
    }

    async fn handle(&self, job: Job) {
        if let Err(error) = self.post(&job).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(job.id = %job.claim.id, error, "cannot note what came of an alert; it is posted again");
        }
    }

    async fn post(&self, job: &Job) -> Result<(), QueueError> {
        let lane: Lane = match job.decode() {
            Ok(lane) => lane,
            // A later program may have written it, and read it again.
            Err(error) => {
                tracing::error!(job.id = %job.claim.id, %error, "a kept alert cannot be read");
                let reason = format!("this is no alert that we know: {error}");
                return self.queues.fail(job.claim, &reason, Retry::Dead).await.map(|_dead| ());
            }
        };
        let Some((id, posting)) = lane.next() else {
            // As it is now: it may have changed since it was claimed.
            let now = self.queues.now();
            return self.queues.settle(job.claim, |payload| Lane::read(Some(payload)).into_draft(now)).await;
        };
        match self.tell_monitor(posting).await {
            Answer::Accepted => self.accepted(job, id).await,
            Answer::Refused(reason) => self.bury(job, posting, &reason).await,
            Answer::Away(..) => self.postpone(job, &lane, false).await,
            Answer::Failed(_) => self.postpone(job, &lane, true).await,
        }
    }

    /// Posts to the monitor, unless it is to be left alone.
    async fn tell_monitor(&self, posting: &Posting) -> Answer {
        let now = self.queues.now();
        if let Some(until) = self.monitor.outage(|outage| outage.until(now)) {
            return Answer::Away(format!("left alone until {until}"), None);
        }
        let answer = self.monitor.post.json(json!([posting]).to_string(), None, now).await;
        let result = match &answer {
            Answer::Accepted => {
                self.monitor.outage(|outage| outage.accepted(self.queues.now()));
                ACCEPTED
            }
            Answer::Refused(_) => REFUSED,
            Answer::Away(reason, wait) => {
                let (backoff, random) = (self.settings.backoff, rand::random());
                self.monitor.outage(|outage| outage.failed(self.queues.now(), *wait, backoff, random));
                tracing::warn!(reason, "the monitor takes no alerts");
                RETRIED
            }
            Answer::Failed(reason) => {
                tracing::warn!(reason, "the monitor did not take an alert");
                RETRIED
            }
        };
        self.figures.posts.with_label_values(&[result]).inc();
        answer
    }

    async fn accepted(&self, job: &Job, id: Option<Uuid>) -> Result<(), QueueError> {
        let now = self.queues.now();
        let next = |payload: &str| {
            let mut lane = Lane::read(Some(payload));
            lane.accepted(id);
            let run_at = if lane.news.is_empty() { later(now, self.settings.repeat_every) } else { now };
            lane.into_draft(run_at)
        };
        self.queues.settle(job.claim, next).await
    }

    /// The newest of each alert is enough: a source goes on firing what is refused.
    async fn bury(&self, job: &Job, posting: &Posting, reason: &str) -> Result<(), QueueError> {
        tracing::error!(alert.name = posting.labels.get("alertname"), reason, "the monitor refused an alert");
        self.queues.discard_keyed(&self.queue, &posting.key()).await?;
        self.queues.fail(job.claim, &format!("the monitor refused it: {reason}"), Retry::Dead).await.map(|_dead| ())
    }

    /// Tells the fallback if it is time, and leaves the lane until the monitor or the fallback may be asked again.
    async fn postpone(&self, job: &Job, lane: &Lane, is_its_own: bool) -> Result<(), QueueError> {
        let told = self.tell_fallback(lane).await;
        let now = self.queues.now();
        let next = |payload: &str| {
            let mut lane = Lane::read(Some(payload));
            if let Some(id) = told {
                lane.told_fallback(id);
            }
            lane.failures = if is_its_own { lane.failures.saturating_add(1) } else { lane.failures };
            let wait = self.settings.backoff.delay(lane.failures, rand::random());
            let own = if is_its_own { later(now, wait) } else { now };
            let monitor = self.monitor.outage(|outage| outage.until(now)).map_or(own, |until| until.max(own));
            let run_at = self.fallback_at(&lane).map_or(monitor, |fallback| fallback.min(monitor));
            lane.into_draft(run_at)
        };
        self.queues.settle(job.claim, next).await
    }
}

/// It is a label, part of a queue's name and a header.
fn check_source(source: &str) -> Result<(), AlertError> {
    let is_plain = source.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if is_plain && (1..=64).contains(&source.len()) {
        return Ok(());
    }
    Err(AlertError::Settings(format!("source {source:?} must have 1 to 64 lower-case letters, digits and dashes")))
}
