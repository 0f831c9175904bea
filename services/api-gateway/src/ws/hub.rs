//! Which connections belong to which session, and what is told to them. A publisher never waits: who reads too slowly is
//! let go.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kit::metrics::Metrics;
use kit::trace::{self, Context};
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::Instant;

use super::backlog::Backlog;
use super::counts::{Counts, Loss};
use super::frame::{Topic, frame, write};

/// Connections of one session.
const CONNECTIONS: usize = 5;
/// Connections of one user, in all of his sessions.
const OF_ONE_USER: usize = 50;
/// Sessions that are remembered, with or without a connection: more than there are places for connections.
const SESSIONS: usize = 10_000;
/// How long one without a connection is remembered.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// What waits for all sessions together, in bytes.
const ALL_WAITING_BYTES: usize = 64 * 1024 * 1024;
/// Frames that wait for one connection; who reads more slowly is let go.
const UNSENT: usize = 256;

/// All sessions.
#[derive(Debug)]
pub(crate) struct Hub {
    sessions: Mutex<HashMap<String, Session>>,
    pub(super) counts: Counts,
    /// The number of the next connection.
    next: AtomicU64,
}

#[derive(Debug)]
struct Session {
    /// What its clients call it.
    shown: String,
    connections: Vec<Connection>,
    backlog: Backlog,
    left: Instant,
}

#[derive(Debug)]
struct Connection {
    number: u64,
    /// Whose it is, if it is a user's.
    user: Option<String>,
    topics: BTreeSet<Topic>,
    frames: mpsc::Sender<String>,
}

/// A place in a session; dropping it leaves.
#[derive(Debug)]
pub(super) struct Place {
    hub: Arc<Hub>,
    session: String,
    number: u64,
    /// What was told before, while nobody listened.
    pub(super) waited: VecDeque<String>,
    /// What is told; ends when this connection is let go.
    pub(super) frames: mpsc::Receiver<String>,
}

impl Hub {
    /// Registers the metrics, too.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self { sessions: Mutex::default(), counts: Counts::new(metrics), next: AtomicU64::new(0) }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins a session, which its clients call `shown`.
    ///
    /// # Errors
    /// Why there is no room.
    pub(super) fn join(
        self: &Arc<Self>,
        session: &str,
        shown: &str,
        user: Option<&str>,
    ) -> Result<Place, &'static str> {
        let now = Instant::now();
        let mut sessions = self.sessions();
        let all = sessions.values().flat_map(|session| &session.connections);
        if user.is_some() && all.filter(|connection| connection.user.as_deref() == user).count() >= OF_ONE_USER {
            return Err("the user has too many connections");
        }
        if !sessions.contains_key(session) {
            make_room(&mut sessions, now, &self.counts);
        }
        let entry = sessions.entry(session.to_owned()).or_insert_with(|| Session::new(shown, now));
        if entry.connections.len() >= CONNECTIONS {
            return Err("the session has too many connections");
        }
        let (sender, frames) = mpsc::channel(UNSENT);
        self.counts.lost(Loss::Expired, entry.backlog.expire(now));
        let waited = entry.backlog.take();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let user = user.map(str::to_owned);
        entry.connections.push(Connection { number, user, topics: Topic::ALL.into(), frames: sender });
        self.counts.connections.inc();
        Ok(Place { hub: self.clone(), session: session.to_owned(), number, waited, frames })
    }

    /// Tells a session what stems from the request that is being answered, if any.
    pub(crate) fn tell(&self, session: &str, topic: Topic, data: &Value) {
        self.tell_of(trace::current().as_ref(), session, topic, data);
    }

    /// Tells a session what stems from the request whose span is `asked_by`; if nobody listens it waits, if somebody did
    /// lately.
    pub(crate) fn tell_of(&self, asked_by: Option<&Context>, session: &str, topic: Topic, data: &Value) {
        let (mut sessions, now) = (self.sessions(), Instant::now());
        let Some(entry) = sessions.get_mut(session) else { return };
        let text = write(frame(topic, &entry.shown, data), asked_by);
        if !entry.connections.is_empty() {
            return entry.send(topic, &text, now, &self.counts);
        }
        self.counts.lost(Loss::Expired, entry.backlog.expire(now));
        let waiting: usize = sessions.values().map(|session| session.backlog.bytes()).sum();
        match sessions.get_mut(session) {
            Some(entry) if waiting + text.len() <= ALL_WAITING_BYTES => {
                self.counts.queued.inc();
                self.counts.lost(Loss::SessionFull, entry.backlog.add(topic, text, now));
            }
            _ => self.counts.lost(Loss::AllFull, 1),
        }
    }

    /// Forgets sessions that nobody has listened to for long.
    pub(super) fn forget_old(&self) {
        forget_old(&mut self.sessions(), Instant::now(), &self.counts);
    }

    /// Tells everybody who listens.
    pub(super) fn tell_all(&self, topic: Topic, data: &Value) {
        let now = Instant::now();
        for session in self.sessions().values_mut().filter(|session| !session.connections.is_empty()) {
            let text = write(frame(topic, &session.shown, data), None);
            session.send(topic, &text, now, &self.counts);
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
        let (connections, sent) = (self.counts.connections.get(), self.counts.sent.get());
        json!({
            "total_connections": connections,
            "active_connections": active,
            "messages_sent": sent,
            "messages_queued": waiting,
            "rate_limit_violations": self.counts.too_fast.get(),
            "authentication_failures": self.counts.refused.get(),
            "active_sessions": listened,
            "queued_messages_total": self.counts.queued.get(),
            "average_messages_per_connection": sent.checked_div(connections).unwrap_or(0),
        })
    }
}

