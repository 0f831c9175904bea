//! The shelves of all queues, over one connection.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lapin::{Connection, Error};

use super::super::{Cursor, Episode, Found, Page, SourceError};
use super::letter::found_of;
use super::server::{Server, judged, refusal};
use super::shelf::{Held, Shelf};

/// What is held of all queues together, at most, and one message of each that goes beyond. The ledger writes it twice, within
/// its 10 s.
const MAX_BYTES: usize = 32 << 20;
/// Identities that are remembered of all queues together, at most, besides those of messages that are held.
const MAX_NAMES: usize = 100_000;
/// Longest time that one call takes messages: the rest waits for the next one.
const TAKING: Duration = Duration::from_secs(3);

/// What is held, and how.
pub(super) struct Reading {
    connection: Option<Connection>,
    shelves: BTreeMap<String, Shelf>,
}

impl Reading {
    pub(super) fn new(queues: &[String]) -> Self {
        let part = |of: usize| of / queues.len().max(1);
        let shelf = |queue: &String| Shelf::new(queue.clone(), part(MAX_BYTES), part(MAX_NAMES));
        let shelves = queues.iter().map(|queue| (queue.clone(), shelf(queue)));
        Self { connection: None, shelves: shelves.collect() }
    }

    /// Closes the connection: the broker has everything again.
    pub(super) fn give_back(&mut self) {
        self.shelves.values_mut().for_each(Shelf::give_back);
        self.connection = None;
    }

    /// Returns the queues that can be read. Of each that cannot it is said once why.
    pub(super) async fn queues(&mut self, server: &Server) -> Result<Vec<String>, SourceError> {
        self.connect(server).await?;
        let Self { connection: Some(connection), shelves } = self else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (queue, shelf) in shelves.iter_mut() {
            match shelf.open(connection).await {
                Ok(()) => found.push(queue.clone()),
                Err(error) => leave_out(queue, shelf, &error)?,
            }
            if found.last() == Some(queue) && shelf.left_out.take().is_some() {
                tracing::info!(queue, "the dead letter queue can be read");
            }
        }
        match shelves.values().find_map(|shelf| shelf.left_out.as_ref()) {
            Some(why) if found.is_empty() => Err(SourceError::Away(why.clone())),
            _ => Ok(found),
        }
    }

    /// Lists all that is held, and has been taken now.
    pub(super) async fn list(&mut self, server: &Server, queue: &str, from: Cursor) -> Result<Page, SourceError> {
        self.connect(server).await?;
        let Self { connection: Some(connection), shelves } = self else { return Ok(Page::default()) };
        let Some(shelf) = shelves.get_mut(queue) else { return Ok(Page::of(Vec::new(), from, 0)) };
        let began = Instant::now();
        let filled = shelf.fill(connection, || Timestamp::now().as_millisecond(), || began.elapsed() < TAKING).await;
        if let Err(error) = filled {
            shelf.give_back();
            return Err(judged(&error));
        }
        let mut episodes: Vec<Episode> = shelf.held().iter().map(|held| held.episode.clone()).collect();
        episodes.sort_by_key(|episode| episode.failed_at_ms);
        Ok(Page::of(episodes, from, shelf.count()))
    }

    pub(super) fn read(&self, episodes: &[Episode]) -> Vec<Option<Found>> {
        let held = |episode: &Episode| {
            let shelf = self.shelves.get(&episode.queue)?;
            shelf.held().iter().find(|held| held.episode == *episode)
        };
        let found = |held: &Held| found_of(held.episode.clone(), &held.message, &held.routing_key);
        episodes.iter().map(|episode| held(episode).map(found)).collect()
    }

    /// Whether there is more of one of these queues than is held, and room for it.
    pub(super) fn has_more(&self, queues: &[String]) -> bool {
        queues.iter().filter_map(|queue| self.shelves.get(queue)).any(Shelf::has_more)
    }

    pub(super) async fn forget(&mut self, episodes: &[Episode]) -> Result<u64, SourceError> {
        let mut forgotten = 0;
        for (queue, shelf) in &mut self.shelves {
            let of_queue: Vec<&Episode> = episodes.iter().filter(|episode| episode.queue == *queue).collect();
            match shelf.forget(&of_queue).await {
                Ok(count) => forgotten += count,
                Err(error) => {
                    // What was acknowledged may come again, and is known then.
                    shelf.give_back();
                    return Err(judged(&error));
                }
            }
        }
        Ok(forgotten)
    }

    async fn connect(&mut self, server: &Server) -> Result<(), SourceError> {
        if self.connection.as_ref().is_some_and(|connection| connection.status().connected()) {
            return Ok(());
        }
        self.give_back();
        self.connection = Some(server.connect().await?);
        Ok(())
    }
}

/// Lets the others be read where a broker refuses this one: it is not there, or is somebody else's.
fn leave_out(queue: &str, shelf: &mut Shelf, error: &Error) -> Result<(), SourceError> {
    shelf.give_back();
    if refusal(error).is_none() {
        return Err(judged(error));
    }
    let why = judged(error).to_string();
    if shelf.left_out.as_ref() != Some(&why) {
        tracing::warn!(queue, error = why, "a dead letter queue cannot be read; the others are");
        shelf.left_out = Some(why);
    }
    Ok(())
}
