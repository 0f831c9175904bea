//! The names of queues, `stream/group`, and of our keys beside a stream.
//!
//! The last `/` parts the two. In a group's name `/`, `%` and what cannot be shown are written `%2F`, `%25` and so on; a stream's
//! name stands as it is.

use std::fmt::Write as _;

/// A group of consumers of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group<'q> {
    /// The stream's key.
    pub(super) stream: &'q str,
    /// The group's own name.
    pub(super) name: Vec<u8>,
}

impl<'q> Group<'q> {
    /// None if that is no queue of this kind.
    pub(super) fn of(queue: &'q str) -> Option<Self> {
        let (stream, group) = queue.rsplit_once('/')?;
        Some(Self { stream, name: unescape(group)? })
    }

    /// What begins the keys that say whose copy an entry is; its id ends them.
    ///
    /// All of our keys begin with the stream's: in a cluster they are in its slot if its name has a hash tag, as `{events}`.
    pub(super) fn copies(&self) -> String {
        format!("{}:dlq-copy:", self.stream)
    }

    /// Where the id of an entry's newest copy is.
    pub(super) fn newest(&self, root: &str) -> String {
        format!("{}:dlq-redriven:{root}", self.stream)
    }

    /// Where is noted that an order was carried out.
    pub(super) fn guard(&self, order: &str) -> String {
        format!("{}:dlq-order:{order}", self.stream)
    }
}

/// The name of the queue that a group is.
pub(super) fn queue_of(stream: &str, group: &[u8]) -> String {
    let mut queue = format!("{stream}/");
    for chunk in group.utf8_chunks() {
        for char in chunk.valid().chars() {
            if matches!(char, '/' | '%') || char.is_ascii_control() {
                let _to_a_string = write!(queue, "%{:02X}", u32::from(char));
            } else {
                queue.push(char);
            }
        }
        for byte in chunk.invalid() {
            let _to_a_string = write!(queue, "%{byte:02X}");
        }
    }
    queue
}

fn unescape(escaped: &str) -> Option<Vec<u8>> {
    let mut parts = escaped.split('%');
    let mut name = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (byte, rest) = part.split_at_checked(2)?;
        name.push(u8::from_str_radix(byte, 16).ok()?);
        name.extend(rest.as_bytes());
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_group_is_told_from_its_stream_whatever_both_are_called() {
        for (stream, group, queue) in [
            ("events", &b"mailers"[..], "events/mailers"),
            ("eu/events", b"mailers", "eu/events/mailers"),
            ("events", b"a/b%\n", "events/a%2Fb%25%0A"),
            ("50%", "ü {x}".as_bytes(), "50%/ü {x}"),
            ("events", b"\xff", "events/%FF"),
        ] {
            assert_eq!(queue_of(stream, group), queue);
            assert_eq!(Group::of(queue), Some(Group { stream, name: group.to_vec() }));
        }
        assert_eq!([Group::of("events"), Group::of("events/%2"), Group::of("events/%zz")], [None, None, None]);
        assert_eq!(Group::of("{a}:b/c").unwrap().newest("1-2"), "{a}:b:dlq-redriven:1-2");
    }

    proptest! {
        #[test]
        fn every_group_is_found_again(stream: String, group: Vec<u8>) {
            let queue = queue_of(&stream, &group);
            prop_assert_eq!(Group::of(&queue), Some(Group { stream: &stream, name: group }));
        }

        #[test]
        fn what_is_no_queue_is_none_and_nothing_worse(queue: String) {
            let _any = Group::of(&queue);
        }
    }
}
