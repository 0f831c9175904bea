//! Taking the lease and keeping it, for as long as this daemon may act.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kit::chain::Chain;
use kit::db::Source;
use uuid::Uuid;

use crate::ledger::{Holder, LEASE, Ledger, LedgerError, Lock};

/// Why one waits that is as it should be.
pub(crate) const ELSEWHERE: &str = "another dlq-processor acts; this one takes over when that ends";
/// Between two tries to take it.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// Between two renewals: two may fail.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// So long before it runs out nothing is begun any more.
const MARGIN: Duration = Duration::from_secs(3);

/// What is needed to take the lease of one ledger.
pub(crate) struct Lease {
    ledger: Ledger,
    /// The ledger's file, which is locked for one process; none in a server.
    file: Option<PathBuf>,
    owner: String,
    lock: Option<Lock>,
}

impl Lease {
    pub(crate) fn new(ledger: Ledger, source: &Source) -> Self {
        let file = match source {
            Source::Sqlite(path) => Some(path.clone()),
            Source::Postgres(_) => None,
        };
        Self { ledger, file, owner: Uuid::now_v7().to_string(), lock: None }
    }

    /// Waits until it has it; meanwhile says why it has not.
    pub(crate) async fn take(&mut self, mut waits: impl FnMut(String)) -> Holder {
        loop {
            match self.try_take().await {
                Ok(Some(holder)) => return holder,
                Ok(None) => waits(ELSEWHERE.to_owned()),
                Err(why) => waits(why),
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    async fn try_take(&mut self) -> Result<Option<Holder>, String> {
        if let Some(file) = self.file.as_ref().filter(|_| self.lock.is_none()) {
            match Lock::take(file) {
                Ok(Some(taken)) => self.lock = Some(taken),
                Ok(None) => return Ok(None),
                Err(error) => return Err(format!("cannot lock {}: {error}", file.display())),
            }
        }
        self.ledger.lease(&self.owner, self.file.is_some()).await.map_err(|error| Chain(&error).to_string())
    }

    /// Keeps it, and returns when it has it no more: why.
    pub(crate) async fn keep(&self, holder: &Holder) -> &'static str {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let began = Instant::now();
            let left = (LEASE - MARGIN).saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.ledger.lease(&self.owner, self.file.is_some())).await {
                Ok(Ok(Some(now))) if now == *holder => renewed = began,
                Ok(Ok(_) | Err(LedgerError::Fenced)) => return "another dlq-processor has taken over",
                Ok(Err(error)) => tracing::warn!(error = %Chain(&error), "the lease cannot be renewed"),
                Err(_elapsed) => return "the ledger did not answer in time",
            }
        }
    }
}
