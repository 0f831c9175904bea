//! What the answer must be: its code, certain records, how many. What it is instead is told in words.

use std::net::IpAddr;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_resolver::proto::rr::{RData, RecordType};
use kit::config::{Cursor, Fields};

use super::question::{CODES, Question, show_code, show_name, show_type};
use crate::probe::expect::excerpt;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::reader::Reader;

/// Why a server failed, in its own words (Extended DNS Errors, RFC 8914 section 2).
const EXTENDED_ERROR: u16 = 15;

/// Checked wishes.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) code: ResponseCode,
    /// Records, in the form in which they are compared.
    records: Vec<String>,
    matching: Matching,
    least: u16,
}

/// How many of the wanted records must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Matching {
    All,
    Any,
    Exactly,
}

impl Wanted {
    /// Decodes `rcode`, `answer`, `match` and `min_answers`. An answer of records is wanted if nothing else is said.
    pub(super) fn decode(fields: &Fields<'_>, kind: Option<RecordType>) -> Option<Self> {
        let code = fields.get("rcode").map_or(Some(ResponseCode::NoError), |c| decode_code(&c));
        let items = fields.get("answer").map(|c| c.items()).unwrap_or_default();
        let records: Vec<Option<String>> = items.iter().map(|c| decode_record(c, kind?)).collect();
        let matching = fields.get("match").map_or(Some(Matching::All), |c| {
            c.one_of(&[("all", Matching::All), ("any", Matching::Any), ("exactly", Matching::Exactly)])
        });
        if records.is_empty() && fields.has("match") {
            fields.cursor().mistake("\"match\" says how to compare; write the records to compare with as \"answer\"");
        }
        let usual = u16::from(code == Some(ResponseCode::NoError));
        let least = fields.get("min_answers").map_or(Some(usual), |c| c.whole(0..=1000));
        let records: Option<Vec<String>> = records.into_iter().collect();
        Some(Self { code: code?, records: records?, matching: matching?, least: least? })
    }

    /// Judges the answer; `found` are the records that were asked for.
    pub(super) fn judge(&self, asked: &Question, message: &Message, found: &[String]) -> Result<(), Outcome> {
        let code = message.metadata.response_code;
        if code != self.code {
            let expected = if self.code == ResponseCode::NoError {
                String::new()
            } else {
                format!(", expected {}", show_code(self.code))
            };
            let text = format!("{}{expected}{}", code_words(code, asked), extended_error(message));
            return Err(Outcome::fail(ReasonCode::Dns, text));
        }
        if found.len() < usize::from(self.least) {
            return Err(Outcome::fail(ReasonCode::Dns, self.too_few(asked, message, found)));
        }
        let there: Vec<String> = found.iter().map(|record| comparable(record, asked.kind)).collect();
        let is_there = |record: &String| there.contains(record);
        let fine = match self.matching {
            _ if self.records.is_empty() => true,
            Matching::All => self.records.iter().all(is_there),
            Matching::Any => self.records.iter().any(is_there),
            Matching::Exactly => {
                self.records.iter().all(is_there) && there.iter().all(|record| self.records.contains(record))
            }
        };
        if fine { Ok(()) } else { Err(Outcome::fail(ReasonCode::Body, self.mismatch(asked, found))) }
    }

    fn too_few(&self, asked: &Question, message: &Message, found: &[String]) -> String {
        let (name, kind) = (show_name(&asked.name), show_type(asked.kind));
        if !found.is_empty() {
            let shown = excerpt(found.join(", ").as_bytes());
            return format!("{name} has {} {kind} records, expected at least {}: {shown}", found.len(), self.least);
        }
        let alias = message.answers.iter().rev().find_map(|record| match &record.data {
            RData::CNAME(to) => Some(format!("; it is an alias of {}", show_name(to))),
            _ => None,
        });
        format!("{name} has no {kind} record{}", alias.unwrap_or_default())
    }

