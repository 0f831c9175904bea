//! Takes ended spans into a bounded queue and hands them to the collector in batches: nobody ever waits for it.

use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::figures::{Figures, Loss};
use super::otlp::{Resource, encode};
use super::part::Verdict;
use super::record::Record;
use super::sampler::Sampler;
use super::settings::TraceSettings;
use super::transport::{Answer, Transport};
use crate::export::{BACKOFF, Exporting, LAST};

static TRACER: OnceLock<Tracer> = OnceLock::new();

/// Where spans go when they end.
#[derive(Debug)]
pub(super) struct Tracer {
    pub(super) sampler: Sampler,
    pub(super) figures: Figures,
    queue: Sender<Record>,
}

/// Returns it, if there is a collector.
pub(super) fn tracer() -> Option<&'static Tracer> {
    TRACER.get()
}

/// Returns whether spans go anywhere.
pub fn is_on() -> bool {
    tracer().is_some()
}

impl Tracer {
    pub(super) fn take(&self, verdict: Verdict) {
        self.figures.lost(Loss::TraceFull, verdict.lost as u64);
        for record in verdict.kept {
            if self.queue.try_send(record).is_err() {
                self.figures.lost(Loss::QueueFull, 1);
            }
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

/// Starts handing spans to the collector, if there is one. A second start (tests) does nothing.
pub fn start(settings: Option<TraceSettings>) -> Exporting {
    let Some(settings) = settings else { return Exporting::nothing() };
    let (queue, spans) = mpsc::channel(settings.queue);
    let started = TRACER.set(Tracer { sampler: settings.sampler, figures: Figures::default(), queue });
    let (Ok(()), Some(tracer)) = (started, tracer()) else { return Exporting::nothing() };
    tracing::info!(collector = %settings.uri, "tracing");
    Exporting::spawn(|stop| Exporter::new(settings, &tracer.figures, stop).run(spans))
}

/// What the last answer says of the next batch.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    /// The collector takes nothing.
    is_away: bool,
    /// It is left alone until then: it asked for that, or was away a moment ago.
    not_before: Option<Instant>,
}

struct Exporter {
    transport: Transport,
    resource: Resource,
    version: &'static str,
    delay: Duration,
    patience: Duration,
    batch: usize,
    figures: &'static Figures,
    stop: CancellationToken,
}

impl Exporter {
    fn new(settings: TraceSettings, figures: &'static Figures, stop: CancellationToken) -> Self {
        let TraceSettings { ref resource, version, delay, patience, batch, .. } = settings;
        let resource = resource.clone();
        Self { transport: Transport::new(settings), resource, version, delay, patience, batch, figures, stop }
    }

    async fn run(self, mut spans: Receiver<Record>) {
        let mut standing = Standing::default();
        let mut batch = Vec::with_capacity(self.batch);
        loop {
            batch.clear();
            self.collect(&mut spans, &mut batch).await;
            if self.stop.is_cancelled() {
                return self.finish(batch, spans, standing).await;
            }
            let mut delivery = pin!(self.deliver(&batch, standing));
            match self.stop.run_until_cancelled(delivery.as_mut()).await {
                Some(now) => standing = now,
                None => {
                    tokio::join!(delivery, self.finish(Vec::new(), spans, standing));
                    return;
                }
            }
        }
    }

    /// Waits until a batch is full, or its first span old enough, or it is time to stop.
    async fn collect(&self, spans: &mut Receiver<Record>, batch: &mut Vec<Record>) {
        let filled = async {
            let Some(first) = spans.recv().await else { return std::future::pending().await };
            batch.push(first);
            let due = Instant::now() + self.delay;
            while batch.len() < self.batch {
                match timeout_at(due, spans.recv()).await {
                    Ok(Some(span)) => batch.push(span),
                    Ok(None) | Err(_) => return,
                }
            }
        };
        self.stop.run_until_cancelled(filled).await;
    }

    /// Hands over the rest, all batches at the same time.
    async fn finish(&self, mut rest: Vec<Record>, mut spans: Receiver<Record>, standing: Standing) {
        spans.close();
        rest.extend(std::iter::from_fn(|| spans.try_recv().ok()));
        join_all(rest.chunks(self.batch).map(|batch| self.deliver(batch, standing))).await;
    }

    /// Tries for a while, counts what came of it, and returns where the collector stands. Only a change is worth a line.
    async fn deliver(&self, batch: &[Record], before: Standing) -> Standing {
        // That time is not the batch's: else it might be lost before it was tried.
        self.rest_until(before.not_before).await;
        let message = encode(&self.resource, (env!("CARGO_PKG_NAME"), self.version), batch);
        let spans = batch.len() as u64;
        let (mut reason, mut not_before) = ("no answer in time".to_owned(), None);
        let answer = tokio::select! {
            answer = self.try_to_send(&message, &mut reason, &mut not_before) => Some(answer),
            () = self.too_late() => None,
        };
        let (lost, loss, why) = match answer {
            Some(Answer::Taken(lost, why)) => (lost.min(spans), Loss::Refused, why),
            Some(Answer::Refused(why)) => (spans, Loss::Refused, why),
            Some(Answer::Away(why, _)) => (spans, Loss::Undelivered, why),
            None => (spans, Loss::Undelivered, reason),
        };
        self.figures.sent(spans - lost);
        self.figures.lost(loss, lost);
        match (lost > 0, before.is_away) {
            (true, false) => {
                tracing::warn!(error = why, spans = lost, "the collector takes no spans; they are dropped")
            }
            (false, true) => tracing::info!("the collector takes spans again"),
            _ => {}
        }
        Standing { is_away: lost > 0, not_before }
    }

    /// Returns at that time, or when the program must end.
    async fn rest_until(&self, time: Option<Instant>) {
        if let Some(time) = time {
            self.stop.run_until_cancelled(sleep_until(time)).await;
        }
    }

    /// Returns when a batch has had its time, or the program must end.
    async fn too_late(&self) {
        let last = async {
            self.stop.cancelled().await;
            sleep(LAST).await;
        };
        tokio::select! {
            () = sleep(self.patience) => {}
            () = last => {}
        }
    }

    async fn try_to_send(&self, message: &[u8], reason: &mut String, not_before: &mut Option<Instant>) -> Answer {
        for failures in 1.. {
            let is_last = self.stop.is_cancelled();
            match self.transport.send(message).await {
                Answer::Away(why, wait) if !is_last => {
                    *reason = why;
                    // A wait of nothing, or until a time that has passed, is no leave to ask without end.
                    let wait = wait.unwrap_or_default().max(BACKOFF.delay(failures, rand::random()));
                    *not_before = Some(Instant::now() + wait);
                    self.rest_until(*not_before).await;
                }
                answer => return answer,
            }
        }
        Answer::Refused(std::mem::take(reason))
    }
}
