//! Finds what a document says of services, in its status section and in tables, lists and sentences that people wrote, and
//! holds it against what is. What stands in fenced code is an example.

use monitor::export::{ServiceStatus, Status};

use super::prose::{Claim, Fence, Says, about, cells, claim, counted, item, names, plain};
use super::section::{BEGIN, END, headline, state};

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

/// A status section that is being read.
struct Section<'a> {
    begins: usize,
    has_headline: bool,
    named: Vec<&'a str>,
}

/// Reads a document.
pub(super) fn check(document: &str, status: &Status) -> Checked {
    let mut checked = Checked::default();
    let mut fence = None;
    let mut section: Option<Section<'_>> = None;
    let mut is_of_services = false;
    for (index, text) in document.lines().enumerate() {
        let (line, text) = (index + 1, text.trim());
        let before = fence;
        fence = Fence::after(fence, text);
        if before.is_some() || fence.is_some() {
            continue;
        }
        if text == BEGIN {
            section = Some(Section { begins: line, has_headline: false, named: Vec::new() });
        } else if text == END {
            if let Some(section) = section.take() {
                checked.end(&section, status);
            }
        } else if let Some(section) = &mut section {
            checked.of_section(line, text, section, status);
        } else if let Some(cells) = cells(text) {
            is_of_services |= is_header(&cells);
            checked.row(line, &cells, is_of_services, status);
            continue;
        } else {
            checked.sentence(line, text, status);
        }
        is_of_services = false;
    }
    if let Some(section) = section {
        checked.wrong(section.begins, format!("the status section does not end; add {END}"));
    }
    checked
}

/// `| Service | Status |`: every row below is about one.
fn is_header(cells: &[&str]) -> bool {
    let has = |words: &[&str]| cells.iter().any(|cell| words.contains(&plain(cell).to_lowercase().as_str()));
    has(&["service", "services"]) && has(&["status", "state", "health"])
}

impl Checked {
    fn wrong(&mut self, line: usize, text: String) {
        self.wrong.push(Wrong { line, text });
    }

    /// Headline and rows of the section must say what they would say now.
    fn of_section<'a>(&mut self, line: usize, text: &'a str, section: &mut Section<'a>, status: &Status) {
        if let Some((said, _)) = text.split_once(", as of ").filter(|_| !text.starts_with('|')) {
            self.claims += 1;
            section.has_headline = true;
            let headline = headline(status);
            if said != headline {
                self.wrong(line, format!("says {said:?}; it is {headline:?}"));
            }
            return;
        }
        let cells = cells(text).unwrap_or_default();
        let [name, said, ..] = cells[..] else { return };
        if name == "Service" || name.starts_with("---") {
            return;
        }
        self.claims += 1;
        section.named.push(name);
        match status.services.iter().find(|service| service.name == name) {
            None => self.wrong(line, format!("there is no service {name:?}")),
            Some(service) if state(service) != said => self.wrong(line, is_not(service, said)),
            Some(_) => {}
        }
    }

    fn end(&mut self, section: &Section<'_>, status: &Status) {
        if !section.has_headline {
            self.wrong(section.begins, format!("the headline is missing; it is {:?}", headline(status)));
        }
        let is_missing = |service: &&ServiceStatus| !section.named.contains(&service.name.as_str());
        for service in status.services.iter().filter(is_missing) {
            self.wrong(section.begins, format!("{} is missing; it is {}", service.name, service.verdict));
        }
    }

    fn row(&mut self, line: usize, cells: &[&str], is_of_services: bool, status: &Status) {
        let known = cells.iter().enumerate().find_map(|(at, cell)| Some((at, named(cell, status)?)));
        let of_others = |at: Option<usize>| {
            let others = cells.iter().enumerate().filter(move |(other, _)| Some(*other) != at);
            others.filter_map(|(_, cell)| claim(cell)).next()
        };
        match known {
            Some((at, service)) => {
                if let Some(claim) = of_others(Some(at)) {
                    self.claim(line, service, &claim);
                }
            }
            None if is_of_services && of_others(None).is_some() => {
                self.claims += 1;
                let name = cells.first().map(|cell| plain(cell)).unwrap_or_default();
                self.wrong(line, format!("there is no service {name:?}"));
            }
            None => {}
        }
    }

    fn sentence(&mut self, line: usize, text: &str, status: &Status) {
        if let Some((said, all)) = counted(text) {
            self.claims += 1;
            let working = status.services.iter().filter(|service| works(service)).count();
            let are = status.services.len();
            if said.or(all).unwrap_or(are) != working || all.is_some_and(|all| all != are) {
                let said = said.map_or_else(|| "all services".to_owned(), |said| format!("{said} services"));
                self.wrong(line, format!("says {said} work; {working} of {are} do"));
            }
            return;
        }
        let Some(item) = item(text).map(plain) else { return };
        let Some((sign, subject, says)) = about(&item) else { return };
        let Some(service) = named(subject, status) else { return };
        let signed = sign.and_then(|sign| claim(sign.encode_utf8(&mut [0; 4])));
        if let Some(claim) = signed.or_else(|| claim(says)) {
            self.claim(line, service, &claim);
        }
    }

    fn claim(&mut self, line: usize, service: &ServiceStatus, claim: &Claim) {
        self.claims += 1;
        let is_true = match claim.says {
            Says::Good => works(service),
            Says::Bad => !matches!(service.verdict.as_str(), "up" | "completed" | "starting" | "unknown"),
        };
        if !is_true {
            self.wrong(line, is_not(service, &claim.word));
        }
    }
}

