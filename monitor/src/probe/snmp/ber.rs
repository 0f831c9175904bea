//! The little of BER (ITU-T X.690) that SNMPv1 and v2c messages are made of (RFC 1157, RFC 3416).

use serde_json::Value;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
const NULL: u8 = 0x05;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// Application types of RFC 2578 section 7.1.
const IP_ADDRESS: u8 = 0x40;
const COUNTER32: u8 = 0x41;
const GAUGE32: u8 = 0x42;
const TIME_TICKS: u8 = 0x43;
const COUNTER64: u8 = 0x46;
/// What stands for a value that is not there (RFC 3416 section 3).
const NO_SUCH_OBJECT: u8 = 0x80;
const NO_SUCH_INSTANCE: u8 = 0x81;
const END_OF_VIEW: u8 = 0x82;
const GET: u8 = 0xa0;
const RESPONSE: u8 = 0xa2;

/// An object's name, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Oid(Vec<u8>);

impl Oid {
    /// Parses `1.3.6.1.2.1.1.3.0`; a dot in front is allowed, as `snmpget` writes it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let arcs = text.strip_prefix('.').unwrap_or(text).split('.').map(str::parse::<u32>);
        let arcs: Vec<u32> = arcs.collect::<Result<_, _>>().ok()?;
        let [first @ 0..=2, second, rest @ ..] = arcs.as_slice() else { return None };
        if rest.is_empty() || arcs.len() > 128 || (*first < 2 && *second > 39) {
            return None;
        }
        let mut bytes = Vec::new();
        for arc in std::iter::once(&first.checked_mul(40)?.checked_add(*second)?).chain(rest) {
            push_base_128(&mut bytes, *arc);
        }
        Some(Self(bytes))
    }
}

fn push_base_128(out: &mut Vec<u8>, number: u32) {
    let septets = (0..5).rev().map(|index| u8::try_from(number >> (7 * index) & 0x7f).unwrap_or_default());
    let mut septets = septets.skip_while(|septet| *septet == 0).peekable();
    if septets.peek().is_none() {
        out.push(0);
    }
    while let Some(septet) = septets.next() {
        out.push(if septets.peek().is_some() { septet | 0x80 } else { septet });
    }
}

/// Writes a GetRequest.
pub(super) fn get(version: u8, community: &[u8], id: i32, oids: &[Oid]) -> Vec<u8> {
    let bindings: Vec<u8> =
        oids.iter().flat_map(|oid| tlv(SEQUENCE, &[tlv(OID, &oid.0), tlv(NULL, &[])].concat())).collect();
    let zero = || tlv(INTEGER, &[0]);
    let pdu = [tlv(INTEGER, &id.to_be_bytes()), zero(), zero(), tlv(SEQUENCE, &bindings)].concat();
    tlv(SEQUENCE, &[tlv(INTEGER, &[version]), tlv(OCTETS, community), tlv(GET, &pdu)].concat())
}

/// A type, a length and a value (X.690 section 8.1).
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = value.len().to_be_bytes();
    let bytes: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    match bytes.as_slice() {
        [] => out.push(0),
        [short @ 0..0x80] => out.push(*short),
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(0x7f));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(value);
    out
}

/// What an agent answers.
#[derive(Debug, PartialEq)]
pub(super) struct Response {
    pub(super) error: i64,
    /// Of which binding, from 1.
    pub(super) index: i64,
    /// In the order of the question; none stands for what is not there.
    pub(super) values: Vec<Option<Value>>,
}

/// Reads the response to a question of this number; none if it is something else.
pub(super) fn read(bytes: &[u8], id: i32) -> Option<Response> {
    let mut message = Reader(Reader(bytes).take(SEQUENCE)?);
    message.take(INTEGER)?;
    message.take(OCTETS)?;
    let mut pdu = Reader(message.take(RESPONSE)?);
    if integer(pdu.take(INTEGER)?)? != i64::from(id) {
        return None;
    }
    let (error, index) = (integer(pdu.take(INTEGER)?)?, integer(pdu.take(INTEGER)?)?);
    let mut bindings = Reader(pdu.take(SEQUENCE)?);
    let mut values = Vec::new();
    while !bindings.0.is_empty() {
        let mut binding = Reader(bindings.take(SEQUENCE)?);
        binding.take(OID)?;
        let (tag, value) = binding.next()?;
        values.push(decode(tag, value)?);
    }
    Some(Response { error, index, values })
}

