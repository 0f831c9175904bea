//! What an earlier monitor left: streaks, verdicts, ledgers, pushes. Reading it back makes a restart nobody's news.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::Stamp;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::alert::Alerts;
use crate::doctor::FirstSeen;
use crate::export::{ANNOUNCEMENTS, Reception};
use crate::heal::{self, HealRecord, Pause};
use crate::judge::{Announcement, Board, CheckState, Flap, Health, Policy, RunLines, Verdict};
use crate::probe::{CheckId, Pushed};
use crate::record::{State, StateBatch, StateStore, StoreError};
use crate::supervise::discovery::Roster;
use crate::supervise::{Ledger, Run, bucket};

/// How long the start waits for an earlier monitor's state: watching must not wait for a sick disk.
const READ_PATIENCE: Duration = Duration::from_secs(3);

/// Document kinds in the state store.
const CHECK: &str = "check";
const VERDICT: &str = "verdict";
const LEDGER: &str = "ledger";
/// What the newest runs wrote that ended.
const LINES: &str = "run_lines";
const PUSH: &str = "push";
const HEAL: &str = heal::DOCUMENTS;
const HEAL_PAUSE: &str = heal::PAUSES;
const ANNOUNCEMENT: &str = ANNOUNCEMENTS;
const ROSTER: &str = "roster";
/// Since when findings are known, in one document.
const FIRST_SEEN: &str = "first_seen";
/// No service's name.
const FIRST_SEEN_KEY: &str = "findings:all";
const SECRET: &str = "secret";
const CURSOR_KEY: &str = "cursor_key";
const LINK_KEY: &str = "link_key";
/// Every kind that is joined. Silences and windows need none: each has an id of its own.
pub(super) const KINDS: [&str; 9] = [CHECK, VERDICT, LEDGER, LINES, PUSH, HEAL, ROSTER, FIRST_SEEN, SECRET];

/// How often the start's second attempts to read what an earlier monitor left come.
const READ_AGAIN_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize, Deserialize)]
struct CheckDocument {
    established: Option<Health>,
    fails: u32,
    passes: u32,
    recent: u64,
    flap: Flap,
    known_at: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
struct VerdictDocument {
    verdict: String,
    why: String,
    since: Timestamp,
}

/// Everything that was read back.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// What ledgers go by.
    restarts: bucket::Policy,
    checks: HashMap<String, String>,
    verdicts: HashMap<String, String>,
    ledgers: HashMap<String, String>,
    lines: HashMap<String, String>,
    pushes: HashMap<String, String>,
    heals: HashMap<String, String>,
    heal_pauses: HashMap<String, String>,
    announcements: HashMap<String, String>,
    rosters: HashMap<String, String>,
    first_seen: HashMap<String, String>,
    secrets: HashMap<String, String>,
}

