//! Sends the packets of one measurement, takes what comes back, and counts.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use kit::config::show_duration;
use nix::errno::Errno;
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep_until};

use super::Plan;
use super::packet::Mark;
use super::socket::PingSocket;
use crate::probe::dial_error::explain;
use crate::probe::observation::{Outcome, Reason, ReasonCode};

/// Room for headers beside the payload: IPv4 with options (60 bytes) and ICMP (8).
const HEADER_ROOM: usize = 68;

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) address: IpAddr,
    pub(super) sent: u16,
    /// Round trips in the order of their packets.
    trips: Vec<Duration>,
    duplicates: u32,
    /// What the last packet that met an error met.
    error: Option<io::Error>,
}

/// Round-trip times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    least: Duration,
    mean: Duration,
    most: Duration,
    /// Mean difference between a round trip and the next, if there are two.
    jitter: Option<Duration>,
}

/// Sends all packets and waits for their replies, at most `until` then.
///
/// # Cancel safety
/// Dropping the future closes the socket.
pub(super) async fn measure(to: IpAddr, plan: Plan, until: Instant) -> Result<Measured, Outcome> {
    let socket = PingSocket::open(to)?;
    let mark = Mark::new(to, socket.kernel_chooses, plan.size);
    let mut count = Count { sent: Vec::new(), trips: Vec::new(), duplicates: 0, errors: 0, error: None };
    let mut buffer = vec![0; usize::from(plan.size) + HEADER_ROOM];
    let mut next = Instant::now();
    while count.sent.len() < usize::from(plan.packets) || count.is_waiting() {
        let all_sent = count.sent.len() == usize::from(plan.packets);
        tokio::select! {
            biased;
            heard = socket.receive(&mut buffer, |bytes| mark.number_of(bytes)) => match heard {
                Ok(Some(number)) => count.hear(number, Instant::now()),
                Ok(None) => {}
                Err(error) => count.meet(error, socket.take_errors()),
            },
            () = sleep_until(next), if !all_sent => {
                let number = u16::try_from(count.sent.len()).unwrap_or(u16::MAX);
                count.sent.push(Instant::now());
                count.trips.push(None);
                send(&socket, &mark.request(number), &mut count).await.map_err(|error| explain(&[(SocketAddr::new(to, 0), error)]))?;
                next += plan.interval;
            }
            () = sleep_until(until) => break,
        }
    }
    let sent = u16::try_from(count.sent.len()).unwrap_or(u16::MAX);
    let trips = count.trips.into_iter().flatten().collect();
    Ok(Measured { address: to, sent, trips, duplicates: count.duplicates, error: count.error })
}

/// A measurement that goes on.
struct Count {
    /// When each packet left; the clock starts before it does.
    sent: Vec<Instant>,
    trips: Vec<Option<Duration>>,
    duplicates: u32,
    /// Packets of which an error says that they did not arrive.
    errors: usize,
    error: Option<io::Error>,
}

impl Count {
    fn is_waiting(&self) -> bool {
        self.trips.iter().flatten().count() + self.errors < self.sent.len()
    }

    /// Counts an error, which so many packets met.
    fn meet(&mut self, error: io::Error, packets: usize) {
        self.errors += packets;
        self.error = Some(error);
    }

    /// Counts a reply.
    fn hear(&mut self, number: u16, now: Instant) {
        let number = usize::from(number);
        match (self.sent.get(number), self.trips.get_mut(number)) {
            (Some(sent), Some(trip @ None)) => *trip = Some(now.saturating_duration_since(*sent)),
            (Some(_), Some(Some(_))) => self.duplicates += 1,
            _ => {}
        }
    }
}

/// Sends; an error that an earlier packet met on its way is told now, and does not concern this one.
async fn send(socket: &PingSocket, bytes: &[u8], count: &mut Count) -> io::Result<()> {
    match socket.send(bytes).await {
        Err(error) if is_of_the_way(&error) => {
            count.meet(error, socket.take_errors());
            socket.send(bytes).await
        }
        sent => sent,
    }
}

fn is_of_the_way(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::EHOSTDOWN | Errno::ECONNREFUSED))
}

impl Measured {
    pub(super) fn received(&self) -> u16 {
        u16::try_from(self.trips.len()).unwrap_or(u16::MAX)
    }

    /// From 0, none lost, to 1.
    pub(super) fn loss(&self) -> f64 {
        1.0 - f64::from(self.received()) / f64::from(self.sent.max(1))
    }

