//! Both programs, side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures_util::StreamExt;
use futures_util::stream::iter;
use monitor::export::{Difference, How};
use tempfile::TempDir;
use testkit::{Server, free_port};

use crate::answer::Answer;

/// Labels that came after the version that is compared with.
const NEW_LABELS: [(&str, &str); 1] = [("probe_ssl_last_chain_info", "serialnumber")];

/// One wish to probe.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// What is looked at, for the table and for people.
    pub(crate) name: &'static str,
    /// `/probe`, but where something else is asked for.
    pub(crate) path: &'static str,
    pub(crate) query: String,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    /// What both must say, so that a case that tests nothing is seen.
    pub(crate) succeeds: Option<bool>,
}

impl Case {
    pub(crate) fn new(name: &'static str, module: &str, target: &str, succeeds: bool) -> Self {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("module", module)
            .append_pair("target", target)
            .finish();
        Self { succeeds: Some(succeeds), ..Self::query(name, &query) }
    }

    pub(crate) fn query(name: &'static str, query: &str) -> Self {
        Self { name, path: "/probe", query: query.to_owned(), headers: Vec::new(), succeeds: None }
    }

    pub(crate) fn path(name: &'static str, path: &'static str) -> Self {
        Self { path, ..Self::query(name, "") }
    }

    pub(crate) fn and(mut self, more: &str) -> Self {
        self.query.push_str(more);
        self
    }

    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// One difference that was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    case: &'static str,
    what: String,
    how: How,
    shown: String,
}

impl Found {
    pub(crate) fn is_of(&self, difference: &Difference) -> bool {
        if difference.how == How::Succeeds {
            return difference.what == self.case;
        }
        let is_case = difference.cases.is_empty() || difference.cases.contains(&self.case);
        is_case && difference.what == self.what && difference.how == self.how
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?} {}: {}", self.case, self.how, self.what, self.shown)
    }
}

pub(crate) struct Both {
    theirs: Server,
    pub(crate) ours: Server,
    _folder: TempDir,
}

impl Both {
    pub(crate) async fn start(modules: &str, targets: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (theirs, ours, main) = (free_port(), free_port(), free_port());
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("blackbox.yml"), format!("modules:\n{modules}")).unwrap();
        let config = format!(
            "listen: 127.0.0.1:{main}\ndata_dir: {}\nservices: {{}}\n\
             blackbox: {{ listen: '127.0.0.1:{ours}', modules: {}, targets: {targets:?} }}\n",
            path("data"),
            path("blackbox.yml"),
        );
        std::fs::write(path("monitor.yml"), config).unwrap();
        let file = format!("--config.file={}", path("blackbox.yml"));
        let listen = format!("--web.listen-address=127.0.0.1:{theirs}");
        let theirs = Server::start(theirs, "prometheus-blackbox-exporter", &[file, listen]).await;
        let run = ["run".to_owned(), "--config".to_owned(), path("monitor.yml")];
        let ours = Server::start(ours, env!("CARGO_BIN_EXE_monitor"), &run).await;
        Self { theirs, ours, _folder: folder }
    }

    /// Asks both, case by case, and returns every difference.
    pub(crate) async fn compare(&self, cases: &[Case]) -> Vec<Found> {
        let found = iter(cases).map(|case| self.compare_one(case)).buffer_unordered(4);
        found.collect::<Vec<Vec<Found>>>().await.concat()
    }

    async fn compare_one(&self, case: &Case) -> Vec<Found> {
        let ask = |server: &Server| {
            let url = format!("http://{}{}?{}", server.addr(), case.path, case.query);
            async move { Answer::of("GET", &url, &case.headers).await }
        };
        let (theirs, ours) = (ask(&self.theirs).await, ask(&self.ours).await);
        let found = |what: &str, how, shown: String| Found { case: case.name, what: what.to_owned(), how, shown };
        if theirs.status != 200 || ours.status != 200 {
            let same = theirs.status == ours.status && theirs.body == ours.body;
            let shown = || format!("{} {:?}, ours {} {:?}", theirs.status, theirs.text(), ours.status, ours.text());
            return if same { Vec::new() } else { vec![found(case.path, How::Answer, shown())] };
        }
        assert_eq!(theirs.header("content-type"), ours.header("content-type"), "{}", case.name);
        let ((theirs, their_help), (ours, our_help)) = (theirs.samples(), ours.samples());
        for (name, help) in &their_help {
            assert_eq!(our_help.get(name).unwrap_or(help), help, "{name}");
        }
        if let Some(succeeds) = case.succeeds {
            let expected = f64::from(u8::from(succeeds));
            let is_listed = theirs["probe_success"] == expected || ours["probe_success"] == expected;
            assert!(is_listed, "{}: theirs {theirs:?}, ours {ours:?}", case.name);
        }
        let mut differences: Vec<Found> = Vec::new();
        let ours = without_new_labels(ours, |what| differences.push(found(what, How::More, String::new())));
        let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
        for sample in names {
            let name = sample.split('{').next().unwrap();
            match (theirs.get(sample), ours.get(sample)) {
                (None, Some(value)) => differences.push(found(name, How::More, format!("{sample} {value}"))),
                (Some(value), None) => differences.push(found(name, How::Less, format!("{sample} {value}"))),
                (Some(theirs), Some(ours)) if !is_time(name) && theirs != ours => {
                    differences.push(found(name, How::Value, format!("{sample} {theirs}, ours {ours}")));
                }
                _ => {}
            }
        }
        differences
    }
}

/// What takes how long is no fact of the target.
fn is_time(name: &str) -> bool {
    name.ends_with("_duration_seconds") || name.ends_with("_time_seconds")
}

fn without_new_labels(samples: BTreeMap<String, f64>, mut tell: impl FnMut(&str)) -> BTreeMap<String, f64> {
    let strip = |(sample, value): (String, f64)| {
        for (name, label) in NEW_LABELS {
            let Some(start) = sample.find(&format!("{label}=\"")).filter(|_| sample.starts_with(name)) else {
                continue;
            };
            let end = start + sample[start..].find("\",").unwrap() + 2;
            tell(&format!("{name}{{{label}}}"));
            return (format!("{}{}", &sample[..start], &sample[end..]), value);
        }
        (sample, value)
    };
    samples.into_iter().map(strip).collect()
}
