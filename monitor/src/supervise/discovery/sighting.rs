//! What a runtime says of a workload that wants to be watched. Pure, and bounded whatever it says: whoever may start a
//! container writes its labels.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::supervise::workload::Sought;

/// What the labels that are ours begin with.
pub const LABEL_PREFIX: &str = "monitor.";
/// Labels of one workload that are read: sixteen checks with four settings each.
const MAX_LABELS: usize = 64;
/// Longest label with its value, in bytes.
const MAX_LABEL_BYTES: usize = 1024;
/// Longest service name (RFC 1123 section 2.1).
const MAX_NAME: usize = 63;

/// A workload that wants to be watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// What it is, for people, such as `container "web-1"`.
    pub shown: String,
    /// What the runtime calls it, where a name may be used twice one after the other.
    pub id: String,
    /// What the runtime calls it now.
    #[serde(default)]
    pub called: String,
    /// How it is found again.
    pub sought: Sought,
    /// Which it is of several that are one service.
    #[serde(default)]
    pub one_of: Option<OneOf>,
    /// What the service is called if no label says so.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Where it answers.
    pub reach: Reach,
    /// Whether it runs.
    pub running: bool,
    /// When it was made, in seconds since the epoch.
    pub created_secs: i64,
}

/// Which of several that are one service a workload is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneOf {
    /// How all of them are found.
    pub all: Sought,
    /// Its number, as its runtime counts.
    pub number: u32,
}

impl Sighting {
    /// Returns how the whole service is found that it is, or is one of.
    pub fn whole(&self) -> &Sought {
        self.one_of.as_ref().map_or(&self.sought, |one_of| &one_of.all)
    }
}

/// The labels of a workload that are ours, without what they all begin with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// Values by keys.
    pub values: BTreeMap<String, String>,
    /// Keys, cut short, whose labels are too long to be read.
    pub too_long: Vec<String>,
    /// Labels beyond the largest number, which are not read.
    pub too_many: usize,
}

impl Labels {
    /// Takes those that are ours.
    pub fn of<'a>(labels: impl Iterator<Item = (&'a String, &'a String)>) -> Self {
        let ours: BTreeMap<&str, &String> =
            labels.filter_map(|(key, value)| Some((key.strip_prefix(LABEL_PREFIX)?, value))).collect();
        let mut taken = Self { too_many: ours.len().saturating_sub(MAX_LABELS), ..Self::default() };
        for (key, value) in ours.into_iter().take(MAX_LABELS) {
            if key.len() + value.len() > MAX_LABEL_BYTES {
                taken.too_long.push(clean(&key.chars().take(40).collect::<String>()));
            } else {
                taken.values.insert(clean(key), clean(value));
            }
        }
        taken
    }

    /// Returns what is wrong with how much there is.
    pub(super) fn excesses(&self) -> impl Iterator<Item = String> {
        let long = self.too_long.iter().map(|key| {
            format!("the label {LABEL_PREFIX}{key}… is not read: it is longer than {MAX_LABEL_BYTES} bytes")
        });
        let many = (self.too_many > 0).then(|| {
            format!(
                "{} labels are not read: a service has {MAX_LABELS} at most; write it into the configuration",
                self.too_many
            )
        });
        long.chain(many)
    }
}

/// Takes out what could write elsewhere than into its own place in a log or on a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Where a workload answers. Its runtime says so, never its labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// At an address of its own.
    At {
        /// The address, IPv6 in brackets.
        host: String,
        /// Whether every port is its own, or only those below.
        any_port: bool,
        /// Where its ports are reached, as far as they are known.
        ports: BTreeMap<u16, String>,
    },
    /// Nowhere yet: it has not run.
    Pending,
    /// Nowhere that we could ask, and why.
    Nowhere(String),
}

