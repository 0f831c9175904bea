//! The encoding of protocol buffers ("Encoding", protobuf.dev), as far as traces need it. What is at its default is not
//! written (proto3).

/// A message that is being written.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;

impl Message {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn number(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.varint(field << 3 | VARINT);
            self.varint(value);
        }
    }

    /// Also when it is the default, which in a `oneof` says which it is.
    pub(super) fn choice(&mut self, field: u64, value: u64) {
        self.varint(field << 3 | VARINT);
        self.varint(value);
    }

    pub(super) fn fixed64(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.varint(field << 3 | FIXED_64);
            self.0.extend(value.to_le_bytes());
        }
    }

    pub(super) fn fixed32(&mut self, field: u64, value: u32) {
        if value != 0 {
            self.varint(field << 3 | FIXED_32);
            self.0.extend(value.to_le_bytes());
        }
    }

    /// A text or bytes; also when it is empty.
    pub(super) fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | LENGTH);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    /// A message within this one.
    pub(super) fn message(&mut self, field: u64, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    fn varint(&mut self, mut value: u64) {
        while let rest @ 1.. = value >> 7 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value = rest;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

/// What stands in a field that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of no interest here.
    Fixed,
}

/// Returns the last value of a field, as it counts; none if it is not there or this is no message.
pub(super) fn find(message: &[u8], wanted: u64) -> Option<Field<'_>> {
    let (mut rest, mut found) = (message, None);
    while !rest.is_empty() {
        let key = read_varint(&mut rest)?;
        let value = match key & 7 {
            VARINT => Field::Number(read_varint(&mut rest)?),
            FIXED_64 => read(&mut rest, 8).map(|_| Field::Fixed)?,
            LENGTH => {
                let length = usize::try_from(read_varint(&mut rest)?).ok()?;
                Field::Bytes(read(&mut rest, length)?)
            }
            FIXED_32 => read(&mut rest, 4).map(|_| Field::Fixed)?,
            _ => return None,
        };
        if key >> 3 == wanted {
            found = Some(value);
        }
    }
    found
}

fn read<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (read, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(read)
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *read(rest, 1)?.first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nonsense_is_not() {
        let mut message = Message::default();
        message.number(1, 300);
        message.number(9, 0);
        message.fixed64(2, 7);
        message.fixed32(3, 7);
        message.message(4, |inner| inner.bytes(1, b"hi"));
        message.choice(5, 0);
        let bytes = message.into_bytes();
        assert_eq!(bytes[..3], [0x08, 0xac, 0x02], "the example of protobuf.dev has 150 and 300 so");
        assert_eq!(find(&bytes, 1), Some(Field::Number(300)));
        assert_eq!(find(&bytes, 2), Some(Field::Fixed));
        assert_eq!(find(&bytes, 4), Some(Field::Bytes(b"\x0a\x02hi")));
        assert_eq!(find(&bytes, 5), Some(Field::Number(0)));
        assert_eq!(find(&bytes, 9), None);
        for wrong in [&b"\x08"[..], b"\x0a\x05hi", b"\x0b\x01", &[0xff; 11], b"<html>"] {
            assert_eq!(find(wrong, 1), None, "{wrong:?}");
        }
    }
}
