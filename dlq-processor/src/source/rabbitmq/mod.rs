//! RabbitMQ: queues that dead letters are led into (rabbitmq.com/docs/dlx), each named in the configuration, since AMQP 0-9-1
//! lists none.
//!
//! Reading is taking: messages are held without being acknowledged, at most 499 of a queue and 32 MiB of all, and listed from
//! there, all of them each time. They are taken one by one (`basic.get`): a consumer could bound how many come, but not how
//! many bytes. Where nothing may be changed they stay held, and the broker has them again when the connection closes, each
//! marked as redelivered.
//!
//! What is told apart, and what is not (see `identity` and `names`): while this process runs, every message is a letter. If it
//! was started anew between two messages they are one letter in these cases only:
//! - a broker wrote the deaths of both, and they agree in `message_id` and body (or, without a `message_id`, in every byte), in
//!   the queue they died in, the second of it, and the number of deaths and redrives before;
//! - programs published both into the dead letter queue, equal in every byte, and with a `message_id`;
//! - both were published so without one, were held when a process ended, and the second was not written by then.
//!
//! The other way round, a message that a program published so without a `message_id`, and that was held when a process ended,
//! has a second letter in the next one. Twice is better there than never.

mod anew;
mod death;
mod identity;
mod letter;
mod message;
mod names;
mod reading;
mod sending;
mod server;
mod settling;
mod shelf;

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use tokio::sync::Mutex;

use self::anew::Anew;
pub use self::anew::BackTo;
use self::reading::Reading;
use self::sending::{Sending, send};
use self::server::{MAX_NAME_BYTES, Server};
use self::settling::Settling;
use super::{Cursor, Episode, Found, LOOK_EVERY, Lost, Manners, Order, Page, Put, Sought, Source, SourceError, State};

/// Longest wait for everything that one call asks, and for one message that is put back.
const DEADLINE: Duration = Duration::from_secs(10);
/// Longest time that one call puts messages back: the rest is not sent.
const PUTTING: Duration = Duration::from_secs(30);
/// Dead letter queues of one source, at most: each has a channel, and a part of what may be held.
const MAX_QUEUES: usize = 100;

/// Why there can be no such source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RabbitMqError {
    /// The URL is not one of a broker and a vhost.
    #[error("\"url\" is not one of RabbitMQ; write it like amqp://127.0.0.1:5672/%2f, with the vhost at its end")]
    Url,
    /// There are no queues, too many, or one of them cannot be.
    #[error(
        "\"dead_letter_queues\" must be 1 to {MAX_QUEUES} names of queues, each once; write them like [orders.dlq]"
    )]
    Queues,
}

/// Dead letter queues of one vhost.
pub struct RabbitMq {
    server: Server,
    back_to: BackTo,
    deadline: Duration,
    reading: Mutex<Reading>,
    sending: Mutex<Option<Sending>>,
    settling: Settling,
}

impl RabbitMq {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// See [`RabbitMqError`].
    pub fn new(url: &SecretString, queues: &[String], back_to: BackTo) -> Result<Self, RabbitMqError> {
        let server = Server::new(url, DEADLINE).ok_or(RabbitMqError::Url)?;
        let is_name = |queue: &String| (1..=MAX_NAME_BYTES).contains(&queue.len());
        let mut distinct: Vec<&String> = queues.iter().filter(|queue| is_name(queue)).collect();
        distinct.sort();
        distinct.dedup();
        if distinct.len() != queues.len() || !(1..=MAX_QUEUES).contains(&queues.len()) {
            return Err(RabbitMqError::Queues);
        }
        let (reading, sending) = (Mutex::new(Reading::new(queues)), Mutex::default());
        Ok(Self { server, back_to, deadline: DEADLINE, reading, sending, settling: Settling::default() })
    }

