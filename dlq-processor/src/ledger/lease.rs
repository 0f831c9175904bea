//! Who may act: one daemon of all that share a ledger. It holds a lease, whose epoch rises with each holder and fences what
//! an earlier one still tries to write.

use std::time::Duration;

use kit::db::{Bind, Transaction};

use super::{Ledger, LedgerError};

/// How long a lease lasts without being renewed: takeover is within this and a second (20 s are wished).
pub const LEASE: Duration = Duration::from_secs(15);

/// A holder, as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Names this process.
    pub owner: String,
    /// Rises with each holder.
    pub epoch: i64,
}

impl Ledger {
    /// Takes the lease for `owner`, or renews it; none while somebody else has it, unless it is known that nobody else is there
    /// (`is_alone`). Time is the database's, so that no two machines need agree on it.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn lease(&self, owner: &str, is_alone: bool) -> Result<Option<Holder>, LedgerError> {
        let lease_ms = i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
        let now = self.database_now();
        let sql = format!(
            "INSERT INTO lease (one, owner, epoch, until_ms) VALUES (1, $1, 1, {now} + $2)
            ON CONFLICT (one) DO UPDATE SET owner = excluded.owner, until_ms = excluded.until_ms,
                epoch = CASE WHEN lease.owner = excluded.owner THEN lease.epoch ELSE lease.epoch + 1 END
            WHERE lease.owner = excluded.owner OR lease.until_ms < {now} OR $3 = 1
            RETURNING epoch"
        );
        let binds = [Bind::from(owner), lease_ms.into(), i64::from(is_alone).into()];
        let row = self.write(async |transaction| transaction.row::<(i64,)>(&sql, &binds).await).await?;
        Ok(row.map(|(epoch,)| Holder { owner: owner.to_owned(), epoch }))
    }

    /// Gives the lease back, so that the next one need not wait.
    ///
    /// # Errors
    /// [`LedgerError`]; then it runs out.
    pub async fn give_back(&self, holder: &Holder) -> Result<(), LedgerError> {
        let sql = "UPDATE lease SET until_ms = 0 WHERE owner = $1 AND epoch = $2";
        let binds = [Bind::from(holder.owner.as_str()), holder.epoch.into()];
        self.write(async |transaction| transaction.change(sql, &binds).await.map(drop)).await
    }

    /// Has the next holder's epoch be beyond `epoch`: where an older ledger acted before.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn pass(&self, epoch: i64) -> Result<(), LedgerError> {
        let sql = "INSERT INTO lease (one, owner, epoch, until_ms) VALUES (1, '', $1, 0)
            ON CONFLICT (one) DO UPDATE SET owner = '', until_ms = 0,
                epoch = CASE WHEN lease.epoch > $1 THEN lease.epoch ELSE $1 END";
        self.write(async |transaction| transaction.change(sql, &[epoch.into()]).await.map(drop)).await
    }

    /// Milliseconds since the epoch, in SQL.
    fn database_now(&self) -> &'static str {
        match self.database {
            kit::db::Database::Sqlite(_) => "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
            kit::db::Database::Postgres(_) => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }
}

impl Holder {
    /// Makes sure of it until the transaction ends.
    pub(super) async fn holds(&self, transaction: &mut Transaction) -> Result<bool, sqlx::Error> {
        let sql = "SELECT epoch FROM lease WHERE owner = $1 AND epoch = $2 {for_share}";
        let binds = [Bind::from(self.owner.as_str()), self.epoch.into()];
        Ok(transaction.row::<(i64,)>(sql, &binds).await?.is_some())
    }
}