impl Memory {
    /// Reads the store. If that does not work in time, everything is new; what is stored is joined with it later, before
    /// anything is written over it.
    pub(super) async fn read(state: &State, restarts: bucket::Policy) -> Self {
        match tokio::time::timeout(READ_PATIENCE, Self::read_all(state.store(), restarts)).await {
            Ok(Ok(memory)) => {
                state.is_joined();
                memory
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "earlier state cannot be read yet; going on without it");
                Self::nothing(restarts)
            }
            Err(_elapsed) => {
                tracing::error!("earlier state cannot be read in time; going on without it");
                Self::nothing(restarts)
            }
        }
    }

    fn nothing(restarts: bucket::Policy) -> Self {
        Self { restarts, ..Self::default() }
    }

    /// Returns what is left of it once everything is taken over.
    pub(super) fn taken_over(&self) -> Self {
        Self::nothing(self.restarts)
    }

    async fn read_all(store: &dyn StateStore, restarts: bucket::Policy) -> Result<Self, StoreError> {
        Ok(Self {
            restarts,
            checks: store.documents(CHECK).await?,
            verdicts: store.documents(VERDICT).await?,
            ledgers: store.documents(LEDGER).await?,
            lines: store.documents(LINES).await?,
            pushes: store.documents(PUSH).await?,
            heals: store.documents(HEAL).await?,
            heal_pauses: store.documents(HEAL_PAUSE).await?,
            announcements: store.documents(ANNOUNCEMENT).await?,
            rosters: store.documents(ROSTER).await?,
            first_seen: store.documents(FIRST_SEEN).await?,
            secrets: store.documents(SECRET).await?,
        })
    }

    /// Returns a check's state, if it was known. News so old that it would be stale does not keep an unfired streak.
    pub(super) fn check(&self, id: &CheckId, policy: &Policy, now: Stamp) -> Option<CheckState> {
        let document: CheckDocument = serde_json::from_str(self.checks.get(&id.to_string())?).ok()?;
        let known_at = document.known_at.map(|wall| now.moment_of(wall));
        let state = CheckState {
            established: document.established,
            fails: document.fails,
            passes: document.passes,
            recent: document.recent,
            flap: document.flap,
            known_at,
            heard_at: known_at,
        };
        let is_old = known_at.is_none_or(|at| now.at.since(at) > policy.stale_after());
        Some(if is_old {
            state.after_gap(now.at)
        } else {
            CheckState { known_at: Some(now.at), heard_at: Some(now.at), ..state }
        })
    }

    /// Gives every service its last verdict back.
    pub(super) fn restore_verdicts(&self, board: &mut Board, now: Stamp) {
        for (service, text) in &self.verdicts {
            let Ok(document) = serde_json::from_str::<VerdictDocument>(text) else { continue };
            let Some(verdict) = Verdict::parse(&document.verdict) else { continue };
            let since = now.stamp_of(document.since);
            board.restore_verdict(service, verdict, document.why, since);
        }
    }

    /// Returns a service's ledger.
    pub(super) fn ledger(&self, service: &str, now: &Stamp) -> Ledger {
        let rows = self.ledgers.get(service).and_then(|text| serde_json::from_str::<Vec<Run<Timestamp>>>(text).ok());
        Ledger::restore(self.restarts, &rows.unwrap_or_default(), now)
    }

    /// Returns what a service's newest runs wrote.
    pub(super) fn lines(&self, service: &str) -> RunLines {
        self.lines.get(service).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Returns a service's heals.
    pub(super) fn heal_record(&self, service: &str) -> HealRecord {
        let record: Option<HealRecord> = self.heals.get(service).and_then(|text| serde_json::from_str(text).ok());
        HealRecord { paused: self.heal_pause(service), ..record.unwrap_or_default() }
    }

    /// Returns the pause of a service's healing, or of everybody's.
    pub(super) fn heal_pause(&self, service: &str) -> Option<Pause> {
        serde_json::from_str(self.heal_pauses.get(service)?).ok()
    }

    /// Gives services the changes to them that were announced.
    pub(super) fn restore_announcements(&self, board: &mut Board) {
        for (service, text) in &self.announcements {
            if let Ok(announcement) = serde_json::from_str(text) {
                board.announce(service, Some(announcement));
            }
        }
    }

    /// Returns what a discovery had found.
    pub(super) fn roster(&self, discovery: &str) -> Option<Roster> {
        serde_json::from_str(self.rosters.get(&roster_key(discovery))?).ok()
    }

    /// Returns since when findings are known.
    pub(super) fn first_seen(&self) -> FirstSeen {
        let text = self.first_seen.get(FIRST_SEEN_KEY);
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Returns what a job pushed last.
    pub(super) fn pushed(&self, id: &CheckId) -> Option<Pushed> {
        serde_json::from_str(self.pushes.get(&id.to_string())?).ok()
    }
}

/// Adds a check's state to what is to be written.
pub(super) fn keep_check(batch: &mut StateBatch, id: &CheckId, state: &CheckState, now: Stamp) {
    let document = CheckDocument {
        established: state.established,
        fails: state.fails,
        passes: state.passes,
        recent: state.recent,
        flap: state.flap,
        known_at: state.known_at.map(|at| now.wall_of(at)),
    };
    put(batch, CHECK, &id.to_string(), &document);
}

/// Adds a service's verdict.
pub(super) fn keep_verdict(batch: &mut StateBatch, service: &str, verdict: Verdict, why: &str, since: Timestamp) {
    let document = VerdictDocument { verdict: verdict.as_str().to_owned(), why: why.to_owned(), since };
    put(batch, VERDICT, service, &document);
}

/// Adds a service's ledger.
pub(super) fn keep_ledger(batch: &mut StateBatch, service: &str, ledger: &Ledger) {
    put(batch, LEDGER, service, &ledger.rows());
}

/// Adds what a service's newest runs wrote.
pub(super) fn keep_lines(batch: &mut StateBatch, service: &str, lines: &RunLines) {
    put(batch, LINES, service, lines);
}

/// Adds a service's heals.
pub(super) fn keep_heals(batch: &mut StateBatch, service: &str, record: &HealRecord) {
    put(batch, HEAL, service, record);
}

/// Adds the pause of a service's healing.
pub(super) fn keep_pause(batch: &mut StateBatch, service: &str, pause: Option<&Pause>) {
    put(batch, HEAL_PAUSE, service, &pause);
}

/// Adds a change to a service that somebody announced.
pub(super) fn keep_announcement(batch: &mut StateBatch, service: &str, announcement: &Announcement) {
    put(batch, ANNOUNCEMENT, service, announcement);
}

/// Adds what a discovery has found.
pub(super) fn keep_roster(batch: &mut StateBatch, discovery: &str, roster: &Roster) {
    put(batch, ROSTER, &roster_key(discovery), roster);
}

/// Forgets a discovery that is not configured any more.
pub(super) fn forget_roster(batch: &mut StateBatch, discovery: &str) {
    batch.documents.insert((ROSTER, roster_key(discovery)), None);
}

/// No service's name: what is known of a service moves when that is renamed.
fn roster_key(discovery: &str) -> String {
    format!("discover:{discovery}")
}

/// Adds since when findings are known.
pub(super) fn keep_first_seen(batch: &mut StateBatch, first_seen: &FirstSeen) {
    put(batch, FIRST_SEEN, FIRST_SEEN_KEY, first_seen);
}

/// Adds what a job pushed.
pub(super) fn keep_push(batch: &mut StateBatch, id: &CheckId, pushed: &Pushed) {
    put(batch, PUSH, &id.to_string(), pushed);
}

/// Forgets a check that is not configured any more.
pub(super) fn forget_check(batch: &mut StateBatch, id: &CheckId) {
    batch.documents.insert((CHECK, id.to_string()), None);
    batch.documents.insert((PUSH, id.to_string()), None);
}

/// Forgets a service that is not configured any more.
pub(super) fn forget_service(batch: &mut StateBatch, service: &str) {
    batch.documents.insert((VERDICT, service.to_owned()), None);
    batch.documents.insert((LEDGER, service.to_owned()), None);
    batch.documents.insert((LINES, service.to_owned()), None);
    batch.documents.insert((HEAL, service.to_owned()), None);
    batch.documents.insert((HEAL_PAUSE, service.to_owned()), None);
    batch.documents.insert((ANNOUNCEMENT, service.to_owned()), None);
}

/// Reads the incidents, messages and silences that an earlier monitor left. If that does not work in time, it is tried
/// again and again by the task that is returned, while watching begins.
pub(super) async fn alerts(alerts: Arc<Alerts>) -> JoinHandle<()> {
    let read = tokio::time::timeout(READ_PATIENCE, alerts.restore()).await;
    let mut is_read = matches!(read, Ok(Ok(())));
    if !is_read {
        tracing::error!("earlier incidents cannot be read yet; going on without them");
    }
    tokio::spawn(async move {
        while !is_read {
            tokio::time::sleep(READ_AGAIN_EVERY).await;
            is_read = matches!(tokio::time::timeout(READ_PATIENCE, alerts.restore()).await, Ok(Ok(())));
        }
    })
}

/// Reads who has signed in with an earlier monitor. If that does not work in time, people sign in again.
pub(super) async fn sessions(reception: &Reception) {
    if !matches!(tokio::time::timeout(READ_PATIENCE, reception.restore()).await, Ok(Ok(()))) {
        tracing::error!("sessions of an earlier monitor cannot be read; going on without them");
    }
}

/// Returns the key that seals the gate's cursors.
pub(super) fn cursor_key(memory: &Memory, state: &State) -> [u8; 32] {
    key(memory, state, CURSOR_KEY)
}

/// Returns the key that seals links in messages.
pub(super) fn link_key(memory: &Memory, state: &State) -> [u8; 32] {
    key(memory, state, LINK_KEY)
}

/// Returns a key that is kept, and makes it if there is none.
fn key(memory: &Memory, state: &State, name: &str) -> [u8; 32] {
    let known = memory.secrets.get(name).and_then(|text| serde_json::from_str(text).ok());
    known.unwrap_or_else(|| {
        let key: [u8; 32] = rand::random();
        let mut batch = StateBatch::default();
        put(&mut batch, SECRET, name, &key);
        state.put(batch);
        key
    })
}

/// Joins what an earlier monitor wrote with what was learned before that could be read.
pub(super) fn join(kind: &str, stored: &str, ours: &str) -> String {
    match kind {
        LEDGER => {
            let rows = |text| serde_json::from_str::<Vec<Run<Timestamp>>>(text).unwrap_or_default();
            let (mut all, newer) = (rows(stored), rows(ours));
            all.retain(|row| !newer.iter().any(|own| own.id == row.id));
            all.extend(newer);
            serde_json::to_string(&all).unwrap_or_else(|_| ours.to_owned())
        }
        LINES => {
            let read = |text| serde_json::from_str::<RunLines>(text).unwrap_or_default();
            serde_json::to_string(&read(ours).after(read(stored))).unwrap_or_else(|_| ours.to_owned())
        }
        PUSH => {
            let heard =
                serde_json::from_str::<Pushed>(ours).is_ok_and(|own| own.ended.is_some() || own.started.is_some());
            if heard { ours.to_owned() } else { stored.to_owned() }
        }
        HEAL => {
            let (before, own) = (serde_json::from_str::<HealRecord>(stored), serde_json::from_str::<HealRecord>(ours));
            let (Ok(before), Ok(own)) = (before, own) else { return ours.to_owned() };
            serde_json::to_string(&before.followed_by(own)).unwrap_or_else(|_| ours.to_owned())
        }
        FIRST_SEEN => {
            let read = |text| serde_json::from_str::<FirstSeen>(text).unwrap_or_default();
            serde_json::to_string(&read(ours).joined(&read(stored))).unwrap_or_else(|_| ours.to_owned())
        }
        SECRET => stored.to_owned(),
        _ => ours.to_owned(),
    }
}

fn put(batch: &mut StateBatch, kind: &'static str, key: &str, document: &impl Serialize) {
    match serde_json::to_string(document) {
        Ok(text) => {
            batch.documents.insert((kind, key.to_owned()), Some(text));
        }
        Err(error) => tracing::error!(%error, kind, key, "state cannot be written as JSON"),
    }
}
