//! What a letter lacks that comes from elsewhere is decided as if it were taken in.

use jiff::Timestamp;

use super::verdict::{Words, rule};
use crate::ledger::Whole;
use crate::policy::Policy;
use crate::settings::Settings;
use crate::source::{Episode, Found};

/// Adds what a letter does not say, as `policy` decides at the time `now`; of what it says nothing is changed.
pub(crate) fn complete(settings: &Settings, policy: &Policy, letter: &mut Whole, now: Timestamp) {
    let decided = [&letter.fingerprint, &letter.class, &letter.action, &letter.reason, &letter.alarm];
    if decided.iter().all(|word| word.is_some()) {
        return;
    }
    let found = found(letter);
    // How long it would wait does not matter: it is not redriven unasked.
    let ruling = rule(settings, policy, &found, &mut Words::default(), None, now, 1.0);
    let (error, decision) = (ruling.error, ruling.decision);
    if letter.class.is_none() {
        letter.rule = decision.rule;
    }
    let words = [
        (&mut letter.fingerprint, ruling.fingerprint.as_str()),
        (&mut letter.class, decision.class.word()),
        (&mut letter.action, decision.action.word()),
        (&mut letter.reason, decision.reason.word()),
        (&mut letter.alarm, decision.alarm.word()),
    ];
    for (word, decided) in words {
        word.get_or_insert_with(|| decided.to_owned());
    }
    letter.error_class = letter.error_class.take().or(error.class);
    letter.error_code = letter.error_code.take().or_else(|| error.codes.into_iter().next());
    letter.http = letter.http.or(error.http.map(i64::from));
    letter.until_ms = letter.until_ms.or(ruling.until_ms);
    if let Some(order) = ruling.order.filter(|_| letter.order_value.is_none()) {
        letter.order_value = Some(order.value);
        letter.waits_for_stuck = Some(order.waits_for_stuck.into());
    }
}

fn found(letter: &Whole) -> Found {
    let count = |count: Option<i64>| count.and_then(|count| u32::try_from(count).ok()).unwrap_or_default();
    Found {
        episode: Episode { queue: letter.queue.clone(), job: letter.job.clone(), failed_at_ms: letter.failed_at_ms },
        name: letter.name.clone(),
        data: letter.data.clone().unwrap_or_default(),
        kept: Vec::new(),
        reason: Some(letter.message.clone()),
        stack: letter.stack.clone(),
        attempts: count(letter.attempts),
        stalls: count(letter.stalls),
        is_in_flow: false,
        put_in_at_ms: letter.put_in_at_ms,
        asked_by: None,
        found_in: letter.found_in.clone(),
    }
}
