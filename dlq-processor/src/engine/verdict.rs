//! What is decided of a failed job when it is taken in.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;

use super::millis;
use crate::ledger::{InOrder, LetterState, Past, Ruling};
use crate::policy::{self, Action, ErrorFacts, Fingerprint, JobFacts, Letter, Policy};
use crate::settings::Settings;
use crate::source::Found;

/// What failures of one batch say. In most batches many say the same, word for word, and it is read once.
#[derive(Default)]
pub(super) struct Words<'f>(HashMap<[&'f str; 4], (ErrorFacts, Fingerprint)>);

impl<'f> Words<'f> {
    fn read(&mut self, Found { episode, name, reason, stack, .. }: &'f Found) -> (ErrorFacts, Fingerprint) {
        // An empty text says as much as none.
        let [reason, stack] = [reason, stack].map(|text| text.as_deref().unwrap_or_default());
        let read = || {
            let error = ErrorFacts::read(Some(reason), Some(stack));
            let fingerprint = Fingerprint::of(&episode.queue, name, error.class.as_deref(), &error.message);
            (error, fingerprint)
        };
        self.0.entry([&episode.queue, name, reason, stack]).or_insert_with(read).clone()
    }
}

/// Decides at the time `now`, for a `random` number from 0 to 1.
pub(super) fn rule<'f>(
    settings: &Settings,
    policy: &Policy,
    found: &'f Found,
    words: &mut Words<'f>,
    past: Option<Past>,
    now: Timestamp,
    random: f64,
) -> Ruling {
    let Found { episode, name, .. } = found;
    let (error, fingerprint) = words.read(found);
    let at = |ms| Timestamp::from_millisecond(ms).unwrap_or(now);
    let letter = Letter {
        queue: episode.queue.clone(),
        name: name.clone(),
        error,
        stalls: found.stalls,
        is_in_flow: found.is_in_flow,
        failed_at: at(episode.failed_at_ms),
        seen_at: now,
    };
    let past = policy::Past {
        redrives: past.map_or(0, |past| past.redrives),
        first_failed_at: at(past.map_or(episode.failed_at_ms, |past| past.first_failed_at_ms)),
    };
    let decision = policy.decide(&letter, past, now, random);
    let (state, due_at_ms) = match decision.action {
        Action::Redrive(wait) if settings.acts_in(found.queues()) => {
            (LetterState::Scheduled, Some(now.as_millisecond().saturating_add(millis(wait))))
        }
        Action::Redrive(_) => (LetterState::Observed, None),
        Action::Park => (LetterState::Parked, None),
        Action::Quarantine => (LetterState::Quarantined, None),
        Action::Escalate => (LetterState::Escalated, None),
    };
    let retry = policy.retries.get(&decision.class);
    let within_ms = retry.map(|retry| millis(retry.within));
    let until_ms = within_ms.map(|within_ms| past.first_failed_at.as_millisecond().saturating_add(within_ms));
    let order = order(policy, found);
    Ruling { error: letter.error, fingerprint, decision, state, due_at_ms, until_ms, order, is_listed: false }
}

/// Where it stands among others. What has no value there stands alone.
fn order(policy: &Policy, found: &Found) -> Option<InOrder> {
    let facts = JobFacts::of(&policy.jobs, &found.episode.queue, &found.name);
    let key = facts.order_key?;
    let data: Value = serde_json::from_slice(&found.data).ok()?;
    let value = data.pointer(&key).filter(|value| !value.is_null())?;
    Some(InOrder { value: value.to_string(), waits_for_stuck: facts.waits_for_stuck })
}
