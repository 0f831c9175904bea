//! Finds what a document says of services, in its status section and in tables and lists that people wrote, and holds it
//! against what is. What stands in fenced code is an example.

use monitor::export::{ServiceStatus, Status};

use super::section::{BEGIN, END};

/// Words and signs that say that a service works.
const GOOD: [&str; 16] = [
    "up",
    "healthy",
    "operational",
    "running",
    "online",
    "working",
    "works",
    "ok",
    "passing",
    "available",
    "green",
    "stable",
    "✅",
    "🟢",
    "✔",
    "✓",
];
/// Words and signs that say that it does not.
const BAD: [&str; 15] = [
    "down",
    "unhealthy",
    "broken",
    "failing",
    "failed",
    "offline",
    "unavailable",
    "crashing",
    "restarting",
    "red",
    "dead",
    "❌",
    "🔴",
    "✖",
    "✗",
];

/// What came of reading a document.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Checked {
    /// How many claims there were.
    pub(super) claims: usize,
    /// Those that are not true.
    pub(super) wrong: Vec<Wrong>,
}

/// A claim that is not true.
#[derive(Debug, PartialEq)]
pub(super) struct Wrong {
    /// Its line, from 1.
    pub(super) line: usize,
    /// What it says, and what is.
    pub(super) text: String,
}

/// Reads a document.
pub(super) fn check(document: &str, status: &Status) -> Checked {
    let mut checked = Checked::default();
    let mut is_code = false;
    let mut section: Option<(usize, Vec<&str>)> = None;
    for (index, text) in document.lines().enumerate() {
        let line = index + 1;
        let text = text.trim();
        if text.starts_with("```") || text.starts_with("~~~") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        if text == BEGIN {
            section = Some((line, Vec::new()));
        } else if text == END {
            if let Some((begin, named)) = section.take() {
                checked.missing(begin, &named, status);
            }
        } else if let Some((_, named)) = &mut section {
            checked.of_section(line, text, named, status);
        } else if let Some((service, claim)) = claim(text, status) {
            checked.claim(line, service, &claim);
        }
    }
    checked
}

impl Checked {
    fn wrong(&mut self, line: usize, text: String) {
        self.wrong.push(Wrong { line, text });
    }

    /// A row of the section says a verdict in its own words, the headline how many are up.
    fn of_section<'a>(&mut self, line: usize, text: &'a str, named: &mut Vec<&'a str>, status: &Status) {
        if let Some((up, all)) = counts(text) {
            self.claims += 1;
            let are = status.services.iter().filter(|service| service.verdict == "up").count();
            if (up, all) != (are, status.services.len()) {
                self.wrong(line, format!("says {up} of {all} services are up; {are} of {} are", status.services.len()));
            }
            return;
        }
        let cells = cells(text);
        let [name, state, ..] = cells[..] else { return };
        if name == "Service" || name.starts_with("---") {
            return;
        }
        self.claims += 1;
        named.push(name);
        let state = state.split_whitespace().last().unwrap_or_default();
        match status.services.iter().find(|service| service.name == name) {
            None => self.wrong(line, format!("there is no service {name:?}")),
            Some(service) if service.verdict != state => self.wrong(line, is_not(service, state)),
            Some(_) => {}
        }
    }

    fn missing(&mut self, line: usize, named: &[&str], status: &Status) {
        for service in status.services.iter().filter(|service| !named.contains(&service.name.as_str())) {
            self.wrong(line, format!("{} is missing; it is {}", service.name, service.verdict));
        }
    }

    fn claim(&mut self, line: usize, service: &ServiceStatus, claim: &Claim) {
        self.claims += 1;
        let is_true = match claim.says {
            Says::Good => matches!(service.verdict.as_str(), "up" | "degraded" | "completed"),
            Says::Bad => matches!(
                service.verdict.as_str(),
                "down" | "crash_looping" | "gave_up" | "gone" | "stopped" | "degraded" | "stale"
            ),
        };
        if !is_true {
            self.wrong(line, is_not(service, &claim.word));
        }
    }
}

fn is_not(service: &ServiceStatus, said: &str) -> String {
    let why = if service.why.is_empty() { String::new() } else { format!(": {}", service.why) };
    format!("says {} is {said}; it is {}{why}", service.name, service.verdict)
}

/// `… 7 of 8 services are up …`
fn counts(text: &str) -> Option<(usize, usize)> {
    let (before, _) = text.split_once(" services are up")?;
    let mut words = before.rsplit(' ');
    let (all, of, up) = (words.next()?, words.next()?, words.next()?);
    (of == "of").then_some((up.parse().ok()?, all.parse().ok()?))
}

/// What people say of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    says: Says,
    word: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Good,
    Bad,
}

