//! What is at work, for the overview: sources, what holds queues back, and all that is not as it should be, each with what to do.

use kit::page::Tone;

use super::Pages;
use super::moment::{Ahead, Moment};
use super::spoken;
use crate::engine::{Standing, Working};
use crate::lease::ELSEWHERE;
use crate::settings::{Settings, SourceSettings};

/// Held queues and breakers of one source that are shown.
const MOST: usize = 20;

/// Something that is not as it should be.
pub(super) struct Wrong {
    pub(super) tone: Tone,
    pub(super) what: String,
    /// As the program says it; empty for whoever sees no details.
    pub(super) why: String,
    pub(super) then: &'static str,
}

/// A source.
pub(super) struct SourceView {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) tone: Tone,
    pub(super) word: &'static str,
    pub(super) said: String,
    /// Queues that nothing, or less, is put back into: in a word, which, and why.
    pub(super) held: Vec<(&'static str, String, String)>,
    pub(super) breakers: Vec<BreakerView>,
    /// Held queues and breakers that are not shown.
    pub(super) more: usize,
}

/// A breaker that is not closed.
pub(super) struct BreakerView {
    pub(super) queue: String,
    pub(super) name: String,
    /// Whether its kind was only not seen to work yet.
    pub(super) is_trying: bool,
    /// When some are let through.
    pub(super) until: Option<Ahead>,
}

/// All of it.
pub(super) struct Work {
    /// Who acts, and where.
    pub(super) acting: (Tone, &'static str, String),
    pub(super) wrong: Vec<Wrong>,
    pub(super) sources: Vec<SourceView>,
}

/// Looks at what is at work.
pub(super) fn work(Pages { api, .. }: &Pages, moment: &Moment) -> Work {
    let standings: Vec<Standing> = api.working.all().iter().map(|engine| engine.standing()).collect();
    let mut wrong: Vec<Wrong> = not_acting(&api.working).into_iter().collect();
    wrong.extend(standings.iter().flat_map(of_source));
    if !moment.sees_details() {
        wrong.iter_mut().for_each(|wrong| wrong.why.clear());
    }
    let source = |of: &SourceSettings| {
        let standing = standings.iter().find(|standing| standing.source == of.name);
        source(of, standing, moment)
    };
    let sources = api.settings.sources.iter().map(source).collect();
    Work { acting: acting(&api.working, &api.settings), wrong, sources }
}

/// Whether somebody else acts, which is as it should be.
fn is_second(working: &Working) -> bool {
    working.waits().as_deref() == Some(ELSEWHERE)
}

fn acting(working: &Working, settings: &Settings) -> (Tone, &'static str, String) {
    let acts = || settings.queues.iter().filter(|queue| queue.acts).map(|queue| queue.queue.as_str());
    let queues: Vec<&str> = acts().take(6).collect();
    match (working.all().is_empty(), is_second(working)) {
        (true, true) => (Tone::Off, "Another dlq-processor acts", "this one takes over when that ends".to_owned()),
        (true, false) => (Tone::Blind, "Nothing is done yet", "it is about to begin".to_owned()),
        (false, _) if queues.is_empty() => {
            (Tone::Off, "Watches only", "nothing is redriven: no queue has mode: act".to_owned())
        }
        (false, _) if queues.contains(&"*") => (Tone::Good, "Acts", "in every queue".to_owned()),
        (false, _) => {
            let more = if acts().count() > queues.len() { " and more" } else { "" };
            (Tone::Good, "Acts", format!("in {}{more}; elsewhere it watches", queues.join(", ")))
        }
    }
}

/// Why this daemon does not act, if that is not as it should be.
fn not_acting(working: &Working) -> Option<Wrong> {
    let why = working.waits().filter(|_| working.all().is_empty() && !is_second(working))?;
    let what = "This daemon may not act".to_owned();
    let then = "Nothing is taken in or redriven until that is mended; it tries again every second.";
    Some(Wrong { tone: Tone::Bad, what, why, then })
}

fn of_source(standing: &Standing) -> Vec<Wrong> {
    let Standing { source, trouble, hazard, queues, .. } = standing;
    let trouble = trouble.iter().map(|why| Wrong {
        tone: Tone::Bad,
        what: format!("{source} does not get on"),
        why: why.clone(),
        then: "It is tried again all the time. What fails meanwhile stays where it is.",
    });
    let hazard = hazard.iter().map(|why| Wrong {
        tone: Tone::Bad,
        what: format!("Nothing is redriven in {source}"),
        why: why.clone(),
        then: "Letters are taken in as ever; they are redriven as soon as that is mended.",
    });
    let perils = queues.iter().flat_map(|(queue, standing)| {
        standing.perils.iter().map(move |peril| Wrong {
            tone: Tone::Warn,
            what: format!("{queue} is not safe for dead letters"),
            why: format!("{}. Who knows better writes accept: [{}] for it.", sentence(&peril.why), peril.kind),
            then: "Nothing is redriven there until then.",
        })
    });
    trouble.chain(hazard).chain(perils).collect()
}

/// Begins with a capital letter.
fn sentence(said: &str) -> String {
    let mut chars = said.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn source(of: &SourceSettings, standing: Option<&Standing>, moment: &Moment) -> SourceView {
    let (tone, word, said) = match standing {
        None => (Tone::Blind, "not looked at", "by this daemon"),
        Some(Standing { trouble: Some(_), .. }) => (Tone::Bad, "trouble", ""),
        Some(Standing { waits: Some(_), .. }) => {
            (Tone::Off, "waits", "for its job tables: nobody has put a job in yet")
        }
        Some(Standing { hazard: Some(_), .. }) => (Tone::Warn, "hazard", "nothing is redriven"),
        Some(_) => (Tone::Good, "up", ""),
    };
    let queues = || standing.iter().flat_map(|standing| standing.queues.iter());
    let held = queues().filter_map(|(queue, it)| Some(("held", queue.clone(), spoken::pressure(it.held?).to_owned())));
    let slow = queues().filter_map(|(queue, it)| Some(("slow", queue.clone(), spoken::slowed_to(it.slowed_to?))));
    let capped = queues().flat_map(|(queue, it)| {
        it.capped
            .iter()
            .map(move |cap| ("held", queue.clone(), spoken::capped(&cap.fingerprint, &moment.ahead(cap.until_ms).left)))
    });
    let held = held.chain(slow).chain(capped);
    let breakers = queues().flat_map(|(queue, it)| {
        it.breakers.iter().map(|breaker| BreakerView {
            queue: queue.clone(),
            name: breaker.name.clone(),
            is_trying: breaker.state == "trying",
            until: breaker.until_ms.map(|until_ms| moment.ahead(until_ms)),
        })
    });
    let all = held.clone().count() + breakers.clone().count();
    let (held, breakers): (Vec<_>, Vec<_>) = (held.take(MOST).collect(), breakers.take(MOST).collect());
    let more = all - held.len() - breakers.len();
    SourceView { name: of.name.clone(), kind: of.kind, tone, word, said: said.to_owned(), held, breakers, more }
}
