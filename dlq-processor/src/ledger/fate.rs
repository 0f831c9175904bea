//! What becomes of letters that come from elsewhere: which of them are new, and how those stand.

use std::collections::BTreeMap;

use kit::db::{Bind, Transaction};

use super::{LetterState, ROWS, Whole, places};
use crate::policy::Alarm;

/// What becomes of a letter that is brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The ledger did not have it.
    New,
    /// What it holds is back from a file.
    Back,
    /// It is here already, and stays as it is.
    Here,
    /// It waits, and the line says not what it holds: nothing could be made of it.
    Empty,
}

/// How a letter stands when it is taken in: what had ended stays so, and what may have been done is not taken for what was not.
pub(super) fn state_of(letter: &Whole) -> &str {
    match (letter.state.as_deref(), letter.action.as_deref()) {
        (Some(state), _) if has_ended(state) => state,
        (_, Some("quarantine")) => LetterState::Quarantined.word(),
        _ => waiting_state(letter).word(),
    }
}

/// How a letter waits that is not in quarantine: the ledger that it comes from may have had it put back, whatever became of that.
pub(super) fn waiting_state(letter: &Whole) -> LetterState {
    match letter.state.as_deref() {
        Some("intended" | "redriven" | "uncertain") => LetterState::Uncertain,
        _ => LetterState::Parked,
    }
}

/// Whom a letter wakes that waits for somebody: nobody would hear of one that wakes nobody.
pub(super) fn alarm_of(letter: &Whole) -> Option<&str> {
    let alarm = letter.alarm.as_deref();
    if is_open(letter) && alarm == Some(Alarm::None.word()) { Some(Alarm::Ticket.word()) } else { alarm }
}

fn has_ended(state: &str) -> bool {
    matches!(state, "resolved" | "recurred" | "withdrawn" | "discarded")
}

/// Whether it waits for somebody then.
pub(super) fn is_open(letter: &Whole) -> bool {
    !has_ended(state_of(letter))
}

type Known = (String, String, Option<String>, i64);

/// Says what becomes of letters, as the ledger is now.
pub(super) async fn fates(transaction: &mut Transaction, letters: &[Whole]) -> Result<Vec<Fate>, sqlx::Error> {
    let mut known: BTreeMap<String, Fate> = BTreeMap::new();
    for part in letters.chunks(ROWS) {
        let sql = format!(
            "SELECT id, state, cold, CAST((SELECT COUNT(*) FROM payloads WHERE letter = letters.number) AS BIGINT)
            FROM letters WHERE id IN {}",
            places(1, part.len())
        );
        let binds: Vec<Bind<'_>> = part.iter().map(|letter| Bind::from(letter.id.as_str())).collect();
        for (id, state, cold, payloads) in transaction.rows::<Known>(&sql, &binds).await? {
            // Also one that was redriven since, in vain: its job had gone.
            let is_away = cold.is_some() && payloads == 0 && matches!(&*state, "expired" | "parked");
            known.insert(id, if is_away { Fate::Back } else { Fate::Here });
        }
    }
    let fate = |letter: &Whole| {
        let is_held = letter.data.is_some() && letter.kept.is_some();
        let fate = match known.get(&letter.id) {
            Some(Fate::Back) if is_held => Fate::Back,
            Some(_) => Fate::Here,
            None if is_held || !is_open(letter) => Fate::New,
            None => return Fate::Empty,
        };
        known.insert(letter.id.clone(), Fate::Here);
        fate
    };
    Ok(letters.iter().map(fate).collect())
}