    fn mismatch(&self, asked: &Question, found: &[String]) -> String {
        let how = match self.matching {
            Matching::All => "all of",
            Matching::Any => "one of",
            Matching::Exactly => "exactly",
        };
        let list = |records: &[String]| excerpt(records.join(", ").as_bytes());
        let there = if found.is_empty() { "none".to_owned() } else { list(found) };
        format!("{asked}: {there}; expected {how} {}", list(&self.records))
    }
}

fn decode_code(cursor: &Cursor<'_>) -> Option<ResponseCode> {
    let text = cursor.text()?.to_ascii_uppercase();
    let found = CODES.iter().find(|(name, _)| *name == text).map(|(_, code)| *code);
    if found.is_none() {
        let shown = cursor.node().shown();
        cursor.mistake(format!("{shown} is not a response code; write NOERROR, NXDOMAIN, SERVFAIL, REFUSED …"));
    }
    found
}

fn decode_record(cursor: &Cursor<'_>, kind: RecordType) -> Option<String> {
    let text = cursor.text()?;
    let fits = match (kind, text.parse::<IpAddr>()) {
        (RecordType::A, found) => matches!(found, Ok(IpAddr::V4(_))),
        (RecordType::AAAA, found) => matches!(found, Ok(IpAddr::V6(_))),
        _ => !text.is_empty(),
    };
    if !fits {
        cursor.mistake(format!("{} cannot be the data of a record of type {}", cursor.node().shown(), show_type(kind)));
        return None;
    }
    Some(comparable(&text, kind))
}

/// Addresses by value, texts as they are, names whatever their case and whether or not they end with a dot.
fn comparable(record: &str, kind: RecordType) -> String {
    if let Ok(address) = record.parse::<IpAddr>() {
        return address.to_string();
    }
    if kind == RecordType::TXT {
        return record.to_owned();
    }
    let words =
        record.split_whitespace().map(|word| word.strip_suffix('.').filter(|bare| !bare.is_empty()).unwrap_or(word));
    words.collect::<Vec<&str>>().join(" ").to_ascii_lowercase()
}

fn code_words(code: ResponseCode, asked: &Question) -> String {
    let name = show_name(&asked.name);
    match code {
        ResponseCode::NoError => format!("{name} exists (NOERROR)"),
        ResponseCode::NXDomain => format!("{name} does not exist (NXDOMAIN)"),
        ResponseCode::ServFail => format!("{name} cannot be resolved: the server answered SERVFAIL"),
        ResponseCode::Refused => format!("the server does not answer us for {name} (REFUSED)"),
        ResponseCode::FormErr => "the server does not understand the question (FORMERR)".to_owned(),
        ResponseCode::NotImp => format!("the server knows no questions of type {} (NOTIMP)", show_type(asked.kind)),
        ResponseCode::NotAuth => format!("the server is not responsible for {name} (NOTAUTH)"),
        code => format!("the server answered {}", show_code(code)),
    }
}

/// ` (DNSSEC Bogus …)`: what the server adds to its code, if it does.
fn extended_error(message: &Message) -> String {
    let option = message.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Unknown(EXTENDED_ERROR)));
    let Some(EdnsOption::Unknown(_, bytes)) = option else { return String::new() };
    let mut rest = Reader(bytes);
    let Some(code) = rest.u16() else { return String::new() };
    let text = excerpt(rest.0);
    let text = if text.is_empty() { text } else { format!(" {text:?}") };
    format!(" (extended error {code}{text})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_compared_as_dns_does() {
        for (left, right, kind) in [
            ("2001:DB8::1", "2001:db8:0:0::1", RecordType::AAAA),
            ("10 Mail.Example.com.", "10  mail.example.com", RecordType::MX),
            ("Example.com.", "example.com", RecordType::CNAME),
        ] {
            assert_eq!(comparable(left, kind), comparable(right, kind), "{left}");
        }
        assert_ne!(comparable("v=SPF1.", RecordType::TXT), comparable("v=spf1", RecordType::TXT));
    }
}
