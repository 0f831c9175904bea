//! When sessions and keys were used last: noted not with every request, and nothing fails for it.

use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use kit::chain::Chain;

use super::routes::Auth;
use crate::problem::Problem;

/// How exactly it is noted.
const EVERY_MS: i64 = 60_000;

/// Whether uses can be noted, as far as is known: that they cannot is told once.
#[derive(Debug, Default)]
pub(super) struct Uses {
    fail: AtomicBool,
}

/// What is used: a row of this table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Used<'a> {
    Session(&'a str),
    Key(&'a str),
}

/// Notes that something is used, if that was not noted lately.
pub(super) async fn note_use(auth: &Auth, used: Used<'_>, used_ms: Option<i64>, now: Timestamp) {
    let now_ms = now.as_millisecond();
    if used_ms.is_some_and(|used_ms| now_ms - used_ms < EVERY_MS) {
        return;
    }
    let (sql, id) = match used {
        Used::Session(id) => ("UPDATE sessions SET used_ms = $1 WHERE id = $2", id),
        Used::Key(id) => ("UPDATE api_keys SET used_ms = $1 WHERE id = $2", id),
    };
    let noting = async {
        let mut transaction = auth.store.begin().await?;
        transaction.change(sql, &[now_ms.into(), id.into()]).await?;
        Ok::<_, Problem>(transaction.commit().await?)
    };
    let noted = noting.await;
    let failed = auth.uses.fail.swap(noted.is_err(), Ordering::Relaxed);
    if let Err(error) = noted
        && !failed
    {
        tracing::warn!(error = Chain(&error).to_string(), "that sessions and keys are used cannot be noted");
    }
}
