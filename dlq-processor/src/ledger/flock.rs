//! Flocks: letters that are alike and parked for what they are. Which of them there are, and how their canaries stand.

use kit::db::Bind;

use super::{Ledger, LedgerError};

/// Letters of one source with one fingerprint and class.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Flock {
    /// What they have in common.
    pub fingerprint: String,
    /// What they are.
    pub class: String,
    /// Their queue.
    pub queue: String,
    /// Their jobs' name.
    pub name: String,
    /// Canaries that have ended.
    pub tried: i64,
    /// When the next one is sent at the earliest, in milliseconds since the epoch.
    pub next_at_ms: i64,
    /// When it was first seen, or its last canary ended.
    pub changed_at_ms: i64,
    /// The letter that goes before the others now.
    pub canary: Option<String>,
    /// How that stands; none if it is not there any more.
    pub canary_state: Option<String>,
    /// The letter that was done: those that were seen before it was put back may follow.
    pub passed_by: Option<String>,
    /// When that was put back, in milliseconds since the epoch.
    pub release_before_ms: Option<i64>,
}

/// A flock's place among all of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlockPlace {
    fingerprint: String,
    class: String,
}

impl Flock {
    /// Returns its place.
    pub fn place(&self) -> FlockPlace {
        FlockPlace { fingerprint: self.fingerprint.clone(), class: self.class.clone() }
    }
}

/// Letters that are parked for what they are: what their index is of (`tables`), word for word. Nobody asked for it, they are no
/// part of a flow, and nothing else has come of them. What another queue told of depends on that one, too, and stays.
pub(super) const PARKED: &str = "state = 'parked' AND reason = 'class' AND found_in IS NULL";

type Kind = (String, String, String, i64);

impl Ledger {
    /// Begins to watch flocks of a class that nobody watched yet, of the first `most` after a fingerprint, if they are `wanted` by
    /// queue and job's name: their first canary is sent at `next_at_ms`. Returns the fingerprint to go on after; none after the last.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn watch_flocks(
        &self,
        source: &str,
        class: &str,
        (after, most): (&str, usize),
        now_ms: i64,
        next_at_ms: i64,
        wanted: impl Fn(&str, &str) -> bool + Send,
    ) -> Result<Option<String>, LedgerError> {
        // One question for each: however many letters are alike, one of them is read.
        let sql = format!(
            "SELECT fingerprint, queue, name, (SELECT COUNT(*) FROM canaries WHERE canaries.source = letters.source
                AND canaries.fingerprint = letters.fingerprint AND canaries.class = letters.class)
            FROM letters WHERE {PARKED} AND source = $1 AND class = $2 AND fingerprint > $3
            ORDER BY fingerprint LIMIT 1"
        );
        let (new, next) = self
            .read(async |transaction| {
                let (mut new, mut after) = (Vec::new(), after.to_owned());
                for _ in 0..most {
                    let binds = [Bind::from(source), class.into(), after.as_str().into()];
                    let Some((fingerprint, queue, name, known)) = transaction.row::<Kind>(&sql, &binds).await? else {
                        return Ok((new, None));
                    };
                    after.clone_from(&fingerprint);
                    if known == 0 && wanted(&queue, &name) {
                        new.push((fingerprint, queue, name));
                    }
                }
                Ok((new, Some(after)))
            })
            .await?;
        if new.is_empty() {
            return Ok(next);
        }
        self.write(async |transaction| {
            for (fingerprint, queue, name) in &new {
                let sql = "INSERT INTO canaries
                    (source, fingerprint, class, queue, name, tried, passed, next_at_ms, changed_at_ms)
                    VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $7) ON CONFLICT (source, fingerprint, class) DO NOTHING";
                let words = [source, fingerprint, class, queue, name].map(Bind::from);
                let binds = [&words[..], &[next_at_ms.into(), now_ms.into()]].concat();
                transaction.change(sql, &binds).await?;
            }
            Ok(())
        })
        .await?;
        Ok(next)
    }

    /// Returns flocks after one that something is to be done with: their canary is due or under way, or they are let go.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn flocks(
        &self,
        source: &str,
        now_ms: i64,
        (most, after): (usize, &FlockPlace),
    ) -> Result<Vec<Flock>, LedgerError> {
        let sql = "SELECT canaries.fingerprint, canaries.class, canaries.queue, canaries.name, tried, next_at_ms,
                canaries.changed_at_ms, canary, letters.state AS canary_state, passed_by, release_before_ms
            FROM canaries LEFT JOIN letters ON letters.id = canaries.canary
            WHERE canaries.source = $1
                AND (canaries.fingerprint > $2 OR canaries.fingerprint = $2 AND canaries.class > $3)
                AND (canary IS NOT NULL OR release_before_ms IS NOT NULL OR next_at_ms <= $4)
            ORDER BY canaries.fingerprint, canaries.class LIMIT $5";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let FlockPlace { fingerprint, class } = after;
        let binds =
            [Bind::from(source), fingerprint.as_str().into(), class.as_str().into(), now_ms.into(), most.into()];
        self.read(async |transaction| transaction.rows::<Flock>(sql, &binds).await).await
    }

    /// Returns whether a letter of a flock is parked.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn has_flock(&self, source: &str, flock: &Flock) -> Result<bool, LedgerError> {
        let sql = format!(
            "SELECT number FROM letters WHERE {PARKED} AND source = $1 AND class = $2 AND fingerprint = $3 LIMIT 1"
        );
        let binds = [source, &flock.class, &flock.fingerprint].map(Bind::from);
        Ok(self.read(async |transaction| transaction.row::<(i64,)>(&sql, &binds).await).await?.is_some())
    }

    /// Watches a flock no longer.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn forget_flock(&self, source: &str, flock: &Flock) -> Result<(), LedgerError> {
        let sql = "DELETE FROM canaries WHERE source = $1 AND fingerprint = $2 AND class = $3";
        let binds = [source, &flock.fingerprint, &flock.class].map(Bind::from);
        self.write(async |transaction| transaction.change(sql, &binds).await.map(drop)).await
    }

    /// Has the next canary of a flock be sent no sooner than that.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn put_canary_off(&self, source: &str, flock: &Flock, next_at_ms: i64) -> Result<(), LedgerError> {
        let sql = "UPDATE canaries SET next_at_ms = $4 WHERE source = $1 AND fingerprint = $2 AND class = $3";
        let words = [source, &flock.fingerprint, &flock.class].map(Bind::from);
        let binds = [&words[..], &[next_at_ms.into()]].concat();
        self.write(async |transaction| transaction.change(sql, &binds).await.map(drop)).await
    }
}
