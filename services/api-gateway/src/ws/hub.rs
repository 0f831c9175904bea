//! Which connections belong to which session, and what is told to them. A publisher never waits: who reads too slowly is
//! let go.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::Instant;

use super::backlog::Backlog;
use super::frame::{Topic, frame};

/// Connections of one session.
const CONNECTIONS: usize = 5;
/// Connections of all.
const ALL_CONNECTIONS: usize = 2000;
/// Sessions that are remembered, with or without a connection.
const SESSIONS: usize = 10_000;
/// How long one without a connection is remembered.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Frames that wait for one connection; who reads more slowly is let go.
const UNSENT: usize = 256;

/// All sessions.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    sessions: Mutex<HashMap<String, Session>>,
    pub(super) counts: Counts,
}

/// What clients and operators see of it.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) connections: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) queued: AtomicU64,
    pub(super) too_fast: AtomicU64,
    pub(super) refused: AtomicU64,
    next: AtomicU64,
}

#[derive(Debug)]
struct Session {
    connections: Vec<Connection>,
    backlog: Backlog,
    left: Instant,
}

#[derive(Debug)]
struct Connection {
    number: u64,
    topics: BTreeSet<Topic>,
    frames: mpsc::Sender<String>,
}

/// A place in a session; dropping it leaves.
#[derive(Debug)]
pub(super) struct Place {
    hub: Arc<Hub>,
    session: String,
    number: u64,
    /// What is told; ends when this connection is let go.
    pub(super) frames: mpsc::Receiver<String>,
}

impl Hub {
    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins a session. What waited for it comes first.
    ///
    /// # Errors
    /// Why there is no room.
    pub(super) fn join(self: &Arc<Self>, session: &str) -> Result<Place, &'static str> {
        let now = Instant::now();
        let mut sessions = self.sessions();
        if sessions.values().map(|session| session.connections.len()).sum::<usize>() >= ALL_CONNECTIONS {
            return Err("too many connections; come again later");
        }
        if sessions.len() >= SESSIONS && !sessions.contains_key(session) {
            sessions.retain(|_, session| session.is_of_interest(now));
            if sessions.len() >= SESSIONS {
                return Err("too many sessions; come again later");
            }
        }
        let entry = sessions.entry(session.to_owned()).or_insert_with(|| Session::new(now));
        if entry.connections.len() >= CONNECTIONS {
            return Err("the session has too many connections");
        }
        let (sender, frames) = mpsc::channel(UNSENT);
        let waited = entry.backlog.take(now);
        // The newest, if there are more than fit.
        for (_, frame) in waited.into_iter().rev().take(UNSENT).rev() {
            let _has_room = sender.try_send(frame);
        }
        let number = self.counts.next.fetch_add(1, Ordering::Relaxed);
        entry.connections.push(Connection { number, topics: Topic::ALL.into(), frames: sender });
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        Ok(Place { hub: self.clone(), session: session.to_owned(), number, frames })
    }

    /// Tells a session; if nobody listens it waits, if somebody did lately.
    pub(crate) fn tell(&self, session: &str, topic: Topic, data: &Value) {
        let mut sessions = self.sessions();
        let Some(entry) = sessions.get_mut(session) else { return };
        let text = frame(topic, session, data);
        if entry.connections.is_empty() {
            entry.backlog.add(topic, text, Instant::now());
            self.counts.queued.fetch_add(1, Ordering::Relaxed);
        } else {
            entry.send(topic, &text);
        }
    }

    /// Tells everybody who listens.
    pub(super) fn tell_all(&self, topic: Topic, data: &Value) {
        for (name, session) in self.sessions().iter_mut() {
            if !session.connections.is_empty() {
                session.send(topic, &frame(topic, name, data));
            }
        }
    }

    /// Returns the sessions that somebody listens to.
    pub(super) fn listened(&self) -> Vec<String> {
        let sessions = self.sessions();
        sessions.iter().filter(|(_, session)| !session.connections.is_empty()).map(|(name, _)| name.clone()).collect()
    }

    /// Returns the figures under the names that clients read.
    pub(crate) fn stats(&self) -> Value {
        let sessions = self.sessions();
        let active: usize = sessions.values().map(|session| session.connections.len()).sum();
        let waiting: usize = sessions.values().map(|session| session.backlog.len()).sum();
        let listened = sessions.values().filter(|session| !session.connections.is_empty()).count();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (connections, sent) = (count(&self.counts.connections), count(&self.counts.sent));
        json!({
            "total_connections": connections,
            "active_connections": active,
            "messages_sent": sent,
            "messages_queued": waiting,
            "rate_limit_violations": count(&self.counts.too_fast),
            "authentication_failures": count(&self.counts.refused),
            "active_sessions": listened,
            "queued_messages_total": count(&self.counts.queued),
            "average_messages_per_connection": sent.checked_div(connections).unwrap_or(0),
        })
    }
}