impl Reach {
    /// Returns where a port is reached; without a port the only one there is.
    ///
    /// # Errors
    /// Why there is no such, with what to write instead.
    pub fn address(&self, port: Option<u16>) -> Result<String, String> {
        match self {
            Self::Pending => Err("it has not run yet".to_owned()),
            Self::Nowhere(why) => Err(why.clone()),
            Self::At { host, any_port, ports } => match (port, ports.len()) {
                (Some(port), _) => match ports.get(&port) {
                    Some(address) => Ok(address.clone()),
                    None if *any_port => Ok(format!("{host}:{port}")),
                    None => Err(format!("port {port} is not published; {}", There(ports))),
                },
                (None, 1) => ports.values().next().cloned().ok_or_else(String::new),
                (None, _) => Err(format!("which port? {}; write it, like :8080", There(ports))),
            },
        }
    }
}

/// Says which ports there are.
struct There<'a>(&'a BTreeMap<u16, String>);

impl fmt::Display for There<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: Vec<String> = self.0.keys().take(8).map(u16::to_string).collect();
        if ports.is_empty() {
            formatter.write_str("none is")
        } else {
            write!(formatter, "there is {}", ports.join(", "))
        }
    }
}

/// Makes a service's name of what a runtime calls it: lower-case letters, digits and dashes.
pub(in crate::supervise) fn service_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(MAX_NAME);
    name.truncate(name.trim_end_matches('-').len());
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_of_a_container_becomes_a_services_name() {
        for (text, name) in [
            ("web", "web"),
            ("Shop_Web.1", "shop-web-1"),
            ("__a__b__", "a-b"),
            ("", "unnamed"),
            ("äöü", "unnamed"),
            (&format!("{}-x", "a".repeat(62)), &"a".repeat(62)),
        ] {
            assert_eq!(service_name(text), *name, "{text}");
        }
    }

    #[test]
    fn only_our_labels_are_kept_and_only_so_many_and_so_long() {
        let mut labels: BTreeMap<String, String> =
            (0..70).map(|number| (format!("monitor.check.c{number:02}.tcp"), ":80".to_owned())).collect();
        labels.insert("com.docker.compose.project".to_owned(), "shop".to_owned());
        labels.insert("monitor.about".to_owned(), "x".repeat(2000));
        labels.insert("monitor.a\nb".to_owned(), "\u{1b}[31mred".to_owned());
        let taken = Labels::of(labels.iter());
        assert_eq!((taken.values.len(), taken.too_many, taken.too_long.as_slice()), (63, 8, &["about".to_owned()][..]));
        assert_eq!(taken.values["a b"], " [31mred");
        let told: Vec<String> = taken.excesses().collect();
        assert_eq!(
            told,
            [
                "the label monitor.about… is not read: it is longer than 1024 bytes",
                "8 labels are not read: a service has 64 at most; write it into the configuration"
            ]
        );
    }

    #[test]
    fn a_port_is_the_one_that_is_written_or_the_only_one() {
        let at = |any_port, ports: &[(u16, &str)]| Reach::At {
            host: "172.17.0.2".to_owned(),
            any_port,
            ports: ports.iter().map(|(port, address)| (*port, (*address).to_owned())).collect(),
        };
        let one = [(80, "172.17.0.2:80")];
        assert_eq!(at(true, &one).address(None), Ok("172.17.0.2:80".to_owned()));
        assert_eq!(at(true, &one).address(Some(81)), Ok("172.17.0.2:81".to_owned()));
        let wrong = at(false, &[(80, "127.0.0.1:49153")]).address(Some(81)).unwrap_err();
        assert_eq!(wrong, "port 81 is not published; there is 80");
        let wrong = at(true, &[(80, "x:80"), (443, "x:443")]).address(None).unwrap_err();
        assert_eq!(wrong, "which port? there is 80, 443; write it, like :8080");
        assert_eq!(at(true, &[]).address(None).unwrap_err(), "which port? none is; write it, like :8080");
    }
}
