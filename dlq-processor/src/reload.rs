//! Takes another policy while everything runs: the configuration is read again and checked whole, and what decides of it takes
//! effect at once. A wrong one changes nothing, and is visible. What else has changed is only named: a start takes it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use kit::backoff::Backoff;
use kit::chain::Chain;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::figures::Reloads;
use crate::ledger::{Actor, Ledger};
use crate::policy::Policy;
use crate::settings::{InForce, Settings};

/// What the audit calls it, and what it is done to.
pub(crate) const NOTED: (&str, &str) = ("policy.reload", "policy");

/// Between tries to note a reload.
const RETRY: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(5) };

/// Reads the configuration, as at the start.
pub(crate) type Read = Arc<dyn Fn() -> Result<Settings, Vec<String>> + Send + Sync>;

/// Reads the configuration again when it is asked to.
pub(crate) struct Reloader {
    read: Read,
    /// As it was at the start.
    settings: Arc<Settings>,
    policy: InForce,
    figures: Reloads,
    /// Whoever reads later decides later.
    turn: Mutex<()>,
}

/// What decides now.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Reloaded {
    /// How many facts about jobs there are.
    pub(crate) jobs: usize,
    /// How many rules, the built-in ones included.
    pub(crate) rules: usize,
    /// Keys that say something else than at the start, and do not decide: they are taken at the next one.
    pub(crate) needs_restart: Vec<&'static str>,
}

/// Why the policy stays as it was.
#[derive(Debug)]
pub(crate) enum ReloadError<E> {
    /// The configuration is wrong: each mistake with its place and what to write instead.
    Wrong(Vec<String>),
    /// It could not be noted.
    NotNoted(E),
    /// Nobody has asked for it: the key of whoever did was used for something else.
    KeyTaken,
}

impl Reloader {
    /// One that sets `policy`, of a configuration that was `settings` at the start.
    pub(crate) fn new(read: Read, settings: Arc<Settings>, policy: InForce, figures: Reloads) -> Self {
        Self { read, settings, policy, figures, turn: Mutex::default() }
    }

    /// Returns the policy that decides.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.policy.now()
    }

    /// Has another policy decide from now on, once that is noted: `noting` says whether it is, or that its key is taken.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing is changed then.
    pub(crate) async fn reload<E>(
        &self,
        noting: impl Future<Output = Result<bool, E>>,
    ) -> Result<Reloaded, ReloadError<E>> {
        let _turn = self.turn.lock().await;
        let read = self.read.clone();
        let read = tokio::task::spawn_blocking(move || read()).await;
        let settings = match read.unwrap_or_else(|panic| Err(vec![format!("reading the configuration broke: {panic}")]))
        {
            Ok(settings) => settings,
            Err(mistakes) => {
                self.figures.failed();
                tracing::error!(mistakes = mistakes.join("\n"), "the configuration is wrong; the old policy goes on");
                return Err(ReloadError::Wrong(mistakes));
            }
        };
        match noting.await {
            Ok(true) => {}
            Ok(false) => return Err(ReloadError::KeyTaken),
            Err(error) => {
                self.figures.failed();
                return Err(ReloadError::NotNoted(error));
            }
        }
        let needs_restart = self.settings.written.changed(&settings.written);
        let Settings { policy, .. } = settings;
        let reloaded = Reloaded { jobs: policy.jobs.len(), rules: policy.rules.len(), needs_restart };
        self.policy.set(policy);
        self.figures.done(Timestamp::now());
        tracing::info!(
            jobs = reloaded.jobs,
            rules = reloaded.rules,
            needs_restart = reloaded.needs_restart.join(", "),
            "another policy decides"
        );
        Ok(reloaded)
    }

    /// Does so at each SIGHUP, for ever.
    pub(crate) async fn reload_on_hangup(&self, hangups: Option<Signal>, ledger: &OnceLock<Ledger>) {
        if let Some(mut hangups) = hangups {
            while hangups.recv().await.is_some() {
                self.reload_once_noted(ledger).await;
            }
        }
        std::future::pending().await
    }

    /// Does so as soon as the ledger is there: who sends a signal has no answer, and does not ask again.
    async fn reload_once_noted(&self, ledger: &OnceLock<Ledger>) {
        let mut failures = 0;
        while let Err(ReloadError::NotNoted(why)) = self.reload(note_hangup(ledger)).await {
            failures += 1;
            if failures == 1 {
                tracing::error!(why, "a reload cannot be noted yet; until then the old policy goes on");
            }
            tokio::time::sleep(RETRY.delay(failures, rand::random())).await;
        }
    }
}

/// Returns what tells of each SIGHUP from now on; without it one would end the process.
pub(crate) fn hangups() -> Option<Signal> {
    let not_heard = |error: &_| tracing::error!(%error, "cannot listen to SIGHUP; a reload can be asked for over HTTP");
    signal(SignalKind::hangup()).inspect_err(not_heard).ok()
}

async fn note_hangup(ledger: &OnceLock<Ledger>) -> Result<bool, String> {
    let ledger = ledger.get().ok_or("the ledger is not open yet")?;
    let key = Uuid::now_v7().to_string();
    let actor = Actor { who: "a signal", why: "SIGHUP", key: &key };
    let noted = ledger.note(NOTED.0, NOTED.1, actor, Timestamp::now().as_millisecond()).await;
    noted.map_err(|error| Chain(&error).to_string())
}