/// Whether a person would say so.
fn works(service: &ServiceStatus) -> bool {
    matches!(service.verdict.as_str(), "up" | "degraded" | "completed")
}

fn named<'a>(text: &str, status: &'a Status) -> Option<&'a ServiceStatus> {
    status.services.iter().find(|service| names(text, &service.name))
}

fn is_not(service: &ServiceStatus, said: &str) -> String {
    let why = if service.why.is_empty() { String::new() } else { format!(": {}", service.why) };
    format!("says {} is {said}; it is {}{why}", service.name, service.verdict)
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
    fn lies_are_found_however_they_are_written() {
        for (line, word) in [
            ("| `web-db` (5432) | ✅ Operational | port |", "✅"),
            ("| 1 | **web-db** | running |", "running"),
            ("web-db | ✅Healthy", "✅"),
            ("| [web-db](#x) | :white_check_mark: |", "✅"),
            ("| Web-DB service | 🟢 |", "🟢"),
            ("- **web-db**: healthy", "healthy"),
            ("- **web-db:** healthy", "healthy"),
            ("1. web-db: healthy", "healthy"),
            ("- [x] web-db: healthy", "healthy"),
            ("> - web-db: up", "up"),
            ("- [web-db](x): Healthy!", "healthy"),
            ("- web-db is fully operational", "operational"),
            ("- web-db: status up", "up"),
            ("- web-db — up since noon", "up"),
            ("- ✅ web-db: the database", "✅"),
        ] {
            check_document(line, 1, &[(1, &format!("says web-db is {word}; it is down: refused"))]);
        }
        check_document("| web | ❌ |", 1, &[(1, "says web is ❌; it is up")]);
        check_document("All services are up.", 1, &[(1, "says all services work; 2 of 3 do")]);
        check_document("**3 of 3 services** are healthy", 1, &[(1, "says 3 services work; 2 of 3 do")]);
        check_document("| Service | Status |\n|---|---|\n| ghost | ✅ |\n", 1, &[(3, "there is no service \"ghost\"")]);
    }

    #[test]
    fn what_is_true_or_no_claim_is_left_alone() {
        for (line, claims) in [
            ("| web | ✅ Healthy |", 1),
            ("* web-db — down since noon", 1),
            ("- mail: working", 1),
            ("2 of 3 services are running", 1),
            ("- web: the page of the shop", 0),
            ("- web: red button page", 0),
            ("- web-db: up the road", 0),
            ("- web-dbs: healthy", 0),
            ("| other | healthy |", 0),
            ("The web is up.", 0),
        ] {
            check_document(line, claims, &[]);
        }
        let code = "````md\n```\n- web-db: healthy\n```\n- web-db: up\n````\n- web: ok\n```\n~~~\n- web-db: ok\n```\n- web: ok";
        check_document(code, 2, &[]);
    }

    #[test]
    fn our_own_section_is_true_when_it_is_written_and_every_change_of_it_is_told() {
        let section = section::of(&status(), "2026-11-29T01:00:00Z".parse().unwrap());
        check_document(&section, 4, &[]);
        let headline = "🔴 **down**: 1 of 3 services are up";
        let told = |changed: &str, wrong: &[(usize, &str)]| {
            assert_ne!(changed, section);
            let found = check(changed, &status()).wrong;
            let found: Vec<(usize, &str)> = found.iter().map(|wrong| (wrong.line, wrong.text.as_str())).collect();
            assert_eq!(found, wrong, "{changed}");
        };
        let green = headline.replace("🔴 **down**", "🟢 **up**");
        told(&section.replace(headline, &green), &[(2, &format!("says {green:?}; it is {headline:?}"))]);
        told(&section.replace("| 🔴 down |", "| 🟢 up |"), &[(7, "says web-db is 🟢 up; it is down: refused")]);
        told(&section.replace("| 🔴 down |", "| 🟢 down |"), &[(7, "says web-db is 🟢 down; it is down: refused")]);
        let missing = [(8, "there is no service \"post\""), (1, "mail is missing; it is degraded")];
        told(&section.replace("| mail |", "| post |"), &missing);
        let without = section.lines().filter(|line| !line.contains("as of")).collect::<Vec<_>>().join("\n");
        told(&without, &[(1, &format!("the headline is missing; it is {headline:?}"))]);
        told(section.trim_end_matches(END), &[(1, "the status section does not end; add <!-- /monitor:status -->")]);
    }
}
