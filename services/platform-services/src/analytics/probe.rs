//! What monitors do is answered like anything else, and says nothing of people: it is not kept.

use kit::db::Transaction;

/// Keeps what was written, or takes it back.
pub(super) async fn end(transaction: Transaction, is_kept: bool) -> Result<(), sqlx::Error> {
    if is_kept { transaction.commit().await } else { transaction.rollback().await }
}
