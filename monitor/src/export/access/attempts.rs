//! How often somebody may be wrong: after five failures in a minute from one address, further tries wait.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use kit::clock::Moment;

/// Failures that are allowed within [`WINDOW`].
const MOST: usize = 5;
/// How long a failure counts.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered, at most: about 1 MB.
const MAX_ADDRESSES: usize = 4096;

/// Failures of the last minute, by address.
#[derive(Debug, Default)]
pub(super) struct Attempts(HashMap<IpAddr, VecDeque<Moment>>);

impl Attempts {
    /// Returns how long this address must wait before its next try, if it must.
    pub(super) fn wait(&self, address: IpAddr, now: Moment) -> Option<Duration> {
        let failures = self.0.get(&block(address))?;
        let recent: Vec<&Moment> = failures.iter().filter(|at| now.since(**at) < WINDOW).collect();
        let oldest = recent.len().checked_sub(MOST).and_then(|first| recent.get(first))?;
        Some(WINDOW.saturating_sub(now.since(**oldest)))
    }

    /// Remembers a failure.
    pub(super) fn failed(&mut self, address: IpAddr, now: Moment) {
        let address = block(address);
        if self.0.len() >= MAX_ADDRESSES && !self.0.contains_key(&address) {
            self.0.retain(|_, failures| failures.back().is_some_and(|at| now.since(*at) < WINDOW));
            let quietest = self.0.iter().min_by_key(|(_, failures)| failures.back().copied());
            let quietest = quietest.filter(|_| self.0.len() >= MAX_ADDRESSES).map(|(address, _)| *address);
            if let Some(quietest) = quietest {
                self.0.remove(&quietest);
            }
        }
        let failures = self.0.entry(address).or_default();
        failures.push_back(now);
        let excess = failures.len().saturating_sub(MOST);
        failures.drain(..excess);
    }
}

/// One household has a /64 of IPv6 addresses (RFC 6177): they count as one.
fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(secs: i64) -> Moment {
        Moment::from_ms(secs * 1000)
    }

    #[test]
    fn the_sixth_try_waits_until_the_first_failure_is_a_minute_old() {
        let (here, there) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut attempts = Attempts::default();
        for at in 0..5 {
            assert_eq!(attempts.wait(here, second(at)), None);
            attempts.failed(here, second(at));
        }
        assert_eq!(attempts.wait(here, second(5)), Some(Duration::from_secs(55)));
        assert_eq!(attempts.wait(there, second(5)), None, "somebody else");
        assert_eq!(attempts.wait(here, second(60)), None);
        attempts.failed(here, second(60));
        assert_eq!(attempts.wait(here, second(60)), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_household_is_one_and_memory_is_bounded() {
        let mut attempts = Attempts::default();
        for host in 1..=5u128 {
            attempts.failed(Ipv6Addr::from_bits((0x2001 << 112) + host).into(), second(0));
        }
        assert!(attempts.wait("2001::9".parse().unwrap(), second(1)).is_some());
        for host in 0..10_000u32 {
            attempts.failed(std::net::Ipv4Addr::from_bits(host).into(), second(2));
        }
        assert!(attempts.0.len() <= MAX_ADDRESSES);
    }
}