/// Reads a row of a table (`| web | ✅ healthy |`) or an item of a list (`- **web**: healthy`).
fn claim<'a>(text: &str, status: &'a Status) -> Option<(&'a ServiceStatus, Claim)> {
    let named = |text: &str| {
        let text = bare(text);
        status.services.iter().find(|service| {
            text.strip_prefix(&service.name).is_some_and(|rest| {
                let rest = rest.trim_start_matches(['*', '_', '`', '~', ' ']);
                rest.is_empty() || rest.starts_with('(')
            })
        })
    };
    if text.starts_with('|') {
        let cells = cells(text);
        let (at, service) = cells.iter().enumerate().find_map(|(at, cell)| Some((at, named(cell)?)))?;
        let others = cells.iter().enumerate().filter(|(other, _)| *other != at);
        return others.filter_map(|(_, cell)| word(cell)).next().map(|claim| (service, claim));
    }
    let item = text.strip_prefix("- ").or_else(|| text.strip_prefix("* ")).or_else(|| text.strip_prefix("+ "))?;
    let (name, rest) = [": ", " — ", " – ", " - "].iter().find_map(|dash| item.split_once(dash))?;
    // A sign may come first: `- ✅ web: sign-in`.
    let name_alone = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && !"`*_".contains(c));
    let service = named(name_alone)?;
    word(name).filter(|_| name_alone.len() < name.len()).or_else(|| word(rest)).map(|claim| (service, claim))
}

/// The claim with which a text begins.
fn word(text: &str) -> Option<Claim> {
    let text = bare(text);
    let first = text.split_whitespace().next()?;
    let first = first.trim_matches(|c: char| c.is_ascii_punctuation() || c == '\u{fe0f}').to_lowercase();
    let says = match first.as_str() {
        first if GOOD.contains(&first) => Says::Good,
        first if BAD.contains(&first) => Says::Bad,
        _ => return None,
    };
    Some(Claim { says, word: first })
}

/// Cells of a row, without decoration.
fn cells(text: &str) -> Vec<&str> {
    let inner = text.strip_prefix('|').map(|text| text.strip_suffix('|').unwrap_or(text));
    inner.map(|inner| inner.split('|').map(str::trim).collect()).unwrap_or_default()
}

/// Without emphasis and code marks.
fn bare(text: &str) -> &str {
    text.trim().trim_matches(['*', '_', '`', '~', ' ', ':'])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::section;
    use super::*;

    fn status() -> Status {
        let service = |name: &str, verdict: &str, why: &str| {
            json!({ "name": name, "critical": true, "verdict": verdict, "why": why, "since": "2026-11-29T00:00:00Z",
                    "running_unchecked": false, "needs": { "hard": [], "soft": [] }, "checks": [] })
        };
        let services =
            [service("web", "up", ""), service("web-db", "down", "refused"), service("mail", "degraded", "slow")];
        serde_json::from_value(json!({ "overall": "down", "reason": "", "timestamp": "", "sequence": 1, "version": "0",
                                       "services": services }))
        .unwrap()
    }

    #[track_caller]
    fn check_document(document: &str, claims: usize, wrong: &[(usize, &str)]) {
        let checked = check(document, &status());
        let found: Vec<(usize, &str)> = checked.wrong.iter().map(|wrong| (wrong.line, wrong.text.as_str())).collect();
        assert_eq!((checked.claims, &found[..]), (claims, wrong), "{document}");
    }

    #[test]
    fn what_people_write_is_held_against_what_is() {
        for (line, claims, wrong) in [
            ("| web | ✅ Healthy |", 1, None),
            ("| `web-db` (5432) | ✅ Operational | port |", 1, Some("says web-db is ✅; it is down: refused")),
            ("| 1 | **web-db** | running |", 1, Some("says web-db is running; it is down: refused")),
            ("| web | ❌ |", 1, Some("says web is ❌; it is up")),
            ("- **web-db**: healthy", 1, Some("says web-db is healthy; it is down: refused")),
            ("* web-db — down since noon", 1, None),
            ("- ✅ web-db: the database", 1, Some("says web-db is ✅; it is down: refused")),
            ("- mail: working", 1, None),
            ("- web: the page of the shop", 0, None),
            ("- web-dbs: healthy", 0, None),
            ("| other | healthy |", 0, None),
            ("The web is up.", 0, None),
        ] {
            let wrong: Vec<(usize, &str)> = wrong.into_iter().map(|text| (1, text)).collect();
            check_document(line, claims, &wrong);
        }
        check_document("```\n- web-db: healthy\n```\n- web: ok", 1, &[]);
    }

    #[test]
    fn our_own_section_is_true_when_it_is_written_and_told_when_it_is_not() {
        let now = "2026-11-29T01:00:00Z".parse().unwrap();
        let section = section::of(&status(), now);
        check_document(&section, 4, &[]);
        let old = section.replace("🔴 down |", "🟢 up |").replace("| mail |", "| post |").replace("1 of 3", "2 of 3");
        assert_ne!(old, section);
        let wrong = [
            (2, "says 2 of 3 services are up; 1 of 3 are"),
            (7, "says web-db is up; it is down: refused"),
            (8, "there is no service \"post\""),
            (1, "mail is missing; it is degraded"),
        ];
        check_document(&old, 4, &wrong);
    }
}
