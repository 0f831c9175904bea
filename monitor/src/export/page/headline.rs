//! The first sentence of the page: what a person would say of the whole.

use kit::page::{Tone, words};

use super::overview::Glance;
use super::state::spoken;
use crate::judge::Verdict;

/// Longest reason within the sentence, in characters; the whole reason stands right below.
const MAX_REASON: usize = 140;
/// Names that are listed before "and n more".
const MAX_NAMES: usize = 4;

/// What is said first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Headline {
    pub(super) tone: Tone,
    /// One sentence.
    pub(super) sentence: String,
    /// How many services are in which state.
    pub(super) counts: String,
}

/// Says it. `services` are all that are watched.
pub(super) fn headline(services: &[Glance]) -> Headline {
    let bad = |glance: &&Glance| glance.verdict.is_bad() && glance.critical;
    // What fails only because of another is not the news.
    let roots: Vec<&Glance> = services.iter().filter(bad).filter(|glance| glance.blocked_by.is_none()).collect();
    let broken: Vec<&Glance> = if roots.is_empty() { services.iter().filter(bad).collect() } else { roots };
    let impaired: Vec<&Glance> =
        services.iter().filter(|glance| glance.verdict != Verdict::Up && !glance.verdict.is_done()).collect();
    let is_blind = |glance: &&Glance| matches!(glance.verdict, Verdict::Unknown | Verdict::Stale);
    let (tone, sentence) = match (broken.as_slice(), impaired.as_slice()) {
        _ if services.is_empty() => (Tone::Blind, "Nothing is watched yet".to_owned()),
        ([one], _) => (Tone::Bad, alone(one)),
        ([_, _, ..], _) => (Tone::Bad, together(&broken)),
        ([], []) if services.iter().all(|glance| glance.verdict != Verdict::Up) => {
            (Tone::Off, "Nothing runs, as it should".to_owned())
        }
        ([], []) => (Tone::Good, "Everything works".to_owned()),
        ([], few) if few.len() == services.len() && few.iter().all(is_blind) => {
            (Tone::Blind, "Nothing is known yet".to_owned())
        }
        ([], [one]) => (tone_of(&impaired), alone(one)),
        ([], _) => (tone_of(&impaired), together(&impaired)),
    };
    Headline { tone, sentence, counts: counts(services) }
}

/// Nothing critical is broken: the whole is starting, unseen or impaired.
fn tone_of(impaired: &[&Glance]) -> Tone {
    let all = |verdict: Verdict| impaired.iter().all(|glance| glance.verdict == verdict);
    if all(Verdict::Starting) { Tone::Busy } else { Tone::Warn }
}

fn alone(glance: &Glance) -> String {
    let state = glance.verdict.said();
    match words::clip(&glance.short_why, MAX_REASON) {
        reason if reason.is_empty() => format!("{} {state}, for {}", glance.name, glance.since.ago),
        reason => format!("{} {state}: {reason}, for {}", glance.name, glance.since.ago),
    }
}

fn together(services: &[&Glance]) -> String {
    let first = services.first().map(|glance| glance.verdict);
    let like = services.iter().all(|glance| Some(glance.verdict) == first);
    let word = match first {
        Some(verdict) if like && verdict != Verdict::GaveUp => format!("are {}", spoken(verdict.as_str())),
        _ if services.iter().all(|glance| glance.verdict.is_bad()) => "do not work".to_owned(),
        _ => "need a look".to_owned(),
    };
    let names: Vec<&str> = services.iter().take(MAX_NAMES).map(|glance| &*glance.name).collect();
    let names = match services.len().saturating_sub(MAX_NAMES) {
        0 => match names.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            _ => names.concat(),
        },
        more => format!("{} and {more} more", names.join(", ")),
    };
    format!("{} services {word}: {names}", services.len())
}

/// `12 services: 1 down, 1 degraded, 10 up`
fn counts(services: &[Glance]) -> String {
    let parts: Vec<String> = Verdict::ALL
        .into_iter()
        .filter_map(|verdict| {
            let count = services.iter().filter(|glance| glance.verdict == verdict).count();
            (count > 0).then(|| format!("{count} {}", spoken(verdict.as_str())))
        })
        .collect();
    match services.len() {
        0 => "Add services to the configuration, then reload it.".to_owned(),
        1 => format!("1 service: {}", parts.join(", ")),
        many => format!("{many} services: {}", parts.join(", ")),
    }
}
