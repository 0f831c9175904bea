//! `GET /`: whether anything waits for a person, what that is, and what stands in the way.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kit::page::{Html, Tone};

use super::Pages;
use super::bars::share;
use super::frame::{Head, Kind};
use super::made::{Made, Trouble, answer};
use super::moment::{Moment, Passer, When};
use super::plans::{PlanRow, under_way};
use super::spoken::{count, letter_state, line, number, of_letter};
use super::work::{Work, work};
use crate::engine::millis;
use crate::ledger::{Group, Groups, LetterState, Numbers};
use crate::policy::{Canary, Class, Policy};

/// Kinds of failures that are shown.
const GROUPS: usize = 20;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    tone: Tone,
    sentence: String,
    counts: String,
    work: Work,
    groups: Vec<GroupView>,
    more_groups: i64,
    plans: Vec<PlanRow>,
    states: Vec<StateView>,
    sees_details: bool,
}

/// Failures that are alike.
struct GroupView {
    tone: Tone,
    word: &'static str,
    group: Group,
    /// Empty for whoever sees no details.
    message: String,
    letters: String,
    now: String,
    since: When,
    last: When,
    /// How it stands with the one that goes before the others; empty if none does.
    canary: String,
}

/// Letters in one state.
struct StateView {
    state: &'static str,
    tone: Tone,
    said: &'static str,
    letters: String,
    bar: Html,
    /// Of which classes.
    classes: String,
}

pub(super) async fn show(State(pages): State<Pages>, Passer(moment): Passer) -> Response {
    answer(make(&pages, &moment).await, &moment)
}

async fn make(pages: &Pages, moment: &Moment) -> Result<Made, Trouble> {
    let ledger = pages.api.opened().ok_or(Trouble::NotOpen)?;
    let policy = pages.api.policy();
    let groups = ledger.groups(GROUPS, millis(policy.max_age)).await?;
    let numbers = ledger.numbers().await?;
    let plans = if moment.sees_details() { under_way(ledger, moment).await? } else { Vec::new() };
    let work = work(pages, moment);
    let (tone, sentence) = headline(&groups, &work);
    let shown_group = |group: Group| {
        let canary = canary_of(&policy, &group).filter(|_| pages.api.settings.of_queue(&group.queue).acts);
        let said = canary.map(|canary| canary_said(&group, canary, |at_ms| moment.ahead(at_ms).left));
        group_view(group, said.unwrap_or_default(), moment)
    };
    let shown = i64::try_from(groups.newest.len()).unwrap_or(i64::MAX);
    let view = Overview {
        tone,
        counts: counts(&groups, &numbers, moment),
        more_groups: groups.kinds - shown,
        groups: groups.newest.into_iter().map(shown_group).collect(),
        plans,
        states: states(&numbers),
        sees_details: moment.sees_details(),
        work,
        sentence: sentence.clone(),
    };
    let head = Head { status: StatusCode::OK, path: "/", title: sentence, tone, kind: Kind::Live };
    Ok(Made { head, main: view.render() })
}

/// How it all looks, and in one sentence.
fn headline(groups: &Groups, work: &Work) -> (Tone, String) {
    let is_wrong = work.wrong.iter().any(|wrong| wrong.tone == Tone::Bad);
    match groups.letters {
        0 if is_wrong => (Tone::Bad, "No dead letter waits, but not all are seen".to_owned()),
        0 if !work.wrong.is_empty() => (Tone::Warn, "No dead letter waits for anybody".to_owned()),
        0 => (Tone::Good, "No dead letter waits for anybody".to_owned()),
        letters => {
            let wait = if letters == 1 { "waits" } else { "wait" };
            let now = match groups.pages {
                0 => "".to_owned(),
                pages if pages == letters => " now".to_owned(),
                pages => format!(", {} of them now", number(pages)),
            };
            let tone = if groups.pages > 0 || is_wrong { Tone::Bad } else { Tone::Warn };
            (tone, format!("{} {wait} for you{now}", count(letters, "dead letter")))
        }
    }
}

fn counts(groups: &Groups, numbers: &Numbers, moment: &Moment) -> String {
    let all: u64 = numbers.0.iter().map(|count| count.letters).sum();
    let all = format!("{} in the ledger", count(i64::try_from(all).unwrap_or(i64::MAX), "letter"));
    match groups.since_ms {
        Some(since_ms) => {
            let kinds = count(groups.kinds, "kind");
            format!("{kinds} of failure, the first for {} · {all}", moment.when(since_ms).ago)
        }
        None => all,
    }
}

/// How letters that are alike send canaries, if they do.
fn canary_of<'p>(policy: &'p Policy, group: &Group) -> Option<&'p Canary> {
    policy.canary(Class::of_word(&group.class)?, &group.queue, &group.name)
}

fn canary_said(group: &Group, canary: &Canary, left: impl Fn(i64) -> String) -> String {
    let Some(tried) = group.tried else { return String::new() };
    let were = if tried == 1 { "was" } else { "were" };
    let before = if tried == 0 { String::new() } else { format!(", as {} {were} before", number(tried)) };
    match group.next_canary_ms {
        _ if group.canary.is_some() => format!("one of them is tried now{before}"),
        _ if canary.is_spent(u32::try_from(tried).unwrap_or(u32::MAX)) => {
            format!("{} {were} tried, and no more are", number(tried))
        }
        Some(next_ms) => format!("one of them is tried {}{before}", left(next_ms)),
        None => String::new(),
    }
}

