//! What a condition of Gatus means here: typed expectations where there are such, CEL for the rest. Where the two tools differ,
//! the stricter meaning is taken, and said.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::cel;
use super::condition::{Answer, Comparison, Condition, Operand};
use super::{numbers, text};

/// What is asked, as far as conditions mean something else for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Http,
    /// Any bytes that a socket sends back.
    Talk,
    WebSocket,
    Dns,
    Icmp,
    Grpc,
    Ssh,
    /// It answers or not, perhaps with a certificate.
    Bare,
}

/// Everything that is expected of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// None if no condition asks for one.
    pub(super) statuses: Option<BTreeSet<u16>>,
    pub(super) json: Map<String, Value>,
    pub(super) contains: Vec<String>,
    /// Regular expressions.
    pub(super) matches: Vec<String>,
    /// CEL, all of which must be true.
    pub(super) terms: Vec<String>,
    /// Records of DNS.
    pub(super) answers: Vec<String>,
    /// True if one of them is enough.
    pub(super) any_answer: bool,
    pub(super) rcode: Option<String>,
    /// Days that a registration must last.
    pub(super) domain_days: Option<String>,
    /// True if it is watched for not answering.
    pub(super) is_inverted: bool,
    /// What is stricter now, or is not as it seems.
    pub(super) notes: Vec<String>,
}

/// Statuses that an answer may have.
const STATUSES: std::ops::RangeInclusive<u16> = 100..=599;
const ALWAYS_ZERO: &str = "is no number or duration: Gatus counts it as 0; write what was meant";
const MISSING: &str = "a path that is missing is a fail now";

impl Expected {
    /// Takes one condition over.
    ///
    /// # Errors
    /// Why there is no equivalent.
    pub(super) fn add(&mut self, condition: &Condition, subject: Subject) -> Result<(), String> {
        if condition.has_more {
            return Err(
                "it has more than one comparison, and Gatus looks at the first only; write two conditions".into()
            );
        }
        if condition.text.contains("${") && !matches!(condition.left, Operand::Body(_)) {
            return Err("it has a variable in it; write the value, or an expr".into());
        }
        match &condition.left {
            Operand::Status => self.status(condition, subject),
            Operand::Connected => self.connected(condition),
            Operand::ResponseTime => self.response_time(condition, subject),
            Operand::CertificateExpiration => {
                let milliseconds = self.number(condition)?;
                self.terms.push(format!(
                    "cert_days {} {}",
                    condition.comparison.sign(),
                    cel::number(milliseconds / 86_400_000.0)
                ));
                Ok(())
            }
            Operand::DomainExpiration => {
                let milliseconds = self.number(condition)?;
                if !matches!(condition.comparison, Comparison::More | Comparison::AtLeast) {
                    return Err("of a registration only how long it must last can be expected".into());
                }
                self.domain_days = Some(cel::number(milliseconds / 86_400_000.0));
                Ok(())
            }
            Operand::DnsRcode => match (&condition.right, condition.comparison, subject) {
                (Operand::Literal(code), Comparison::Equal, Subject::Dns) => {
                    self.rcode = Some(code.clone());
                    Ok(())
                }
                _ => Err("kind dns expects one rcode; write rcode: NXDOMAIN".into()),
            },
            Operand::Ip => Err("what a name leads to is asked by a check of kind dns with answer: […]".into()),
            Operand::Context(_) => Err("what a suite remembers is sent by a journey, and not compared with".into()),
            Operand::Literal(word) if word.starts_with('[') => {
                Err(format!("{word} is no placeholder of Gatus, which takes it for a text"))
            }
            Operand::Literal(_) | Operand::Pattern(_) | Operand::Any(_) => {
                Err("it compares two texts that no answer changes".into())
            }
            Operand::Body(_) | Operand::Length(_) | Operand::Has(_) => self.body(condition, subject),
        }
    }

    /// What an order is compared with, in milliseconds if it is a duration.
    fn number(&mut self, condition: &Condition) -> Result<f64, String> {
        let Operand::Literal(written) = &condition.right else {
            return Err("two things of an answer are compared; write an expr".into());
        };
        if condition.comparison.is_equality() {
            return Err("a time or a date is hardly ever exactly so; write < or >".into());
        }
        let (number, note) = numbers::read(written).ok_or_else(|| format!("{written} {ALWAYS_ZERO}"))?;
        self.notes.extend(note);
        Ok(number)
    }