/// Forgets the session that has been left for the longest time, if there are too many.
fn make_room(sessions: &mut HashMap<String, Session>, now: Instant, counts: &Counts) {
    if sessions.len() < SESSIONS {
        return;
    }
    forget_old(sessions, now, counts);
    if sessions.len() >= SESSIONS {
        let left = sessions.iter().filter(|(_, session)| session.connections.is_empty());
        let oldest = left.min_by_key(|(_, session)| session.left).map(|(name, _)| name.clone());
        let forgotten = oldest.and_then(|oldest| sessions.remove(&oldest));
        counts.lost(Loss::Forgotten, forgotten.map_or(0, |session| session.backlog.len()));
    }
}

fn forget_old(sessions: &mut HashMap<String, Session>, now: Instant, counts: &Counts) {
    let old = sessions.extract_if(|_, session| !session.is_of_interest(now));
    counts.lost(Loss::Forgotten, old.map(|(_, session)| session.backlog.len()).sum());
}

impl Session {
    fn new(shown: &str, now: Instant) -> Self {
        Self { shown: shown.to_owned(), connections: Vec::new(), backlog: Backlog::default(), left: now }
    }

    fn is_of_interest(&self, now: Instant) -> bool {
        !self.connections.is_empty() || now.saturating_duration_since(self.left) < REMEMBERED
    }

    fn send(&mut self, topic: Topic, text: &str, now: Instant, counts: &Counts) {
        self.connections.retain(|connection| {
            if !connection.topics.contains(&topic) {
                return true;
            }
            let sent = connection.frames.try_send(text.to_owned());
            match &sent {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => counts.lost(Loss::Slow, 1),
                Err(TrySendError::Closed(_)) => counts.lost(Loss::Unsent, 1),
            }
            sent.is_ok()
        });
        if self.connections.is_empty() {
            self.left = now;
        }
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
        self.hub.counts.lost(Loss::Unsent, self.waited.len() + self.frames.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> Arc<Hub> {
        Arc::new(Hub::new(&Metrics::new("x", "1")))
    }

    #[tokio::test]
    async fn a_session_is_told_also_what_it_missed_and_a_slow_reader_is_let_go() {
        let hub = hub();
        hub.tell("s", Topic::ChatStream, &json!({ "delta": "nobody knows this session" }));
        let mut place = hub.join("s", "s", None).unwrap();
        hub.tell("s", Topic::ChatStream, &json!({ "delta": "live" }));
        assert!(place.frames.recv().await.unwrap().contains("live"));
        drop(place);
        hub.tell("s", Topic::ChatStream, &json!({ "delta": "missed" }));
        assert_eq!(hub.stats()["messages_queued"], 1);
        let mut place = hub.join("s", "s", None).unwrap();
        assert!(place.waited.len() == 1 && place.waited[0].contains("missed"));
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

    #[tokio::test(start_paused = true)]
    async fn whatever_is_lost_is_counted() {
        let hub = hub();
        let join = |session: &str| hub.join(session, session, None).unwrap();
        let tell = |session: &str, data: &str| hub.tell(session, Topic::ChatStream, &json!(data));
        let mut slow = join("slow");
        (0..UNSENT + 1).for_each(|_| tell("slow", ""));
        assert_eq!(hub.counts.losses(), [(Loss::Slow, 1)]);
        let at = |session: &str| hub.sessions().get(session).unwrap().left;
        assert_eq!(at("slow"), Instant::now(), "it is left from then on");
        slow.frames.recv().await.unwrap();
        drop(slow);
        let unsent = (Loss::Unsent, u64::try_from(UNSENT).unwrap() - 1);
        assert_eq!(hub.counts.losses(), [unsent, (Loss::Slow, 1)]);
        tell("slow", &"x".repeat(2 * 1024 * 1024));
        assert_eq!(hub.counts.losses(), [(Loss::SessionFull, 1), unsent, (Loss::Slow, 1)]);
        tell("slow", "old");
        tokio::time::advance(Duration::from_secs(3600)).await;
        tell("slow", "older than that is the session");
        assert_eq!(hub.counts.losses()[1], (Loss::Expired, 1));
        hub.forget_old();
        assert_eq!(hub.counts.losses()[2], (Loss::Forgotten, 1));
        let large = "x".repeat(1024 * 1024 - 1024);
        for number in 0..65 {
            let session = number.to_string();
            drop(join(&session));
            tell(&session, &large);
        }
        assert_eq!(hub.counts.losses()[0], (Loss::AllFull, 1));
    }

    #[tokio::test]
    async fn a_session_has_room_for_five() {
        let hub = hub();
        let places: Vec<Place> = (0..CONNECTIONS).map(|_| hub.join("s", "s", None).unwrap()).collect();
        assert_eq!(hub.join("s", "s", None).unwrap_err(), "the session has too many connections");
        hub.join("other", "other", None).unwrap();
        drop(places);
        hub.join("s", "s", None).unwrap();
    }

    #[tokio::test]
    async fn one_user_takes_no_others_places() {
        let hub = hub();
        let ada = |number: usize| hub.join(&format!("user-ada-{number}"), &number.to_string(), Some("ada"));
        let places: Vec<Place> = (0..OF_ONE_USER).map(|number| ada(number).unwrap()).collect();
        assert_eq!(ada(OF_ONE_USER).unwrap_err(), "the user has too many connections");
        drop(places);
        for number in 0..SESSIONS + 10 {
            drop(ada(number).unwrap());
        }
        assert!(hub.sessions().len() <= SESSIONS);
        hub.join("user-eve-1", "1", Some("eve")).unwrap();
    }
}