/// The outer none is no value at all, the inner one says that there is none.
fn decode(tag: u8, bytes: &[u8]) -> Option<Option<Value>> {
    let value = match tag {
        NULL | NO_SUCH_OBJECT | NO_SUCH_INSTANCE | END_OF_VIEW => return Some(None),
        INTEGER => integer(bytes)?.into(),
        COUNTER32 | GAUGE32 | TIME_TICKS | COUNTER64 => unsigned(bytes)?.into(),
        IP_ADDRESS => <[u8; 4]>::try_from(bytes).ok().map(std::net::Ipv4Addr::from)?.to_string().into(),
        OID => dotted(bytes).into(),
        _ => text(bytes).into(),
    };
    Some(Some(value))
}

fn integer(bytes: &[u8]) -> Option<i64> {
    let (first, length) = (*bytes.first()?, bytes.len());
    let fill = if first & 0x80 == 0 { 0 } else { 0xff };
    let mut all = [fill; 8];
    all.get_mut(8_usize.checked_sub(length)?..)?.copy_from_slice(bytes);
    Some(i64::from_be_bytes(all))
}

/// Up to 64 bits, behind a zero where the first bit is set (X.690 section 8.3).
fn unsigned(bytes: &[u8]) -> Option<u64> {
    let bytes = if bytes.len() == 9 { bytes.strip_prefix(&[0])? } else { bytes };
    let mut all = [0; 8];
    all.get_mut(8_usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    Some(u64::from_be_bytes(all))
}

fn dotted(bytes: &[u8]) -> String {
    let mut arcs = Vec::new();
    let mut arc = 0_u64;
    for byte in bytes {
        arc = arc << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            let first = (arc / 40).min(2);
            if arcs.is_empty() {
                arcs.extend([first, arc - first * 40]);
            } else {
                arcs.push(arc);
            }
            arc = 0;
        }
    }
    arcs.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

/// Text if it can be read, else hexadecimal.
fn text(bytes: &[u8]) -> String {
    let is_text = |text: &&str| text.chars().all(|c| !c.is_control() || c.is_ascii_whitespace());
    let text = std::str::from_utf8(bytes).ok().filter(is_text);
    text.map_or_else(|| data_encoding::HEXLOWER.encode(bytes), str::to_owned)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Takes the next value if it is of this type.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, value)| value)
    }

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, mut rest) = rest.split_first()?;
        let mut length = usize::from(*first);
        if length >= 0x80 {
            let (bytes, after) = rest.split_at_checked(length & 0x7f)?;
            length = usize::try_from(unsigned(bytes)?).ok()?;
            rest = after;
        }
        let (value, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((*tag, value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_question_is_written_as_the_standard_has_it() {
        // SEQUENCE { 1, "public", [0] { number, 0, 0, SEQUENCE { SEQUENCE { sysUpTime.0, NULL } } } }.
        let sent = "302902010104067075626c6963a01c02044f6d2c11020100020100300e300c06082b060102010103000500";
        let oid = Oid::parse(".1.3.6.1.2.1.1.3.0").unwrap();
        assert_eq!(data_encoding::HEXLOWER.encode(&get(1, b"public", 0x4f6d_2c11, &[oid])), sent);
    }

    #[test]
    fn every_type_of_value_is_read_and_what_is_not_there_is_none() {
        let values: [(u8, &[u8], Option<Value>); 11] = [
            (INTEGER, &[0xff, 0x7f], Some(json!(-129))),
            (OCTETS, b"eth0", Some(json!("eth0"))),
            (OCTETS, &[0, 0x1b, 0xff], Some(json!("001bff"))),
            (OID, &[0x2b, 6, 1, 4, 1, 0x81, 0x40], Some(json!("1.3.6.1.4.1.192"))),
            (IP_ADDRESS, &[10, 0, 0, 1], Some(json!("10.0.0.1"))),
            (COUNTER32, &[0, 0xff, 0xff, 0xff, 0xff], Some(json!(u32::MAX))),
            (COUNTER64, &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Some(json!(u64::MAX))),
            (TIME_TICKS, &[1, 0], Some(json!(256))),
            (NULL, &[], None),
            (NO_SUCH_OBJECT, &[], None),
            (NO_SUCH_INSTANCE, &[], None),
        ];
        for (tag, bytes, expected) in values {
            assert_eq!(decode(tag, bytes), Some(expected), "{tag:#x} {bytes:?}");
        }
        assert_eq!(decode(COUNTER64, &[1; 9]), None);
    }

    #[test]
    fn what_is_no_oid_is_refused() {
        for text in ["", "1", "1.3", "3.1.1", "1.40.1", "1.3.x", "1..3", "1.3.6.4294967296", "sysUpTime.0"] {
            assert_eq!(Oid::parse(text), None, "{text}");
        }
        assert!(Oid::parse("2.999.3").is_some());
    }

    proptest! {
        #[test]
        fn nothing_that_comes_breaks_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200), id: i32) {
            let _whatever = read(&bytes, id);
        }
    }
}
