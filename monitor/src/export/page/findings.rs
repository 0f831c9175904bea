//! `GET /findings`: everything that is to be mended and is no outage, by file and by service, with what to write instead.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use kit::clock::Stamp;
use kit::page::{Tone, words};

use super::{Moment, When};
use crate::doctor::Severity;
use crate::export::findings::{FindingStatus, FindingsQuery, all, count};
use crate::export::shared::Shared;

/// How many findings there are, and the look of the worst: for the navigation of every page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Findings(pub(super) usize, pub(super) Tone);

/// Counts them for whoever makes the page.
pub(super) async fn counted(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let found = all(&shared, Stamp::now());
    request.extensions_mut().insert(Findings(found.len(), worst(&found)));
    next.run(request).await
}

#[derive(Template)]
#[template(path = "findings.html")]
pub(super) struct FindingsPage {
    tone: Tone,
    sentence: String,
    counts: String,
    examined: Option<When>,
    wanted: FindingsQuery,
    services: BTreeSet<String>,
    rules: BTreeSet<&'static str>,
    groups: Vec<Group>,
    left_out: usize,
    not_checked: Vec<String>,
    /// No file is named that could be examined.
    reads_nothing: bool,
}

/// Findings that are mended at one place.
struct Group {
    title: String,
    /// The service, if it has a page.
    service: Option<String>,
    counts: String,
    items: Vec<Item>,
}

/// One finding as it is shown.
pub(super) struct Item {
    pub(super) finding: FindingStatus,
    pub(super) tone: Tone,
    /// The service, where the page or its heading does not name it already.
    pub(super) name: Option<String>,
    /// Where it stands, as far as the heading does not say so already.
    pub(super) place: String,
    pub(super) since: When,
}

/// Makes the view, its tone and the window's title.
pub(super) fn view(shared: &Shared, wanted: FindingsQuery, moment: &Moment) -> (FindingsPage, Tone, String) {
    let found = all(shared, moment.now);
    let examined = shared.examined.load();
    let settings = shared.doctor.load();
    let (tone, sentence) = headline(&found, examined.at.is_some());
    let title = sentence.clone();
    let page = FindingsPage {
        tone,
        sentence,
        counts: in_words(&found),
        examined: examined.at.map(|at| moment.when(at)),
        services: found.iter().filter_map(|finding| finding.service.clone()).collect(),
        rules: found.iter().map(|finding| finding.rule).collect(),
        groups: groups(shared, found.into_iter().filter(|finding| wanted.takes(finding)), moment),
        wanted,
        left_out: examined.left_out,
        not_checked: examined.not_checked.clone(),
        reads_nothing: settings.projects.is_empty() && settings.units.is_empty(),
    };
    (page, tone, title)
}

/// Returns what the doctor finds about one service of its files.
pub(super) fn of_service(shared: &Shared, name: &str, moment: &Moment) -> Vec<Item> {
    let found = all(shared, moment.now).into_iter();
    let of_it = found.filter(|finding| finding.file.is_some() && finding.is_about(name));
    let item = |finding: FindingStatus| {
        let file = finding.file.clone().unwrap_or_default();
        let item = item(finding, moment);
        Item { name: None, place: if item.place.is_empty() { file } else { format!("{file}, {}", item.place) }, ..item }
    };
    of_it.map(item).collect()
}

fn headline(found: &[FindingStatus], is_examined: bool) -> (Tone, String) {
    let (errors, warnings) = (count(found, Severity::Error), count(found, Severity::Warning));
    let sentence = match (errors, warnings) {
        (0, 0) if !is_examined => return (Tone::Blind, "Nothing was examined yet".to_owned()),
        (0, 0) => "Nothing is to be mended".to_owned(),
        (0, warnings) => format!("{} to look at", words::count(warnings as u64, "warning")),
        (errors, _) => format!("{} to mend", words::count(errors as u64, "error")),
    };
    (worst(found), sentence)
}

fn worst(found: &[FindingStatus]) -> Tone {
    found.iter().map(|finding| finding.severity).max().map_or(Tone::Good, of_severity)
}

fn of_severity(severity: Severity) -> Tone {
    match severity {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Warn,
    }
}

fn in_words(found: &[FindingStatus]) -> String {
    let of = |severity: Severity| {
        let count = count(found, severity) as u64;
        (count > 0).then(|| words::count(count, severity.word()))
    };
    [Severity::Error, Severity::Warning].into_iter().filter_map(of).collect::<Vec<_>>().join(", ")
}

/// Where the worst is comes first: the list is in that order already.
fn groups(shared: &Shared, found: impl Iterator<Item = FindingStatus>, moment: &Moment) -> Vec<Group> {
    let catalogue = shared.catalogue.load();
    let mut sorted: Vec<(String, Vec<FindingStatus>)> = Vec::new();
    for finding in found {
        let title = title(&finding);
        match sorted.iter_mut().find(|(known, _)| *known == title) {
            Some((_, of_it)) => of_it.push(finding),
            None => sorted.push((title, vec![finding])),
        }
    }
    let group = |(title, found): (String, Vec<FindingStatus>)| Group {
        service: catalogue.service(&title).map(|card| card.name.to_string()),
        counts: in_words(&found),
        items: found.into_iter().map(|finding| item(finding, moment)).collect(),
        title,
    };
    sorted.into_iter().map(group).collect()
}

fn title(finding: &FindingStatus) -> String {
    match (finding.file.as_deref(), finding.service.as_deref()) {
        (Some("self"), _) => "What the monitor stands on".to_owned(),
        (Some(file), _) => file.to_owned(),
        (None, Some(service)) => service.to_owned(),
        (None, None) => "What is found by itself".to_owned(),
    }
}

fn item(finding: FindingStatus, moment: &Moment) -> Item {
    let place = match (finding.line, finding.column) {
        (Some(line), Some(column)) => format!("line {line}:{column}"),
        _ => String::new(),
    };
    let name = finding.service.clone().filter(|_| finding.file.is_some());
    Item { tone: of_severity(finding.severity), name, place, since: moment.when(finding.since), finding }
}