    fn status(&mut self, condition: &Condition, subject: Subject) -> Result<(), String> {
        match subject {
            // Its status is 0 once the server has said who it is.
            Subject::Ssh if condition.holds(Answer { status: 0, is_there: true }) => return Ok(()),
            Subject::Http => {}
            _ => return Err("only kind http has a status".into()),
        }
        match &condition.right {
            Operand::Literal(written) => match numbers::read(written) {
                Some((_, note)) => self.notes.extend(note),
                None => return Err(format!("{written} {ALWAYS_ZERO}")),
            },
            Operand::Pattern(_) | Operand::Any(_) => {}
            _ => return Err("a status is compared with a number".into()),
        }
        let fitting = STATUSES.filter(|status| condition.holds(Answer { status: *status, is_there: true }));
        let fitting: BTreeSet<u16> = fitting.collect();
        if fitting.is_empty() {
            self.is_inverted |= condition.holds(Answer::default());
            return Err("no answer has such a status; that nothing answers cannot be expected".into());
        }
        let both = match self.statuses.take() {
            Some(known) => known.intersection(&fitting).copied().collect(),
            None => fitting,
        };
        let is_possible = !both.is_empty();
        self.statuses = Some(both);
        is_possible.then_some(()).ok_or_else(|| "no status fits all of its conditions".into())
    }

    fn response_time(&mut self, condition: &Condition, subject: Subject) -> Result<(), String> {
        let limit = cel::number(self.number(condition)?);
        let what = if subject == Subject::Icmp { "json.rtt_max_ms" } else { "latency_ms" };
        self.terms.push(format!("{what} {} {limit}", condition.comparison.sign()));
        if subject == Subject::Http {
            self.notes.push("it counts the whole answer now, not only its headers, and stays a fail; with max_latency it would degrade".into());
        }
        Ok(())
    }

    fn body(&mut self, condition: &Condition, subject: Subject) -> Result<(), String> {
        match subject {
            Subject::Http | Subject::WebSocket => match (&condition.left, &condition.right) {
                (Operand::Body(path), _) if path.is_empty() => text::whole(self, condition),
                (Operand::Body(path), right) => self.path(condition, path, right),
                (Operand::Has(inner), right) => self.has(condition, inner, right),
                (Operand::Length(inner), right) => self.length(condition, inner, right),
                _ => Err("it cannot be said here".into()),
            },
            Subject::Talk => text::heard(self, condition),
            Subject::Dns => text::records(self, condition),
            // A server that does not serve is never a pass.
            Subject::Grpc if condition.text.contains(" == SERVING") => Ok(()),
            Subject::Grpc => Err("of gRPC only [BODY].status == SERVING, which is always expected".into()),
            Subject::Icmp | Subject::Ssh | Subject::Bare => Err("there is no body to look at".into()),
        }
    }

    fn path(&mut self, condition: &Condition, path: &str, right: &Operand) -> Result<(), String> {
        let place = cel::path(path)?;
        let is_equal = condition.comparison == Comparison::Equal;
        let not = if is_equal { "" } else { "!" };
        if !is_equal && condition.comparison == Comparison::NotEqual {
            self.notes.push(MISSING.into());
        }
        let term = match right {
            Operand::Literal(written) if is_equal => {
                let (value, note) = numbers::typed(written);
                self.notes.extend(note);
                if self.json.contains_key(path) {
                    format!("{place} == {value}")
                } else {
                    self.json.insert(path.to_owned(), value);
                    return Ok(());
                }
            }
            Operand::Literal(written) if condition.comparison == Comparison::NotEqual => {
                let (value, _) = numbers::typed(written);
                // As a text it is the same to Gatus.
                let as_text =
                    if value.is_string() { String::new() } else { format!(" && {place} != {}", json!(written)) };
                format!("{place} != {value}{as_text}")
            }
            Operand::Literal(written) => return self.order(condition, &format!("double({place})"), written),
            Operand::Pattern(pattern) if condition.comparison.is_equality() => {
                self.notes.extend(text::slashes(pattern));
                format!("{not}string({place}).matches({})", json!(text::whole_regex(pattern)?))
            }
            Operand::Any(texts) if condition.comparison.is_equality() => {
                let list: Vec<String> = texts.iter().map(|text| json!(text).to_string()).collect();
                format!("{not}(string({place}) in [{}])", list.join(", "))
            }
            Operand::Body(other) if !other.is_empty() => {
                self.notes.push("the two are compared as what they are, and a missing one is a fail now".into());
                format!("{place} {} {}", condition.comparison.sign(), cel::path(other)?)
            }
            _ => return Err("it cannot be said here; write an expr".into()),
        };
        self.terms.push(term);
        Ok(())
    }

