//! The messages of one dead letter queue that are held: taken, and not acknowledged. The broker gives them to nobody else
//! meanwhile, and has them again when their channel closes.

use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::{Channel, ChannelState, Connection, Error, ErrorKind};

use super::super::{Episode, PAGE};
use super::death::deaths_of;
use super::identity::Identity;
use super::message::Message;
use super::names::Names;
use super::server::{ready, short};

/// Messages that are held, at most: less than a page, so that one page has all of them.
pub(super) const HELD: usize = PAGE - 1;

/// A message that is held.
pub(super) struct Held {
    pub(super) episode: Episode,
    pub(super) message: Message,
    pub(super) routing_key: String,
    identity: Identity,
    tag: u64,
}

/// What is held of one queue.
pub(super) struct Shelf {
    queue: String,
    /// Bytes that are held, at most, and the message that goes beyond.
    max_bytes: usize,
    channel: Option<Channel>,
    held: Vec<Held>,
    bytes: usize,
    names: Names,
    /// How many messages there were that are not held.
    ready: u32,
    /// Why it cannot be read, if that was said already.
    pub(super) left_out: Option<String>,
}

impl Shelf {
    pub(super) fn new(queue: String, max_bytes: usize, max_names: usize) -> Self {
        let (channel, held, names, left_out) = (None, Vec::new(), Names::new(max_names), None);
        Self { queue, max_bytes, channel, held, bytes: 0, names, ready: 0, left_out }
    }

    pub(super) fn held(&self) -> &[Held] {
        &self.held
    }

    /// How many messages the queue has, held or not.
    pub(super) fn count(&self) -> u64 {
        self.held.len() as u64 + u64::from(self.ready)
    }

    /// Whether there is something to be taken, and room for it.
    pub(super) fn has_more(&self) -> bool {
        self.ready > 0 && self.has_room()
    }

    fn has_room(&self) -> bool {
        self.held.len() < HELD && self.bytes < self.max_bytes
    }

    /// Asks for the queue, over a new channel if there is none.
    pub(super) async fn open(&mut self, connection: &Connection) -> Result<(), Error> {
        let channel = self.channel(connection).await?;
        self.ready = ready(&channel, &self.queue).await?;
        Ok(())
    }

    /// Takes as much as there is room for, for as long as `goes_on`.
    pub(super) async fn fill(
        &mut self,
        connection: &Connection,
        now_ms: impl Fn() -> i64,
        goes_on: impl Fn() -> bool,
    ) -> Result<(), Error> {
        let channel = self.channel(connection).await?;
        // Whoever stops waiting for this must give everything back: a message that is on its way is held by nobody.
        while self.has_room() && goes_on() {
            match channel.basic_get(short(&self.queue), BasicGetOptions { no_ack: false }).await? {
                Some(got) => self.hold(got, now_ms()),
                None => break,
            }
        }
        self.ready = ready(&channel, &self.queue).await?;
        Ok(())
    }

    /// Acknowledges those of these failures that are held, and says how many there were once the broker has heard it.
    pub(super) async fn forget(&mut self, episodes: &[&Episode]) -> Result<u64, Error> {
        let tags = self.held.iter().filter(|held| episodes.contains(&&held.episode)).map(|held| held.tag);
        let tags: Vec<u64> = tags.collect();
        if tags.is_empty() {
            return Ok(0);
        }
        let closed = || Error::from(ErrorKind::InvalidChannelState(ChannelState::Closed, "acknowledging"));
        let channel = self.channel.clone().ok_or_else(closed)?;
        for tag in &tags {
            channel.basic_ack(*tag, BasicAckOptions { multiple: false }).await?;
        }
        self.ready = ready(&channel, &self.queue).await?;
        let (forgotten, held) = self.held.drain(..).partition(|held| tags.contains(&held.tag));
        self.held = held;
        let forgotten: Vec<Held> = forgotten;
        for Held { episode, identity, .. } in &forgotten {
            self.names.gone(identity, &(episode.job.clone(), episode.failed_at_ms));
        }
        self.bytes = self.held.iter().map(bytes_of).sum();
        Ok(forgotten.len() as u64)
    }

    /// Closes the channel: the broker has all of it again.
    pub(super) fn give_back(&mut self) {
        self.channel = None;
        for Held { episode, identity, .. } in self.held.drain(..) {
            self.names.given_back(&identity, (episode.job, episode.failed_at_ms));
        }
        (self.bytes, self.ready) = (0, 0);
    }

    async fn channel(&mut self, connection: &Connection) -> Result<Channel, Error> {
        if let Some(channel) = self.channel.as_ref().filter(|channel| channel.status().connected()) {
            return Ok(channel.clone());
        }
        // A broker closes a channel that holds messages for longer than half an hour (rabbitmq.com/docs/consumers).
        self.give_back();
        let channel = connection.create_channel().await?;
        self.channel = Some(channel.clone());
        Ok(channel)
    }

    fn hold(&mut self, got: BasicGetMessage, now_ms: i64) {
        let delivery = got.delivery;
        let message = Message { properties: delivery.properties, body: delivery.data };
        let identity = Identity::of(&message, &deaths_of(&message));
        let (job, failed_at_ms) = self.names.give(&identity, delivery.redelivered, now_ms);
        let episode = Episode { queue: self.queue.clone(), job, failed_at_ms };
        let routing_key = delivery.routing_key.as_str().to_owned();
        let held = Held { episode, message, routing_key, identity, tag: delivery.delivery_tag };
        self.bytes += bytes_of(&held);
        self.held.push(held);
    }
}

/// Nearly: headers are small, or part of what is bounded by a frame (128 KiB unless told otherwise).
fn bytes_of(held: &Held) -> usize {
    /// Of a message without a body.
    const AT_LEAST: usize = 4096;
    held.message.body.len() + AT_LEAST
}
