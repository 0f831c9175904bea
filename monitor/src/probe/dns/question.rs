//! What is asked, as bytes and for people, and whether what came is the answer to it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name, RecordType};
use kit::config::{Cursor, Fields};

use crate::probe::expect::excerpt;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::reader::Reader;
use crate::probe::wire::{Parsed, foreign};

/// UDP payload, in bytes, that we offer (EDNS(0), RFC 6891 section 6.2.3). 1232 avoids fragments on common paths (DNS
/// Flag Day 2020).
const EDNS_UDP_BYTES: u16 = 1232;
/// Every message begins with so many bytes (RFC 1035 section 4.1.1).
const HEADER_BYTES: usize = 12;
/// The bit of the header's third byte that tells an answer from a question (RFC 1035 section 4.1.1).
const IS_ANSWER: u8 = 0x80;

/// A configured question.
#[derive(Debug)]
pub(in crate::probe) struct Question {
    pub(super) name: Name,
    pub(in crate::probe) kind: RecordType,
    class: DNSClass,
    recursion: bool,
    /// False for a question as it was in 1987, without EDNS(0).
    has_edns: bool,
}

/// A question on its way: its bytes, and what its answer must repeat.
pub(in crate::probe) struct Sent<'a> {
    question: &'a Question,
    id: u16,
    pub(in crate::probe) bytes: Vec<u8>,
}

/// What a datagram is.
pub(in crate::probe) enum Heard {
    Answer(Box<Message>),
    /// Not the answer to this question, and why.
    Other(String),
}

impl Question {
    pub(super) fn decode(fields: &Fields<'_>) -> Option<Self> {
        let kind = fields.get("type").map_or(Some(RecordType::A), |c| decode_type(&c));
        let name = fields.require("name").and_then(|c| decode_name(&c, kind));
        let recursion = fields.get("recursion").map_or(Some(true), |c| c.bool());
        Some(Self { name: name?, kind: kind?, class: DNSClass::IN, recursion: recursion?, has_edns: true })
    }

    /// Makes one without extensions.
    pub(in crate::probe) fn plain(name: Name, kind: RecordType, class: DNSClass, recursion: bool) -> Self {
        Self { name, kind, class, recursion, has_edns: false }
    }

    /// Makes the message, with an id of its own.
    pub(in crate::probe) fn send(&self) -> Result<Sent<'_>, Outcome> {
        let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = self.recursion;
        let mut query = Query::query(self.name.clone(), self.kind);
        query.set_query_class(self.class);
        message.add_query(query);
        if self.has_edns {
            // Asks for the AD bit without the signatures themselves (RFC 6840 section 5.7).
            message.metadata.authentic_data = true;
            let mut edns = Edns::new();
            edns.set_max_payload(EDNS_UDP_BYTES);
            message.set_edns(edns);
        }
        let bytes = message.to_vec().map_err(|error| Outcome::local(format!("{self} cannot be asked: {error}")))?;
        Ok(Sent { question: self, id: message.metadata.id, bytes })
    }

    /// The data of the records that were asked for, as they are written in zones; aliases on the way are left out.
    pub(super) fn records_of(&self, message: &Message) -> Vec<String> {
        let asked = |kind| self.kind == RecordType::ANY || kind == self.kind;
        let records = message.answers.iter().filter(|record| asked(record.record_type()));
        records.map(|record| record.data.to_string()).collect()
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", show_name(&self.name), show_type(self.kind))
    }
}

