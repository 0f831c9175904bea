//! Looks for services that are found by themselves: one task for each discovery. What was found is kept, so that a monitor
//! that starts while an engine is away goes on with what an earlier one knew.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use jiff::Timestamp;
use kit::clock::{Moment, elapsed};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::found::Found;
use super::plan::Plan;
use super::restore::{self, Memory};
use crate::record::{State, StateBatch};
use crate::supervise::discovery::{Discovery, Finds, Look, Roster};

/// Looks that wait to be taken, at most; whoever looks waits for room.
const LOOKS_QUEUED: usize = 16;
/// The clock on the wall may jump: it is looked at this often whether something is to be forgotten.
const FORGET_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// Everything that looks, and what it has found.
pub(super) struct Discoveries {
    found: Found,
    looking: HashMap<Arc<str>, Looking>,
    /// Who has not answered yet since it began to look: what it found before may be back.
    unanswered: HashSet<Arc<str>>,
    /// Whose roster is not written down yet.
    unwritten: HashSet<Arc<str>>,
    /// What the log has said already.
    told: HashSet<String>,
    /// Since when which discovery is how.
    since: HashMap<(Arc<str>, Trouble), Moment>,
    /// Looks of an earlier task under the same name are not taken.
    generation: u64,
    tell: mpsc::Sender<Seen>,
    seen: mpsc::Receiver<Seen>,
}

/// What may be the matter with a discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Trouble {
    /// It cannot look.
    Blind,
    /// What it found is not watched as wanted.
    Wrong,
}

struct Looking {
    discovery: Discovery,
    generation: u64,
    /// Ends with this.
    _task: JoinSet<()>,
}

struct Seen {
    discovery: Arc<str>,
    generation: u64,
    look: Look,
}

impl Discoveries {
    /// Begins with what an earlier monitor had found. Nothing is looked at yet.
    pub(super) fn restored(plan: &Plan, memory: &Memory) -> Self {
        let (tell, seen) = mpsc::channel(LOOKS_QUEUED);
        let mut found = Found::default();
        for discovery in &plan.discoveries {
            found.rosters.insert(discovery.name.clone(), memory.roster(&discovery.name).unwrap_or_default());
        }
        Self {
            found,
            looking: HashMap::new(),
            unanswered: HashSet::new(),
            unwritten: HashSet::new(),
            told: HashSet::new(),
            since: HashMap::new(),
            generation: 0,
            tell,
            seen,
        }
    }

    /// Returns what is known now.
    pub(super) fn found(&self) -> &Found {
        &self.found
    }

    /// Returns what would be known if this were the plan. Where one is to look at another place, it is looked there at
    /// once: what is not there would be dropped, and whoever decides that must know. Each look has its own deadline.
    pub(super) async fn found_by(&self, plan: &Plan) -> Found {
        let has_moved = |discovery: &&Discovery| {
            let looking = self.looking.get(&discovery.name);
            looking.is_some_and(|looking| looking.discovery.scout.address() != discovery.scout.address())
        };
        let moved: Vec<&Discovery> = plan.discoveries.iter().filter(has_moved).collect();
        let looks = join_all(moved.iter().map(|discovery| discovery.scout.look())).await;
        let mut found = self.found.clone();
        for (discovery, look) in moved.into_iter().zip(looks) {
            let (name, mut roster) = (&discovery.name, found.rosters.remove(&discovery.name).unwrap_or_default());
            found.blind.remove(name);
            match look {
                Ok(seen) => roster.take_from(discovery.scout.address(), seen, discovery.limit, Timestamp::now()),
                Err(why) => {
                    roster = Roster::default();
                    found.blind.insert(name.clone(), why);
                }
            }
            found.rosters.insert(name.clone(), roster);
        }
        found
    }

    /// Takes over what is known by now.
    pub(super) fn know(&mut self, found: Found) {
        let before = std::mem::replace(&mut self.found, found);
        self.note_changes(&before);
    }

    /// Notes whose roster is to be written down.
    fn note_changes(&mut self, before: &Found) {
        let is_new = |(name, roster): &(&Arc<str>, &Roster)| before.rosters.get(*name) != Some(*roster);
        self.unwritten.extend(self.found.rosters.iter().filter(is_new).map(|(name, _)| name.clone()));
    }

    /// Looks as the plan says from now on.
    pub(super) fn configure(&mut self, plan: &Plan, state: &State) {
        let mut before = std::mem::take(&mut self.looking);
        for discovery in &plan.discoveries {
            let kept =
                before.remove(&discovery.name).filter(|looking| looking.discovery.generation == discovery.generation);
            let looking = kept.unwrap_or_else(|| self.start(discovery.clone()));
            self.looking.insert(discovery.name.clone(), looking);
            self.found.rosters.entry(discovery.name.clone()).or_default();
        }
        let is_there = |name: &Arc<str>| plan.discoveries.iter().any(|discovery| discovery.name == *name);
        let mut batch = StateBatch::default();
        self.found
            .rosters
            .keys()
            .filter(|name| !is_there(name))
            .for_each(|name| restore::forget_roster(&mut batch, name));
        self.found.rosters.retain(|name, _| is_there(name));
        self.found.blind.retain(|name, _| is_there(name));
        self.unanswered.retain(is_there);
        state.put(batch);
    }