    fn times(&self) -> Option<Times> {
        times(&self.trips)
    }

    /// Why nothing came back.
    pub(super) fn silence(self) -> Outcome {
        match self.error {
            Some(error) => explain(&[(SocketAddr::new(self.address, 0), error)]),
            None => {
                let text = format!("no reply from {} to {} packets", self.address, self.sent);
                Outcome::fail(ReasonCode::Timeout, text)
            }
        }
    }

    /// Round trips that take longer than they should, on average.
    pub(super) fn slowness(&self, limit: Duration) -> Option<Reason> {
        let mean = self.times()?.mean;
        let text = format!("round trips of {:.2} ms on average, more than {}", ms(mean), show_duration(limit));
        (mean > limit).then(|| Reason::new(ReasonCode::Latency, text))
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        let Some(times) = self.times() else { return "no reply".to_owned() };
        let (least, mean, most) = (ms(times.least), ms(times.mean), ms(times.most));
        let jitter = times.jitter.map(|jitter| format!(", jitter {:.2}", ms(jitter))).unwrap_or_default();
        let twice = if self.duplicates > 0 { format!(", {} came twice", self.duplicates) } else { String::new() };
        format!("{} of {} replies, {least:.2}/{mean:.2}/{most:.2} ms{jitter}{twice}", self.received(), self.sent)
    }

    /// As expectations see it.
    pub(super) fn facts(&self) -> Json {
        let times = self.times();
        json!({
            "address": self.address.to_string(),
            "sent": self.sent,
            "received": self.received(),
            "loss_ratio": self.loss(),
            "duplicates": self.duplicates,
            "rtt_min_ms": times.map(|times| ms(times.least)),
            "rtt_avg_ms": times.map(|times| ms(times.mean)),
            "rtt_max_ms": times.map(|times| ms(times.most)),
            "jitter_ms": times.and_then(|times| times.jitter).map(ms),
        })
    }
}

fn times(trips: &[Duration]) -> Option<Times> {
    let (least, most) = (*trips.iter().min()?, *trips.iter().max()?);
    let differences: Vec<Duration> =
        trips.windows(2).filter_map(|pair| Some(pair.first()?.abs_diff(*pair.last()?))).collect();
    Some(Times { least, mean: mean(trips)?, most, jitter: mean(&differences) })
}

fn mean(lengths: &[Duration]) -> Option<Duration> {
    let total: Duration = lengths.iter().sum();
    total.checked_div(u32::try_from(lengths.len()).ok()?)
}

fn ms(length: Duration) -> f64 {
    length.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_of_what_came_back() {
        let of = |millis: &[u64]| times(&millis.iter().map(|ms| Duration::from_millis(*ms)).collect::<Vec<_>>());
        let shown = |millis| {
            of(millis)
                .map(|t| (t.least.as_millis(), t.mean.as_millis(), t.most.as_millis(), t.jitter.map(|j| j.as_millis())))
        };
        assert_eq!(shown(&[10, 30, 20]), Some((10, 20, 30, Some(15))));
        assert_eq!(shown(&[5]), Some((5, 5, 5, None)));
        assert_eq!(shown(&[]), None);
    }

    #[test]
    fn a_mean_above_its_limit_is_slow() {
        let trips = vec![Duration::from_millis(4), Duration::from_millis(7)];
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let measured = Measured { address, sent: 3, trips, duplicates: 1, error: None };
        let slow = measured.slowness(Duration::from_millis(5)).unwrap();
        assert_eq!(slow.text, "round trips of 5.50 ms on average, more than 5ms");
        assert_eq!(measured.slowness(Duration::from_millis(6)), None);
        assert_eq!(measured.shown(), "2 of 3 replies, 4.00/5.50/7.00 ms, jitter 3.00, 1 came twice");
    }

    #[test]
    fn a_reply_counts_once() {
        let now = Instant::now();
        let mut count = Count { sent: vec![now; 2], trips: vec![None; 2], duplicates: 0, errors: 0, error: None };
        for number in [1, 1, 2, 65_535] {
            count.hear(number, now + Duration::from_millis(3));
        }
        assert_eq!(count.trips, [None, Some(Duration::from_millis(3))]);
        assert_eq!(count.duplicates, 1);
        assert!(count.is_waiting());
        count.meet(io::Error::from_raw_os_error(Errno::EHOSTUNREACH as i32), 1);
        assert!(!count.is_waiting());
    }
}
