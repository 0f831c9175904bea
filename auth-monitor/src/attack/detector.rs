//! All rules together, over one stream of events.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::accounts::{Accounts, WINDOW_MS as ACCOUNT_MS};
use super::event::{Event, What};
use super::finding::Finding;
use super::network::Network;
use super::sources::{Sources, WINDOW_MS as SOURCE_MS};

/// What is remembered of the newest hour, within bounds whatever happens.
#[derive(Debug, Default)]
pub(crate) struct Detector {
    sources: Sources,
    accounts: Accounts,
}

impl Detector {
    /// Takes in an event; one that is too old to count changes nothing.
    pub(crate) fn take(&mut self, event: &Event, now_ms: i64) {
        let has_passed = match event.what {
            What::Failed => false,
            What::SignedIn => true,
            What::Other => return,
        };
        // What is no e-mail address has no account, and is somebody's mistake each time.
        let Some(email) = event.email.as_deref() else { return };
        let key = key_of(email);
        if event.at_ms >= now_ms - ACCOUNT_MS {
            match has_passed {
                true => self.accounts.sign_in(key, event.at_ms),
                false => self.accounts.fail(key, email, event.address, event.at_ms),
            }
        }
        let Some(address) = event.address.filter(|_| event.at_ms >= now_ms - SOURCE_MS) else { return };
        for from in [Some(Network::host_of(address)), Network::block_of(address)].into_iter().flatten() {
            self.sources.take(from, key, has_passed, event.at_ms);
        }
    }

    /// Returns the patterns that are there now, what matters most first.
    pub(crate) fn findings(&mut self, now_ms: i64) -> Vec<Finding> {
        self.sources.forget_before(now_ms - SOURCE_MS);
        self.accounts.forget_before(now_ms - ACCOUNT_MS);
        let (mut found, sources) = (self.accounts.findings(), self.sources.findings());
        let taken = found.iter().take_while(|finding| matches!(finding, Finding::Takeover { .. })).count();
        found.splice(taken..taken, sources);
        found
    }

    #[cfg(test)]
    pub(super) fn worst_source(&self) -> usize {
        self.sources.worst()
    }
}

fn key_of(email: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    email.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::super::sources::MOST_ENTRIES;
    use super::*;

    fn event(at_ms: i64, what: What, account: u16, host: u8) -> Event {
        let address = Some([192, 0, 2, host].into());
        Event { number: at_ms, at_ms, what, email: Some(format!("{account}@example.com")), address }
    }

    #[test]
    fn memory_is_bounded_whatever_happens() {
        let mut detector = Detector::default();
        for number in 0..300_000_u32 {
            let address = Some(std::net::Ipv4Addr::from(number.wrapping_mul(2_654_435_761)).into());
            let email = Some(format!("{number}@example.com"));
            detector.take(&Event { number: 0, at_ms: 0, what: What::Failed, email, address }, 0);
        }
        assert!(detector.sources.entries() <= MOST_ENTRIES, "{}", detector.sources.entries());
        assert!(detector.accounts.len() <= super::super::accounts::MOST_ACCOUNTS);
    }

    proptest! {
        /// The same as counting everything anew, for hosts.
        #[test]
        fn a_host_is_found_exactly_while_its_window_says_so(
            happened in proptest::collection::vec((0i64..20_000, any::<bool>(), 0u16..60, 0u8..3), 0..600)
        ) {
            let (mut detector, mut at_ms, mut all) = (Detector::default(), 0, Vec::new());
            for (gap, has_passed, account, host) in happened {
                at_ms += gap / 10;
                let what = if has_passed { What::SignedIn } else { What::Failed };
                let event = event(at_ms, what, account, host);
                detector.take(&event, at_ms);
                all.push((at_ms, has_passed, account, host));
            }
            let mut newest: HashMap<(u8, u16), bool> = HashMap::new();
            for (when, has_passed, account, host) in all {
                if when >= at_ms - SOURCE_MS {
                    newest.insert((host, account), has_passed);
                }
            }
            let expected: HashSet<u8> = (0..3).filter(|host| {
                let count = |passed| newest.iter().filter(|((at, _), is)| at == host && **is == passed).count();
                count(false) >= 20 && count(false) > count(true)
            }).collect();
            let found: HashSet<u8> = detector.findings(at_ms).into_iter().filter_map(|finding| match finding {
                Finding::Stuffing { from: Network::Host(address), .. } => Some(address.octets()[3]),
                _ => None,
            }).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