    fn start(&mut self, discovery: Discovery) -> Looking {
        self.generation += 1;
        self.unanswered.insert(discovery.name.clone());
        let mut task = JoinSet::new();
        task.spawn(keep_looking(discovery.clone(), self.generation, self.tell.clone()));
        Looking { discovery, generation: self.generation, _task: task }
    }

    /// Waits until something else is known than before.
    ///
    /// # Cancel safety
    /// What was seen is taken at once: nothing is lost.
    pub(super) async fn changed(&mut self) {
        loop {
            let next_forgotten = self.next_forgotten();
            let before = self.found.clone();
            tokio::select! {
                Some(seen) = self.seen.recv() => self.take(seen),
                () = tokio::time::sleep(next_forgotten) => {}
            }
            // One plan for all that is there.
            while let Ok(seen) = self.seen.try_recv() {
                self.take(seen);
            }
            self.forget();
            if !self.found.is_like(&before) {
                self.note_changes(&before);
                return;
            }
        }
    }

    fn take(&mut self, seen: Seen) {
        let Some(looking) = self.looking.get(&seen.discovery) else { return };
        if looking.generation != seen.generation {
            return;
        }
        match seen.look {
            Ok(sightings) => {
                self.unanswered.remove(&seen.discovery);
                if self.found.blind.remove(&seen.discovery).is_some() {
                    tracing::info!(discovery = &*seen.discovery, "it can be looked for services again");
                }
                let roster = self.found.rosters.entry(seen.discovery).or_default();
                let discovery = &looking.discovery;
                roster.take_from(discovery.scout.address(), sightings, discovery.limit, Timestamp::now());
            }
            Err(why) => {
                tracing::warn!(discovery = &*seen.discovery, why, "nobody can say which services there are");
                self.found.blind.insert(seen.discovery, why);
            }
        }
    }

    /// Forgets what is gone for long enough; but not while nobody can say whether it is back.
    fn forget(&mut self) {
        let now = Timestamp::now();
        let seeing: Vec<(&Arc<str>, &Looking)> = self.looking.iter().filter(|(name, _)| self.sees(name)).collect();
        for (name, looking) in seeing {
            if let Some(roster) = self.found.rosters.get_mut(name) {
                roster.forget(looking.discovery.forget_after, now);
            }
        }
    }

    fn next_forgotten(&self) -> Duration {
        let seeing = self.looking.iter().filter(|(name, _)| self.sees(name));
        let next = seeing
            .filter_map(|(name, looking)| self.found.rosters.get(name)?.next_forgotten(looking.discovery.forget_after));
        let wait = next.min().map(|at| elapsed(Timestamp::now(), at) + Duration::from_millis(1));
        wait.unwrap_or(FORGET_AT_LEAST_EVERY).min(FORGET_AT_LEAST_EVERY)
    }

    /// Returns whether a discovery can say what is there now.
    fn sees(&self, name: &Arc<str>) -> bool {
        !self.unanswered.contains(name) && !self.found.blind.contains_key(name)
    }

    /// Writes down what has changed.
    pub(super) fn write_down(&mut self, state: &State) {
        let mut batch = StateBatch::default();
        for name in self.unwritten.drain() {
            if let Some(roster) = self.found.rosters.get(&name) {
                restore::keep_roster(&mut batch, &name, roster);
            }
        }
        state.put(batch);
    }

    /// Says in the log what is wrong with what was found, each once as long as it stays so, and notes in the plan since
    /// when it is.
    pub(super) fn tell(&mut self, plan: &mut Plan) {
        let wrong: HashSet<String> = plan.finds.iter().flat_map(Finds::wrong).cloned().collect();
        for mistake in wrong.difference(&self.told) {
            tracing::warn!(mistake, "what was found is not watched as its labels want");
        }
        self.told = wrong;
        let (before, now) = (std::mem::take(&mut self.since), Moment::now());
        let mut since = |discovery: &Arc<str>, trouble: Trouble, holds: bool| {
            let key = (discovery.clone(), trouble);
            let at = holds.then(|| before.get(&key).copied().unwrap_or(now))?;
            self.since.insert(key, at);
            Some(at)
        };
        for finds in &mut plan.finds {
            finds.blind_since = since(&finds.discovery, Trouble::Blind, finds.blind.is_some());
            finds.wrong_since = since(&finds.discovery, Trouble::Wrong, finds.is_wrong());
        }
    }
}

/// Looks until nobody listens. A task that breaks must not look as if it saw nothing new.
async fn keep_looking(discovery: Discovery, generation: u64, tell: mpsc::Sender<Seen>) {
    let (looks, mut looked) = mpsc::channel(1);
    let looking = AssertUnwindSafe(discovery.scout.keep_looking(looks)).catch_unwind();
    let (name, to) = (discovery.name.clone(), tell.clone());
    let telling = async move {
        while let Some(look) = looked.recv().await {
            if to.send(Seen { discovery: name.clone(), generation, look }).await.is_err() {
                return;
            }
        }
    };
    if let (Err(_panic), ()) = tokio::join!(looking, telling) {
        let why = format!("whoever looks at {} broke; restart the monitor", discovery.scout.address());
        let _nobody_listens = tell.send(Seen { discovery: discovery.name, generation, look: Err(why) }).await;
    }
}

#[cfg(test)]
#[path = "discoveries_tests.rs"]
mod tests;
