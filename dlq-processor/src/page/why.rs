//! What a letter is and why it stands where it stands, in sentences instead of the ledger's words.

use crate::ledger::Listed;

/// Says what the failure is, who says so, and what follows from that.
pub(super) fn sentences(letter: &Listed, acts_in_queue: bool) -> Vec<String> {
    let who = match &letter.rule {
        Some(rule) => format!("The rule “{rule}” knows this failure: {}.", class(&letter.class)),
        None => format!("{}.", class(&letter.class)),
    };
    let mut said = vec![who];
    said.extend(decided(letter));
    said.extend(state(letter));
    if letter.edited_at_ms.is_some() && letter.new_job.is_none() {
        said.push("Somebody has edited what it is to hold: it is put back as another job.".to_owned());
    }
    let waits = matches!(&*letter.state, "observed" | "parked" | "escalated" | "quarantined" | "uncertain");
    if !acts_in_queue && waits {
        said.push(format!(
            "Nothing is redriven in {}, whoever asks, until the configuration gives it mode: act.",
            letter.queue
        ));
    }
    said
}

/// What the class of a failure means, as the rest of a sentence.
fn class(class: &str) -> &'static str {
    match class {
        "transient" => "the job was surely not done, and another try may work",
        "transient_ambiguous" => "the job may have been done, since nobody heard how it ended",
        "throttled" => "too much was asked at once, and later it may work",
        "auth" => "whoever was asked did not believe who asks; another try ends alike until access is mended",
        "malformed" => "the job itself is wrong; another try ends alike until it or its program is mended",
        "poison" => "the job takes its worker down",
        _ => "No rule knows this failure, so that nobody can say whether another try would work",
    }
}

/// What was decided when it was taken in, and why.
fn decided(letter: &Listed) -> Option<String> {
    let because = match &*letter.reason {
        "may_be_done" => "Nobody has said that doing it twice does no harm",
        "old" => "It had failed long before it was first seen",
        "tries_spent" => "It was put back as often as it may be",
        "time_spent" => "Its first failure is too long ago for more tries",
        "flow" => "It is part of a flow, and is put back only while its parent waits for it",
        _ => "",
    };
    let said = match (&*letter.action, because) {
        ("redrive", "") => "Jobs that fail like this are put back after a while.".to_owned(),
        ("park", "") => "Jobs that fail like this wait until a person says what to do.".to_owned(),
        // By somebody, who may have had other reasons.
        ("quarantine", _) if letter.reason == "asked" => return None,
        ("quarantine", _) => "Such jobs are shut in: nothing but a release lets them out.".to_owned(),
        ("escalate", "") => "Jobs that fail like this are left to a person, who is told at once.".to_owned(),
        ("escalate", because) => format!("{because}: a person decides, and was told at once."),
        (_, because) if !because.is_empty() => format!("{because}: it waits for a person."),
        _ => return None,
    };
    Some(said)
}

