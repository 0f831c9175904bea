//! Sends what waits, one batch after the other and the oldest first, for as long as it takes.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::figures::{Figures, Loss};
use super::push::Batch;
use super::queue::Queue;
use super::settings::{LokiSettings, SpillSettings};
use super::store::{Hand, Store};
use super::transport::{Answer, Transport};
use crate::export::{BACKOFF, LAST};

/// Tries of one part that Loki may be too busy for before less of it is tried: it may be more than Loki ever takes at once.
const BUSY_TRIES: u32 = 3;
/// Parts of one batch that are refused before no more is looked for what of it is wrong: two lines among 5000 are found in 26,
/// and a Loki that wants none of it is not asked for each line.
const LOOKS: u32 = 32;

/// The sender.
pub(super) struct Sender {
    transport: Transport,
    queue: Arc<Queue>,
    figures: Arc<Figures>,
    store: Store,
    spill: Option<SpillSettings>,
    wait: Duration,
    end: End,
    trouble: Option<Trouble>,
    /// True after a batch of which no line was wanted, until one is: meanwhile nobody looks for what is wrong of a batch. A Loki
    /// without `allow_structured_metadata` wants none ever.
    wants_nothing: bool,
}

/// When the program ends.
struct End {
    stop: CancellationToken,
    late: OnceLock<Instant>,
}

/// Why lines do not arrive. Only a change is worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Away,
    Refused(Loss),
}

impl Sender {
    pub(super) fn new(
        settings: LokiSettings,
        queue: Arc<Queue>,
        figures: Arc<Figures>,
        stop: CancellationToken,
    ) -> Self {
        let LokiSettings { uri, headers, labels, wait, spill, .. } = settings;
        let store = Store::new(Arc::clone(&queue), Arc::clone(&figures), labels);
        let (transport, end) = (Transport::new(uri, headers), End { stop, late: OnceLock::new() });
        Self { transport, queue, figures, store, spill, wait, end, trouble: None, wants_nothing: false }
    }

    pub(super) async fn run(mut self) {
        if let Some(spill) = self.spill.take() {
            self.store.open(spill).await;
        }
        let left = loop {
            let oldest = match self.store.oldest().await {
                Some(hand) => Some(hand),
                None => {
                    self.ripen().await;
                    self.store.oldest_of_queue()
                }
            };
            match oldest {
                Some(mut hand) => {
                    if !self.deliver(&mut hand).await {
                        break Some(hand);
                    }
                    self.store.ended(hand).await;
                }
                None if self.end.stop.is_cancelled() => break None,
                None => {}
            }
        };
        self.store.finish(left).await;
    }

    /// Waits until a batch is full, or its first line old enough, or it is time to stop.
    async fn ripen(&self) {
        let ripe = async {
            self.queue.begun().await;
            let _full_or_old = timeout(self.wait, self.queue.full()).await;
        };
        self.end.stop.run_until_cancelled(ripe).await;
    }

    /// Tries until Loki has answered for all of a batch; false if the end of the program came before.
    async fn deliver(&mut self, hand: &mut Hand) -> bool {
        let mut parts = VecDeque::from([hand.batch.clone()]);
        let (mut failures, mut looks, mut refused, mut is_wanted) = (0, 0, None, false);
        while let Some(part) = parts.pop_front() {
            hand.left = part.lines + parts.iter().map(|part| part.lines).sum::<u64>();
            let answer = self.send(&part, hand).await;
            let is_busy = matches!(answer, Answer::Busy(..));
            match answer {
                Answer::Taken => {
                    failures = 0;
                    is_wanted = true;
                    self.figures.sent(part.lines);
                }
                Answer::TooLarge(why) => match part.halves() {
                    Some(halves) => halves.into_iter().rev().for_each(|half| parts.push_front(half)),
                    None => refused = Some(self.refused(Loss::TooLarge, part.lines, why)),
                },
                Answer::Partial(Some(ignored), why) if ignored.of == part.lines => {
                    is_wanted |= ignored.lines < ignored.of;
                    self.figures.sent(ignored.of - ignored.lines);
                    refused = Some(self.refused(Loss::Refused, ignored.lines, why));
                }
                // What of it was taken comes again, and is dropped there: the same line at the same time.
                Answer::Partial(_, why) => {
                    looks += 1;
                    match part.pieces().filter(|_| looks <= LOOKS && (is_wanted || !self.wants_nothing)) {
                        Some(pieces) => pieces.into_iter().rev().for_each(|piece| parts.push_front(piece)),
                        None => refused = Some(self.refused(Loss::Refused, part.lines, why)),
                    }
                }
                Answer::Refused(loss, why) => refused = Some(self.refused(loss, part.lines, why)),
                Answer::Away(why, wait) | Answer::Busy(why, wait) => {
                    self.told(Some(Trouble::Away), &why);
                    if self.end.stop.is_cancelled() {
                        return false;
                    }
                    failures += 1;
                    match part.halves().filter(|_| is_busy && failures % BUSY_TRIES == 0) {
                        Some(halves) => halves.into_iter().rev().for_each(|half| parts.push_front(half)),
                        None => parts.push_front(part),
                    }
                    self.rest(wait.unwrap_or_default().max(BACKOFF.delay(failures, rand::random())), hand).await;
                }
            }
        }
        self.wants_nothing = !is_wanted && (self.wants_nothing || looks > 1);
        let (trouble, why) = refused.unzip();
        self.told(trouble, &why.unwrap_or_default());
        true
    }

    /// Sends a part of what is in hand; meanwhile memory that is too full goes to the disk.
    async fn send(&mut self, part: &Batch, hand: &mut Hand) -> Answer {
        let mut answer = std::pin::pin!(self.transport.send(part.body.clone()));
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                () = self.end.is_late() => return Answer::Away("the program ends".to_owned(), None),
                () = self.queue.pressed(), if self.store.can_relieve() => self.store.relieve(hand).await,
            }
        }
    }

    /// Waits before another try, or until the program ends.
    async fn rest(&mut self, wait: Duration, hand: &mut Hand) {
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                () = self.end.stop.cancelled() => return,
                () = self.queue.pressed(), if self.store.can_relieve() => self.store.relieve(hand).await,
            }
        }
    }

    fn refused(&self, loss: Loss, lines: u64, why: String) -> (Trouble, String) {
        self.figures.lost(loss, lines);
        (Trouble::Refused(loss), why)
    }

    fn told(&mut self, trouble: Option<Trouble>, why: &str) {
        let was = std::mem::replace(&mut self.trouble, trouble);
        match (was, trouble) {
            (was, Some(now)) if was == Some(now) => {}
            (_, Some(Trouble::Away)) => tracing::warn!(error = why, "Loki takes no log lines; they wait"),
            (_, Some(Trouble::Refused(_))) => tracing::warn!(error = why, "Loki refuses log lines; they are dropped"),
            (Some(_), None) => tracing::info!("Loki takes log lines again"),
            (None, None) => {}
        }
    }
}

impl End {
    /// Returns when there is no more time.
    async fn is_late(&self) {
        self.stop.cancelled().await;
        sleep_until(*self.late.get_or_init(|| Instant::now() + LAST)).await;
    }
}
