//! Credential stuffing: from one place many accounts fail, and do not sign in after all.
//!
//! Whom it takes for an attacker by mistake was measured on generated traffic (`traffic_tests.rs`): an office of 500 people
//! behind one address, each signing in daily within one hour and mistyping 8 % of the time, and 25 % of the time on the day
//! after everybody had to choose a new password. In 20 runs of 30 days, 864 000 minutes that were looked at, there was no
//! alarm. Whoever tries an account a second from within that office at its busiest was found at the 27th to the 45th. What
//! is taken for an attack is a whole office that fails at once for another reason, such as accounts that are gone.

use std::collections::HashMap;

use super::finding::Finding;
use super::network::Network;

/// How long a failure counts.
pub(super) const WINDOW_MS: i64 = 5 * 60_000;
/// So many accounts that fail are an attack if more of them fail than sign in. The worst five minutes of that office had 5.
const HOST_ACCOUNTS: usize = 20;
/// The same for a block of 256 addresses, where several offices may be.
const BLOCK_ACCOUNTS: usize = 40;
/// So many are one whoever else signs in there: an attacker may have accounts too.
const ANYHOW_ACCOUNTS: usize = 100;
/// Accounts that are remembered of one place; more change nothing.
pub(super) const MOST_ACCOUNTS: usize = 1000;
/// Accounts that are remembered of all places together: some 10 MB.
pub(super) const MOST_ENTRIES: usize = 200_000;

/// What is known of one account at one place.
#[derive(Debug, Clone, Copy)]
struct Tried {
    at_ms: i64,
    has_passed: bool,
}

/// All places that somebody signs in from.
#[derive(Debug, Default)]
pub(super) struct Sources {
    places: HashMap<Network, HashMap<u64, Tried>>,
    entries: usize,
}

impl Sources {
    /// Takes in that an account failed or signed in somewhere.
    pub(super) fn take(&mut self, from: Network, account: u64, has_passed: bool, at_ms: i64) {
        let place = self.places.entry(from).or_default();
        let before = place.len();
        if before >= MOST_ACCOUNTS && !place.contains_key(&account) {
            return;
        }
        place.insert(account, Tried { at_ms, has_passed });
        self.entries += place.len() - before;
        if self.entries > MOST_ENTRIES {
            self.forget_before(at_ms - WINDOW_MS);
            self.make_room();
        }
    }

    /// Forgets what no longer counts.
    pub(super) fn forget_before(&mut self, since_ms: i64) {
        for place in self.places.values_mut() {
            place.retain(|_, tried| tried.at_ms >= since_ms);
        }
        self.places.retain(|_, place| !place.is_empty());
        self.entries = self.places.values().map(HashMap::len).sum();
    }

    /// Forgets the places with the fewest accounts until there is room: an attack is where many are.
    fn make_room(&mut self) {
        let mut sizes: Vec<(usize, Network)> = self.places.iter().map(|(from, place)| (place.len(), *from)).collect();
        sizes.sort_unstable();
        for (size, from) in sizes {
            // Half at once, so that it is not done for every event.
            if self.entries <= MOST_ENTRIES / 2 {
                return;
            }
            self.places.remove(&from);
            self.entries -= size;
        }
    }

    /// Returns the places from which accounts are tried, the worst first.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let found = self.places.iter().filter_map(|(from, place)| Some((judge(*from, place)?, *from)));
        let mut found: Vec<(usize, Network)> = found.collect();
        found.sort_unstable_by_key(|(accounts, from)| (std::cmp::Reverse(*accounts), *from));
        let hosts: Vec<usize> =
            found.iter().filter(|(_, from)| !from.is_block()).map(|(accounts, _)| *accounts).collect();
        // A block is told only if it shows more than its worst host.
        let is_news = |(accounts, from): &(usize, Network)| !from.is_block() || !hosts.contains(accounts);
        let stuffing = |(accounts, from)| Finding::Stuffing { accounts, from };
        found.into_iter().filter(is_news).map(stuffing).collect()
    }

    /// The most accounts that failed at one place and did not sign in.
    #[cfg(test)]
    pub(super) fn worst(&self) -> usize {
        let failed = |place: &HashMap<u64, Tried>| place.values().filter(|tried| !tried.has_passed).count();
        self.places.values().map(failed).max().unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.places.values().map(HashMap::len).sum()
    }
}

/// Returns how many accounts failed, if that is an attack.
fn judge(from: Network, place: &HashMap<u64, Tried>) -> Option<usize> {
    let failed = place.values().filter(|tried| !tried.has_passed).count();
    let passed = place.len() - failed;
    let limit = if from.is_block() { BLOCK_ACCOUNTS } else { HOST_ACCOUNTS };
    (failed >= ANYHOW_ACCOUNTS || failed >= limit && failed > passed).then_some(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(failed: u64, passed: u64) -> Option<usize> {
        let mut sources = Sources::default();
        let from = Network::host_of("192.0.2.7".parse().unwrap());
        (0..failed + passed).for_each(|account| sources.take(from, account, account >= failed, 0));
        match sources.findings().as_slice() {
            [Finding::Stuffing { accounts, .. }] => Some(*accounts),
            _ => None,
        }
    }

    #[test]
    fn many_accounts_that_fail_and_few_that_sign_in_are_an_attack() {
        for (failed, passed, found) in [
            (19, 0, None),
            (20, 0, Some(20)),
            (20, 19, Some(20)),
            (20, 20, None),
            (99, 500, None),
            (100, 500, Some(100)),
            (5000, 0, Some(MOST_ACCOUNTS)),
        ] {
            assert_eq!(judged(failed, passed), found, "{failed} {passed}");
        }
    }

    #[test]
    fn whoever_signs_in_after_all_has_not_failed() {
        let (mut sources, from) = (Sources::default(), Network::host_of("192.0.2.7".parse().unwrap()));
        (0..50).for_each(|account| sources.take(from, account, false, 0));
        assert_eq!(sources.findings().len(), 1);
        (0..40).for_each(|account| sources.take(from, account, true, 1));
        assert_eq!(sources.findings(), []);
    }
}