impl Session {
    fn new(now: Instant) -> Self {
        Self { connections: Vec::new(), backlog: Backlog::default(), left: now }
    }

    fn is_of_interest(&self, now: Instant) -> bool {
        !self.connections.is_empty() || now.saturating_duration_since(self.left) < REMEMBERED
    }

    fn send(&mut self, topic: Topic, text: &str) {
        self.connections.retain(|connection| {
            !connection.topics.contains(&topic)
                || !matches!(
                    connection.frames.try_send(text.to_owned()),
                    Err(TrySendError::Full(_) | TrySendError::Closed(_))
                )
        });
    }
}

impl Place {
    /// Says of what this connection is told; returns it as it is then.
    pub(super) fn choose(&self, change: impl FnOnce(&mut BTreeSet<Topic>)) -> BTreeSet<Topic> {
        let mut sessions = self.hub.sessions();
        let connections = sessions.get_mut(&self.session).map(|session| &mut session.connections);
        let own = connections.and_then(|all| all.iter_mut().find(|connection| connection.number == self.number));
        own.map(|connection| {
            change(&mut connection.topics);
            connection.topics.clone()
        })
        .unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(session) = self.hub.sessions().get_mut(&self.session) {
            session.connections.retain(|connection| connection.number != self.number);
            session.left = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_session_is_told_also_what_it_missed_and_a_slow_reader_is_let_go() {
        let hub = Arc::new(Hub::default());
        hub.tell("s", Topic::ChatStream, &json!({ "delta": "nobody knows this session" }));
        let mut place = hub.join("s").unwrap();
        hub.tell("s", Topic::ChatStream, &json!({ "delta": "live" }));
        assert!(place.frames.recv().await.unwrap().contains("live"));
        drop(place);
        hub.tell("s", Topic::ChatStream, &json!({ "delta": "missed" }));
        assert_eq!(hub.stats()["messages_queued"], 1);
        let mut place = hub.join("s").unwrap();
        assert!(place.frames.recv().await.unwrap().contains("missed"));
        place.choose(|topics| topics.retain(|topic| *topic == Topic::Error));
        hub.tell("s", Topic::ChatStream, &json!({ "delta": "not chosen" }));
        for _frame in 0..UNSENT + 1 {
            hub.tell("s", Topic::Error, &json!({}));
        }
        for _frame in 0..UNSENT {
            assert!(place.frames.recv().await.unwrap().contains("\"error\""));
        }
        assert_eq!(place.frames.recv().await, None);
    }

    #[tokio::test]
    async fn a_session_has_room_for_five() {
        let hub = Arc::new(Hub::default());
        let places: Vec<Place> = (0..CONNECTIONS).map(|_| hub.join("s").unwrap()).collect();
        assert_eq!(hub.join("s").unwrap_err(), "the session has too many connections");
        hub.join("other").unwrap();
        drop(places);
        hub.join("s").unwrap();
    }
}