fn group_view(group: Group, canary: String, moment: &Moment) -> GroupView {
    let (tone, word) = if group.pages > 0 { (Tone::Bad, "now") } else { (Tone::Warn, "waits") };
    GroupView {
        tone,
        word,
        message: if moment.sees_details() { line(&group.message) } else { String::new() },
        letters: count(group.letters, "letter"),
        now: match group.pages {
            pages if pages > 0 && pages < group.letters => format!("{} of them now", number(pages)),
            _ => String::new(),
        },
        since: moment.when(group.since_ms),
        last: moment.when(group.last_ms),
        canary,
        group,
    }
}

fn states(numbers: &Numbers) -> Vec<StateView> {
    let of = |state: &str| numbers.0.iter().filter(move |count| count.state == state).collect::<Vec<_>>();
    let total = |state: &str| of(state).iter().map(|count| count.letters).sum::<u64>().try_into().unwrap_or(i64::MAX);
    let most = LetterState::ALL.map(|state| total(state.word())).into_iter().max().unwrap_or(0);
    let view = |state: LetterState| {
        let (state, letters) = (state.word(), total(state.word()));
        let mut classes = of(state);
        classes.sort_by_key(|count| std::cmp::Reverse(count.letters));
        let classes: Vec<String> =
            classes.iter().map(|count| format!("{} {}", count.class, spoken_number(count.letters))).collect();
        let tone = of_letter(state);
        StateView {
            state,
            tone,
            said: letter_state(state),
            letters: number(letters),
            bar: share(tone, letters, most),
            classes: classes.join(" · "),
        }
    };
    LetterState::ALL.into_iter().filter(|state| total(state.word()) > 0).map(view).collect()
}

fn spoken_number(letters: u64) -> String {
    number(i64::try_from(letters).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ledger::StateCount;

    fn work(wrong: &[Tone]) -> Work {
        let wrong = wrong.iter().map(|tone| super::super::work::Wrong {
            tone: *tone,
            what: String::new(),
            why: String::new(),
            then: "",
        });
        Work { acting: (Tone::Good, "", String::new()), wrong: wrong.collect(), sources: Vec::new() }
    }

    #[test]
    fn one_sentence_says_whether_anything_waits_for_a_person() {
        for (letters, pages, wrong, tone, sentence) in [
            (0, 0, &[][..], Tone::Good, "No dead letter waits for anybody"),
            (0, 0, &[Tone::Warn], Tone::Warn, "No dead letter waits for anybody"),
            (0, 0, &[Tone::Bad], Tone::Bad, "No dead letter waits, but not all are seen"),
            (1, 0, &[], Tone::Warn, "1 dead letter waits for you"),
            (1, 1, &[], Tone::Bad, "1 dead letter waits for you now"),
            (1_200, 2, &[], Tone::Bad, "1,200 dead letters wait for you, 2 of them now"),
        ] {
            let groups = Groups { letters, pages, ..Groups::default() };
            assert_eq!(headline(&groups, &work(wrong)), (tone, sentence.to_owned()));
        }
    }

    #[test]
    fn a_kind_of_failure_says_how_it_stands_with_the_letter_that_goes_before_the_others() {
        let endless = Canary { first: Duration::from_secs(60), cap: Duration::from_secs(60), tries: None };
        let once = Canary { tries: Some(1), ..endless.clone() };
        let group = |tried, canary: Option<&str>| Group {
            tried,
            canary: canary.map(str::to_owned),
            next_canary_ms: tried.map(|_| 7),
            ..Group::default()
        };
        for (group, canary, said) in [
            (group(None, None), &endless, ""),
            (group(Some(0), None), &endless, "one of them is tried in 7"),
            (group(Some(0), Some("a")), &once, "one of them is tried now"),
            (group(Some(1), Some("a")), &endless, "one of them is tried now, as 1 was before"),
            (group(Some(1_200), None), &endless, "one of them is tried in 7, as 1,200 were before"),
            (Group { next_canary_ms: None, ..group(Some(1), None) }, &endless, ""),
            (group(Some(1), None), &once, "1 was tried, and no more are"),
        ] {
            assert_eq!(canary_said(&group, canary, |at_ms| format!("in {at_ms}")), said);
        }
    }

    #[test]
    fn states_stand_in_their_order_with_the_classes_they_are_of() {
        let count = |state: &str, class: &str, letters| StateCount {
            state: state.to_owned(),
            class: class.to_owned(),
            letters,
            oldest_ms: 0,
        };
        let numbers =
            [count("resolved", "transient", 9), count("parked", "auth", 2), count("parked", "malformed", 1_000)];
        let states = states(&Numbers(numbers.to_vec()));
        let said: Vec<_> = states.iter().map(|it| (it.state, it.letters.as_str(), it.classes.as_str())).collect();
        assert_eq!(said, [("parked", "1,002", "malformed 1,000 · auth 2"), ("resolved", "9", "transient 9")]);
    }
}
