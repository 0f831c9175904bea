//! Packets of NTP version 4 as a client needs them (RFC 5905 section 7.3; SNTP: section 14).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::probe::reader::Reader;

/// From 1900, where NTP counts from, to 1970, in seconds (RFC 5905 section 6).
const TO_1970_SECS: u64 = 2_208_988_800;
/// First byte of a question: no leap second, version 4, mode 3 (client).
const ASK: u8 = 0x23;
/// Length of a packet without extensions, in bytes.
const LENGTH: usize = 48;
/// Mode of a server's answer.
const SERVER: u8 = 4;

/// A time as NTP has it: seconds and their fraction, each of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) u64);

impl Time {
    /// Converts this machine's time.
    pub(super) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        Self((since.as_secs().wrapping_add(TO_1970_SECS) << 32) | fraction)
    }

    /// Returns the signed distance to an earlier time, in seconds. Right across the end of an era (2036), as long as both
    /// are within 68 years of each other (RFC 5905 section 6).
    pub(super) fn since(self, earlier: Self) -> f64 {
        fixed(self.0.wrapping_sub(earlier.0).cast_signed())
    }
}

/// A number with 32 bits behind its point.
fn fixed(number: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "52 bits of a few years are below a microsecond")]
    let number = number as f64;
    number / 4_294_967_296.0
}

/// A server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// 0: none is announced, 1: a second more, 2: one less, 3: the clock is not set.
    pub(super) leap: u8,
    /// Steps from a reference clock; 0 says why there is no time, 16 that there is none.
    pub(super) stratum: u8,
    root_delay: u32,
    root_dispersion: u32,
    /// Whom it follows, or at stratum 0 why not (section 7.4).
    pub(super) reference: [u8; 4],
    received: Time,
    sent: Time,
}

/// What the exchange tells of both clocks, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    /// How far the server is ahead of us.
    pub(super) offset: f64,
    /// How long the packets were under way, there and back.
    pub(super) delay: f64,
}

/// Asks; `cookie` comes back with the answer. It need not be our time, and whoever listens need not learn that.
pub(super) fn ask(cookie: u64) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    if let Some(first) = packet.first_mut() {
        *first = ASK;
    }
    if let Some(last) = packet.last_chunk_mut() {
        *last = cookie.to_be_bytes();
    }
    packet
}

/// Reads an answer; none if it is to another question, or none at all.
pub(super) fn read(bytes: &[u8], cookie: u64) -> Option<Answer> {
    let mut rest = Reader(bytes.get(..LENGTH)?);
    let head = rest.u8()?;
    let stratum = rest.u8()?;
    // Poll interval and precision.
    rest.take(2)?;
    let (root_delay, root_dispersion) = (rest.u32()?, rest.u32()?);
    let reference = rest.take(4)?.try_into().ok()?;
    // When it was last set.
    rest.take(8)?;
    let mut time = || Some(u64::from_be_bytes(rest.take(8)?.try_into().ok()?));
    let (origin, received, sent) = (time()?, Time(time()?), Time(time()?));
    let is_answer = head & 0x07 == SERVER && origin == cookie;
    is_answer.then_some(Answer { leap: head >> 6, stratum, root_delay, root_dispersion, reference, received, sent })
}

impl Answer {
    /// Compares both clocks; `asked` and `heard` are ours (RFC 5905 section 8).
    pub(super) fn measure(&self, asked: Time, heard: Time) -> Measured {
        let (there, back) = (self.received.since(asked), self.sent.since(heard));
        Measured { offset: f64::midpoint(there, back), delay: (there - back).max(0.0) }
    }

    /// True for an answer that should hold a time and does not (RFC 4330 section 5 has clients discard it). Refusals hold none.
    pub(super) fn is_without_time(&self) -> bool {
        self.stratum != 0 && self.leap != 3 && (self.sent.0 == 0 || self.received.0 == 0)
    }

    /// At most so far is the server from the reference clock's time, in seconds (RFC 5905 section 11.2).
    pub(super) fn root_distance(&self) -> f64 {
        let short = |number: u32| f64::from(number) / 65_536.0;
        short(self.root_delay) / 2.0 + short(self.root_dispersion)
    }

    /// Whom the server follows: a clock's name at stratum 1, an address above.
    pub(super) fn follows(&self) -> String {
        match (self.stratum, self.reference) {
            (0 | 1, letters) => letters_of(letters),
            (_, [a, b, c, d]) => format!("{a}.{b}.{c}.{d}"),
        }
    }
}

/// Letters that are filled up with zeros.
fn letters_of(letters: [u8; 4]) -> String {
    let letters = letters.iter().filter(|byte| byte.is_ascii_graphic());
    letters.map(|byte| char::from(*byte)).collect()
}

/// A wait that is not negative, for people.
pub(super) fn duration(secs: f64) -> Duration {
    Duration::try_from_secs_f64(secs.abs()).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds after a moment near the end of the first era.
    fn at(secs: f64) -> Time {
        #[expect(clippy::cast_possible_truncation, reason = "small numbers of a test")]
        let fraction = (secs * 4_294_967_296.0) as i64;
        Time(u64::MAX.wrapping_add_signed(fraction))
    }

    fn answer(received: Time, sent: Time) -> Answer {
        Answer {
            leap: 0,
            stratum: 2,
            root_delay: 0x1_0000,
            root_dispersion: 0x8000,
            reference: [10, 0, 0, 9],
            received,
            sent,
        }
    }

    #[test]
    fn both_clocks_are_compared_also_across_an_era() {
        // The server is 10 s ahead; 0.2 s there, 0.1 s there to work, 0.2 s back.
        let measured = answer(at(10.1), at(10.2)).measure(at(-0.1), at(0.4));
        assert!((measured.offset - 10.0).abs() < 1e-6, "{measured:?}");
        assert!((measured.delay - 0.4).abs() < 1e-6, "{measured:?}");
        assert!((answer(at(0.0), at(0.0)).root_distance() - 1.0).abs() < 1e-9);
        assert_eq!(answer(at(0.0), at(0.0)).follows(), "10.0.0.9");
        let now = UNIX_EPOCH + Duration::from_millis(1_500);
        assert_eq!(Time::of(now).0, ((TO_1970_SECS + 1) << 32) | 0x8000_0000);
    }

    #[test]
    fn only_a_servers_answer_to_our_question_counts() {
        let mut packet = ask(7);
        assert_eq!((packet[0], packet[47]), (0x23, 7));
        packet[0] = 0x24;
        packet[1] = 1;
        packet[12..16].copy_from_slice(b"GPS\0");
        packet[24..32].copy_from_slice(&7_u64.to_be_bytes());
        assert_eq!(read(&packet, 7).map(|answer| answer.follows()), Some("GPS".to_owned()));
        assert_eq!(read(&packet, 8), None);
        assert_eq!(read(&packet[..47], 7), None);
        packet[0] = 0x23;
        assert_eq!(read(&packet, 7), None, "that is a question");
    }
}