impl Sent<'_> {
    /// Reads a datagram. One that answers another question is no news of ours: it may be late, or forged.
    pub(in crate::probe) fn read(&self, bytes: &[u8]) -> Result<Heard, Outcome> {
        if bytes.len() < HEADER_BYTES {
            return Ok(Heard::Other(format!("{:?} is not DNS", excerpt(bytes))));
        }
        if !self.is_answer(bytes) {
            return Ok(Heard::Other("its id is another".to_owned()));
        }
        let message = Message::from_vec(bytes).map_err(|error| {
            Outcome::fail(ReasonCode::Protocol, format!("the answer cannot be read ({error}): {:?}", excerpt(bytes)))
        })?;
        if !self.repeats_question(&message) {
            let shown = |query: &Query| format!("{} {}", show_name(query.name()), show_type(query.query_type()));
            let asked = message.queries.first().map_or_else(|| "no question".to_owned(), shown);
            return Ok(Heard::Other(format!("it answers {}", excerpt(asked.as_bytes()))));
        }
        Ok(Heard::Answer(Box::new(message)))
    }

    /// Takes the one answer of a connection, which its length precedes (RFC 1035 section 4.2.2).
    pub(in crate::probe) fn parse(&self, bytes: &[u8]) -> Parsed<Box<Message>> {
        let mut rest = Reader(bytes);
        let Some(length) = rest.u16().map(usize::from) else { return Ok(None) };
        // The header is enough to know what is not DNS, whatever length its first bytes seem to promise.
        if length < HEADER_BYTES || rest.0.len() >= HEADER_BYTES && !self.is_answer(rest.0) {
            return Err(foreign("DNS", bytes));
        }
        let Some(body) = rest.take(length) else { return Ok(None) };
        match self.read(body)? {
            Heard::Answer(message) => Ok(Some((message, length + 2))),
            Heard::Other(why) => {
                Err(Outcome::fail(ReasonCode::Protocol, format!("what came is not the answer: {why}")))
            }
        }
    }

    fn is_answer(&self, bytes: &[u8]) -> bool {
        let mut header = Reader(bytes);
        header.u16() == Some(self.id) && header.u8().is_some_and(|flags| flags & IS_ANSWER != 0)
    }

    /// A server that refuses may leave the question out.
    fn repeats_question(&self, message: &Message) -> bool {
        let asked = self.question;
        match message.queries.as_slice() {
            [] => message.metadata.response_code != ResponseCode::NoError,
            [query] => *query.name() == asked.name && query.query_type() == asked.kind,
            _ => false,
        }
    }
}

pub(in crate::probe) fn decode_name(cursor: &Cursor<'_>, kind: Option<RecordType>) -> Option<Name> {
    let text = cursor.text()?;
    if let (Ok(address), Some(RecordType::PTR)) = (text.parse::<IpAddr>(), kind) {
        return Some(Name::from(address));
    }
    match Name::from_str_relaxed(&text) {
        Ok(mut name) if !text.is_empty() => {
            // Never within a search domain: a check names one thing.
            name.set_fqdn(true);
            Some(name)
        }
        _ => {
            cursor.mistake(format!("{} is not a domain name; write it like example.com", cursor.node().shown()));
            None
        }
    }
}

pub(in crate::probe) fn decode_type(cursor: &Cursor<'_>) -> Option<RecordType> {
    let text = cursor.text()?.to_ascii_uppercase();
    // RFC 3597 section 5 writes types without a name so.
    let number = text.strip_prefix("TYPE").and_then(|number| number.parse::<u16>().ok()).map(RecordType::from);
    let kind = RecordType::from_str(&text).ok().or(number);
    let kind = kind.filter(|kind| {
        !matches!(kind, RecordType::AXFR | RecordType::IXFR | RecordType::OPT | RecordType::TSIG | RecordType::ZERO)
    });
    if kind.is_none() {
        let shown = cursor.node().shown();
        cursor
            .mistake(format!("{shown} is not a record type that can be asked for; write A, AAAA, MX, TXT … or TYPE65"));
    }
    kind
}

/// `example.com`, and the root as a dot.
pub(super) fn show_name(name: &Name) -> String {
    let text = name.to_ascii();
    match text.strip_suffix('.') {
        Some(bare) if !bare.is_empty() => bare.to_owned(),
        _ => text,
    }
}

pub(super) fn show_type(kind: RecordType) -> String {
    match kind {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        kind => kind.to_string(),
    }
}

/// Codes by the names of the IANA registry "DNS RCODEs".
pub(in crate::probe) const CODES: [(&str, ResponseCode); 11] = [
    ("NOERROR", ResponseCode::NoError),
    ("FORMERR", ResponseCode::FormErr),
    ("SERVFAIL", ResponseCode::ServFail),
    ("NXDOMAIN", ResponseCode::NXDomain),
    ("NOTIMP", ResponseCode::NotImp),
    ("REFUSED", ResponseCode::Refused),
    ("YXDOMAIN", ResponseCode::YXDomain),
    ("YXRRSET", ResponseCode::YXRRSet),
    ("NXRRSET", ResponseCode::NXRRSet),
    ("NOTAUTH", ResponseCode::NotAuth),
    ("NOTZONE", ResponseCode::NotZone),
];

pub(in crate::probe) fn show_code(code: ResponseCode) -> String {
    let known = CODES.iter().find(|(_, known)| *known == code);
    known.map_or_else(|| format!("RCODE{}", u16::from(code)), |(name, _)| (*name).to_owned())
}