/// How it stands now, if that does not go without saying.
fn state(letter: &Listed) -> Option<String> {
    let is_as_decided = match &*letter.state {
        "parked" => letter.action == "park",
        "quarantined" => letter.action == "quarantine",
        "escalated" => letter.action == "escalate",
        _ => false,
    };
    let of_reason = match (&*letter.state, &*letter.reason) {
        ("parked", "asked") => Some("Somebody asked that it waits."),
        ("parked", "imported") => Some("Somebody has brought it from elsewhere; it waits for a person."),
        ("uncertain", "imported") => Some(
            "It had been put back, or nearly so, where it was brought from: it may have been done; a person decides.",
        ),
        ("quarantined", "imported") => Some("It was in quarantine where it came from, too."),
        ("parked", "taken_back") => Some("Its plan was paused or ended before its turn came; it waits again."),
        ("parked", "gone") => Some("Its queue has nothing of the job any more, and it could not be made anew."),
        ("parked", "newer") => Some("A newer job with its deduplication id is under way; it waits for a person."),
        ("parked", "refused") => Some("Its source refused to take it back; it waits for a person."),
        ("scheduled", "canary") => {
            Some("It goes before those that are alike: if it is done, they follow as soon as their queue bears them.")
        }
        ("scheduled", "released") => Some("One that is alike was done: it is put back as soon as its queue bears it."),
        ("scheduled", "asked") => Some("Somebody asked for it: it is put back as soon as its queue bears it."),
        ("recurred", "same") => Some("The queue that it failed in has the failure, too, which is another letter."),
        ("withdrawn", "not_failed") => Some("Somebody else had put it back before we did."),
        ("quarantined", "asked") => Some("Somebody has shut it in: nothing but a release lets it out."),
        ("discarded", "removed") => Some("Somebody has given it up for good: what its job held was removed."),
        ("resolved", "unverified") => Some("It did not fail again in ten minutes; nobody can say more."),
        _ if is_as_decided => return None,
        _ => None,
    };
    let said = of_reason.unwrap_or(match &*letter.state {
        "observed" => "Nothing is done: it is only seen.",
        "scheduled" => "It is put back when it is due.",
        "parked" => "It waits for a person.",
        "quarantined" => "It waits until a person releases it.",
        "escalated" => "It waits for a person, who was told at once.",
        "intended" => "It is about to be put back, or was just now.",
        "redriven" => "It is back in its queue; how that ends is not known yet.",
        "resolved" => "It was done after all.",
        "recurred" => "It failed again, which is another letter.",
        "withdrawn" => "Somebody else put it back or removed it.",
        "uncertain" => "Whether it was put back cannot be known any more; a person decides.",
        "discarded" => "Somebody has given it up.",
        "expired" => "Nobody dealt with it for so long that it was put away.",
        _ => "",
    });
    Some(said.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::LetterState;
    use crate::policy::{Class, Reason};

    fn letter(class: &str, action: &str, reason: &str, state: &str) -> Listed {
        Listed {
            number: 1,
            id: "a".to_owned(),
            source: "jobs".to_owned(),
            queue: "mails".to_owned(),
            job: "7".to_owned(),
            name: "send".to_owned(),
            failed_at_ms: 0,
            message: String::new(),
            error_class: None,
            fingerprint: "f".to_owned(),
            class: class.to_owned(),
            rule: Some("bad-data".to_owned()).filter(|_| class != "unknown"),
            action: action.to_owned(),
            reason: reason.to_owned(),
            state: state.to_owned(),
            seen_at_ms: 0,
            due_at_ms: None,
            changed_at_ms: 0,
            redrives: 0,
            cold: None,
            attempts: 1,
            stalls: 0,
            stack: None,
            found_in: None,
            new_job: None,
            to_queue: None,
            edited_at_ms: None,
        }
    }

    #[test]
    fn a_person_reads_why_and_not_the_ledgers_words() {
        let said = |letter: &Listed| sentences(letter, true).join(" ");
        assert_eq!(
            said(&letter("malformed", "park", "class", "parked")),
            "The rule “bad-data” knows this failure: the job itself is wrong; another try ends alike until it or its \
            program is mended. Jobs that fail like this wait until a person says what to do."
        );
        let taken_back = said(&letter("auth", "park", "taken_back", "parked"));
        assert!(
            taken_back.ends_with("Its plan was paused or ended before its turn came; it waits again."),
            "{taken_back}"
        );
        let twice = said(&letter("transient_ambiguous", "escalate", "may_be_done", "escalated"));
        assert!(
            twice.contains("Nobody has said that doing it twice does no harm: a person decides, and was told at once."),
            "{twice}"
        );
        let shut_in = said(&letter("malformed", "quarantine", "asked", "quarantined"));
        assert!(
            shut_in.ends_with("is mended. Somebody has shut it in: nothing but a release lets it out."),
            "{shut_in}"
        );
        let watched = sentences(&letter("transient", "redrive", "class", "observed"), false).join(" ");
        assert!(watched.contains("until the configuration gives it mode: act"), "{watched}");
    }

    #[test]
    fn there_are_words_for_every_class_reason_and_state() {
        for class in Class::ALL.map(Class::word) {
            for state in LetterState::ALL.map(LetterState::word) {
                for reason in [Reason::Class, Reason::MayBeDone, Reason::Old, Reason::TriesSpent, Reason::TimeSpent] {
                    let said = sentences(&letter(class, "park", reason.word(), state), true);
                    assert!(said.iter().all(|it| it.ends_with('.') && !it.contains('_')), "{said:?}");
                }
            }
        }
    }
}