    /// `<` and its like, with a number.
    fn order(&mut self, condition: &Condition, what: &str, written: &str) -> Result<(), String> {
        let (limit, note) = numbers::read(written).ok_or_else(|| format!("{written} {ALWAYS_ZERO}"))?;
        self.notes.extend(note);
        if condition.comparison.holds(0.0, limit) {
            self.notes.push("what is missing or no number is a fail now; Gatus counted it as 0, which passed".into());
        }
        self.notes.push("fractions count now; Gatus cut them off on both sides".into());
        self.terms.push(format!("{what} {} {}", condition.comparison.sign(), cel::number(limit)));
        Ok(())
    }

    fn has(&mut self, condition: &Condition, inner: &Operand, right: &Operand) -> Result<(), String> {
        let wanted = match (right, condition.comparison) {
            (Operand::Literal(word), Comparison::Equal) if word == "true" || word == "false" => word == "true",
            (Operand::Literal(word), Comparison::NotEqual) if word == "true" || word == "false" => word == "false",
            _ => return Err("has() is true or false".into()),
        };
        match (inner, wanted) {
            (Operand::Body(path), true) if path.is_empty() => self.matches.push(r"\S".into()),
            (Operand::Body(path), false) if path.is_empty() => self.matches.push(r"\A\s*\z".into()),
            (Operand::Body(path), true) => self.terms.push(format!("{} != null", cel::path(path)?)),
            (Operand::Body(path), false) => {
                let place = cel::path(path)?;
                if place.ends_with(']') {
                    return Err("that an entry of a list is missing is said with size(), in an expr".into());
                }
                self.notes.push("what is no JSON, or lacks what the path leads through, is a fail now".into());
                self.terms.push(format!("(!has({place}) || {place} == null)"));
            }
            _ => return Err("has() of anything but [BODY] is always so".into()),
        }
        Ok(())
    }

    fn length(&mut self, condition: &Condition, inner: &Operand, right: &Operand) -> Result<(), String> {
        let (Operand::Body(path), Operand::Literal(written)) = (inner, right) else {
            return Err("only the length of [BODY] or of something in it can be compared with a number".into());
        };
        let (limit, note) = numbers::read(written).ok_or_else(|| format!("{written} {ALWAYS_ZERO}"))?;
        self.notes.extend(note);
        let wants_some = !condition.comparison.holds(0.0, limit) && condition.comparison.holds(1.0, limit);
        if path.is_empty() && wants_some && condition.comparison.holds(1e9, limit) {
            // Anything but nothing and an empty list.
            self.matches.push(r"[^\s\[\]]".into());
            return Ok(());
        }
        let place = if path.is_empty() { "json".to_owned() } else { cel::path(path)? };
        self.notes.push("it counts entries of a list, keys of an object and characters of a text now; Gatus counted the bytes of the latter two".into());
        #[expect(clippy::cast_possible_truncation, reason = "Gatus cuts it off too")]
        let limit = limit as i64;
        self.terms.push(format!("size({place}) {} {limit}", condition.comparison.sign()));
        Ok(())
    }

    /// Every kind wants to connect.
    fn connected(&mut self, condition: &Condition) -> Result<(), String> {
        if condition.holds(Answer::default()) {
            self.is_inverted |= !condition.holds(Answer { status: 0, is_there: true });
            return Err("it passes while nothing answers, which no check can expect".into());
        }
        if condition.holds(Answer { status: 0, is_there: true }) { Ok(()) } else { Err("it never passes".into()) }
    }
}