    /// Gives every call, and every message that is put back, this deadline instead of 10 s.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// An answer that is late may come yet, with a message: everything is given back.
    async fn ask<T>(
        &self,
        asking: impl AsyncFnOnce(&mut Reading, &Server) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let mut reading = self.reading.lock().await;
        let answer = tokio::time::timeout(self.deadline, asking(&mut reading, &self.server)).await;
        answer.unwrap_or_else(|_elapsed| {
            reading.give_back();
            Err(SourceError::Late(self.deadline))
        })
    }

    async fn wait_for_more(&self, queues: &[String], patience: Duration) -> Result<(), SourceError> {
        if !self.reading.lock().await.has_more(queues) {
            tokio::time::sleep(patience.min(LOOK_EVERY)).await;
        }
        Ok(())
    }

    async fn put_all_anew(&self, lost: &[Lost]) -> Result<Vec<Put>, SourceError> {
        let (mut sending, began) = (self.sending.lock().await, Instant::now());
        sending.iter_mut().for_each(Sending::doubt);
        let (mut done, mut is_over) = (Vec::with_capacity(lost.len()), false);
        for lost in lost {
            let Some(anew) = Anew::of(lost, self.back_to) else {
                done.push(Put::Refused);
                continue;
            };
            if is_over || began.elapsed() > PUTTING {
                done.push(Put::Untaken);
                continue;
            }
            let put = match send(&mut sending, &self.server, anew, self.deadline).await {
                Ok(put) => put,
                Err(error) if !done.iter().any(|put| matches!(put, Put::Moved | Put::Unsure)) => return Err(error),
                Err(_) => {
                    is_over = true;
                    Put::Untaken
                }
            };
            if put == Put::Moved {
                let Episode { queue, job, .. } = &lost.order.episode;
                self.settling.put_back((queue.clone(), job.clone()), Instant::now());
            }
            done.push(put);
        }
        Ok(done)
    }
}

impl Source for RabbitMq {
    fn manners(&self, _queue: &str) -> Manners {
        Manners {
            keeps_dead: false,
            lists_again: true,
            remembers_orders: false,
            makes_others: false,
            tells_ends: false,
        }
    }

    fn queues(&self) -> BoxFuture<'_, Result<Vec<String>, SourceError>> {
        self.ask(async |reading, server| reading.queues(server).await).boxed()
    }

    fn list<'a>(&'a self, queue: &'a str, from: Cursor) -> BoxFuture<'a, Result<Page, SourceError>> {
        self.ask(async move |reading, server| reading.list(server, queue, from).await).boxed()
    }

    fn read<'a>(&'a self, episodes: &'a [Episode]) -> BoxFuture<'a, Result<Vec<Option<Found>>, SourceError>> {
        async { Ok(self.reading.lock().await.read(episodes)) }.boxed()
    }

    fn wait<'a>(&'a self, queues: &'a [String], patience: Duration) -> BoxFuture<'a, Result<(), SourceError>> {
        self.wait_for_more(queues, patience).boxed()
    }

    fn put_back<'a>(&'a self, orders: &'a [Order]) -> BoxFuture<'a, Result<Vec<Put>, SourceError>> {
        // Nothing is put back from where it is held: see `Manners::keeps_dead`.
        std::future::ready(Ok(vec![Put::Gone; orders.len()])).boxed()
    }

    fn put_anew<'a>(&'a self, lost: &'a [Lost]) -> BoxFuture<'a, Result<Vec<Put>, SourceError>> {
        self.put_all_anew(lost).boxed()
    }

    fn states<'a>(&'a self, jobs: &'a [Sought]) -> BoxFuture<'a, Result<Vec<State>, SourceError>> {
        std::future::ready(Ok(self.settling.states(jobs, Instant::now()))).boxed()
    }

    fn forget<'a>(&'a self, episodes: &'a [Episode]) -> BoxFuture<'a, Result<u64, SourceError>> {
        self.ask(async move |reading, _server| reading.forget(episodes).await).boxed()
    }
}
