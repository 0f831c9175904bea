//! Writing new letters: rows of letters, payloads and stack traces.

use std::collections::{BTreeMap, BTreeSet};

use kit::db::{Bind, Transaction};
use kit::trace::Context;

use super::letter::{LetterId, Past};
use super::{Ruling, places};
use crate::source::{Found, as_text};

/// Returns the ids of those that were not there.
pub(super) async fn insert(
    transaction: &mut Transaction,
    source: &str,
    rows: &[(LetterId, &Found, Ruling, Option<Past>)],
    now_ms: i64,
) -> Result<BTreeSet<String>, sqlx::Error> {
    let texts: Vec<[String; 3]> = rows
        .iter()
        .map(|(_, found, ruling, _)| [&*found.episode.job, &*found.name, &*ruling.error.message].map(clean))
        .collect();
    let parent = |found: &Found| found.asked_by.as_ref().map(Context::traceparent);
    let parents: Vec<Option<String>> = rows.iter().map(|(_, found, ..)| parent(found)).collect();
    let mut letters = Vec::with_capacity(rows.len());
    for (((id, found, ruling, past), [job, name, message]), parent) in rows.iter().zip(&texts).zip(&parents) {
        let Found { episode, .. } = found;
        let Ruling { error, fingerprint, decision, state, due_at_ms, until_ms, order, is_listed } = ruling;
        letters.push([
            ("id", Bind::from(id.as_str())),
            ("source", source.into()),
            ("queue", episode.queue.as_str().into()),
            ("job", job.as_str().into()),
            ("failed_at_ms", episode.failed_at_ms.into()),
            ("name", name.as_str().into()),
            ("message", message.as_str().into()),
            ("error_class", error.class.as_deref().into()),
            ("error_code", error.codes.first().map(String::as_str).into()),
            ("http", error.http.map(i64::from).into()),
            ("attempts", i64::from(found.attempts).into()),
            ("stalls", i64::from(found.stalls).into()),
            ("put_in_at_ms", found.put_in_at_ms.into()),
            ("fingerprint", fingerprint.as_str().into()),
            ("class", decision.class.word().into()),
            ("rule", decision.rule.as_deref().into()),
            ("action", decision.action.word().into()),
            ("reason", decision.reason.word().into()),
            ("alarm", decision.alarm.word().into()),
            ("state", state.word().into()),
            ("seen_at_ms", now_ms.into()),
            ("due_at_ms", (*due_at_ms).into()),
            ("changed_at_ms", now_ms.into()),
            ("redrives", i64::from(past.map_or(0, |past| past.redrives)).into()),
            ("version", 1_i64.into()),
            ("until_ms", (*until_ms).into()),
            ("order_value", order.as_ref().map(|order| order.value.as_str()).into()),
            ("waits_for_stuck", i64::from(order.as_ref().is_some_and(|order| order.waits_for_stuck)).into()),
            ("traceparent", parent.as_deref().into()),
            ("listed", is_listed.then_some("").into()),
            ("found_in", found.found_in.as_deref().into()),
        ]);
    }
    let new = insert_letters(transaction, &letters, "ON CONFLICT (id) DO NOTHING").await?;
    insert_payloads(transaction, rows, &new).await?;
    insert_stacks(transaction, rows, &new).await?;
    Ok(new.into_keys().collect())
}

/// Writes rows of letters, each with columns and what is in them, and returns ids and numbers of those that are written. `beside`
/// says what is done with others.
pub(super) async fn insert_letters<const N: usize>(
    transaction: &mut Transaction,
    letters: &[[(&'static str, Bind<'_>); N]],
    beside: &str,
) -> Result<BTreeMap<String, i64>, sqlx::Error> {
    let Some(first) = letters.first() else { return Ok(BTreeMap::new()) };
    let sql = format!(
        "INSERT INTO letters ({}) VALUES {} {beside} RETURNING id, number",
        first.map(|(column, _)| column).join(", "),
        places(letters.len(), N)
    );
    let binds: Vec<Bind<'_>> = letters.iter().flatten().map(|(_, value)| *value).collect();
    Ok(transaction.rows::<(String, i64)>(&sql, &binds).await?.into_iter().collect())
}

/// Of those that were not there.
async fn insert_payloads(
    transaction: &mut Transaction,
    rows: &[(LetterId, &Found, Ruling, Option<Past>)],
    new: &BTreeMap<String, i64>,
) -> Result<(), sqlx::Error> {
    let mut binds: Vec<Bind<'_>> = Vec::with_capacity(new.len() * 3);
    for (id, found, ..) in rows {
        if let Some(number) = new.get(id.as_str()) {
            binds.extend([Bind::from(*number), found.data.as_slice().into(), found.kept.as_slice().into()]);
        }
    }
    if binds.is_empty() {
        return Ok(());
    }
    let sql = format!("INSERT INTO payloads (letter, data, kept) VALUES {}", places(binds.len() / 3, 3));
    transaction.change(&sql, &binds).await.map(drop)
}

/// Of those that were not there.
async fn insert_stacks(
    transaction: &mut Transaction,
    rows: &[(LetterId, &Found, Ruling, Option<Past>)],
    new: &BTreeMap<String, i64>,
) -> Result<(), sqlx::Error> {
    let stack = |(id, found, ..): &(LetterId, &Found, Ruling, Option<Past>)| {
        Some((*new.get(id.as_str())?, clean(found.stack.as_deref()?)))
    };
    let stacks: Vec<(i64, String)> = rows.iter().filter_map(stack).collect();
    if stacks.is_empty() {
        return Ok(());
    }
    let binds: Vec<Bind<'_>> =
        stacks.iter().flat_map(|(number, stack)| [Bind::from(*number), stack.as_str().into()]).collect();
    let sql = format!("INSERT INTO stacks (letter, stack) VALUES {}", places(stacks.len(), 2));
    transaction.change(&sql, &binds).await.map(drop)
}

/// PostgreSQL has no text with a NUL in it (manual, section 8.3); what counts is kept as bytes.
pub(super) fn clean(text: &str) -> String {
    as_text(text).into_owned()
}
