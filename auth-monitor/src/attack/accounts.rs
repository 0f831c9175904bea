//! Brute force: passwords of one account fail again and again, from one address or from many; and whoever signs in then.
//!
//! platform-services lets 12 passwords an hour be tried at first and 4 later, so ten in an hour are what an attacker makes
//! who does not wait, and what a person makes only if she goes on after she was locked out twice. In the traffic of
//! `sources.rs`, where 2 of 100 people a month forget their password and try it up to five times, that was nobody.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;

use super::finding::{Finding, masked};

/// How long a failure counts.
pub(super) const WINDOW_MS: i64 = 60 * 60_000;
/// So many failures are an attack.
const FAILURES: usize = 10;
/// Failures that are remembered of one account; more change nothing.
pub(super) const MOST_FAILURES: usize = 100;
/// Accounts that are remembered, at most: some 20 MB with their failures.
pub(super) const MOST_ACCOUNTS: usize = 50_000;

/// What is known of one account.
#[derive(Debug)]
struct Account {
    shown: String,
    /// When, and from where if that is known.
    failures: VecDeque<(i64, Option<IpAddr>)>,
    /// When somebody signed in after an attack, and after how many failures.
    taken: Option<(i64, usize)>,
    newest_ms: i64,
}

/// All accounts whose passwords failed of late.
#[derive(Debug, Default)]
pub(super) struct Accounts(HashMap<u64, Account>);

impl Accounts {
    /// Takes in a failure.
    pub(super) fn fail(&mut self, key: u64, email: &str, from: Option<IpAddr>, at_ms: i64) {
        if self.0.len() >= MOST_ACCOUNTS && !self.0.contains_key(&key) {
            self.make_room(at_ms);
        }
        let fresh = || Account { shown: masked(email), failures: VecDeque::new(), taken: None, newest_ms: at_ms };
        let account = self.0.entry(key).or_insert_with(fresh);
        account.newest_ms = account.newest_ms.max(at_ms);
        account.failures.push_back((at_ms, from));
        if account.failures.len() > MOST_FAILURES {
            account.failures.pop_front();
        }
    }

    /// Takes in that somebody signed in: the failures before are hers, or she is the one who made them.
    pub(super) fn sign_in(&mut self, key: u64, at_ms: i64) {
        let Some(account) = self.0.get_mut(&key) else { return };
        account.failures.retain(|(failed_ms, _)| *failed_ms >= at_ms - WINDOW_MS);
        if account.failures.len() >= FAILURES {
            account.taken = Some((at_ms, account.failures.len()));
            account.newest_ms = account.newest_ms.max(at_ms);
        }
        account.failures.clear();
    }

    /// Forgets what no longer counts.
    pub(super) fn forget_before(&mut self, since_ms: i64) {
        for account in self.0.values_mut() {
            account.failures.retain(|(failed_ms, _)| *failed_ms >= since_ms);
            account.taken = account.taken.filter(|(taken_ms, _)| *taken_ms >= since_ms);
        }
        self.0.retain(|_, account| !account.failures.is_empty() || account.taken.is_some());
    }

    /// Forgets what no longer counts, and then whoever has the fewest failures.
    fn make_room(&mut self, now_ms: i64) {
        self.forget_before(now_ms - WINDOW_MS);
        let mut sizes: Vec<(usize, i64, u64)> =
            self.0.iter().map(|(key, account)| (account.failures.len(), account.newest_ms, *key)).collect();
        sizes.sort_unstable();
        let too_many = self.0.len().saturating_sub(MOST_ACCOUNTS / 2);
        for (_, _, key) in sizes.into_iter().take(too_many) {
            self.0.remove(&key);
        }
    }

    /// Returns the accounts that are attacked or were taken, the worst first.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut found: Vec<(bool, usize, Finding)> = self.0.values().filter_map(judge).collect();
        found.sort_by_key(|(is_taken, failures, finding)| {
            (!is_taken, std::cmp::Reverse(*failures), finding.to_string())
        });
        found.into_iter().map(|(_, _, finding)| finding).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn judge(account: &Account) -> Option<(bool, usize, Finding)> {
    let shown = account.shown.clone();
    if let Some((_, failures)) = account.taken {
        return Some((true, failures, Finding::Takeover { account: shown, failures }));
    }
    let failures = account.failures.len();
    let addresses: HashSet<&IpAddr> = account.failures.iter().filter_map(|(_, from)| from.as_ref()).collect();
    let addresses = addresses.len().max(1);
    (failures >= FAILURES).then_some((false, failures, Finding::BruteForce { account: shown, failures, addresses }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_in_an_hour_are_an_attack_and_a_login_after_them_a_possible_takeover() {
        let mut accounts = Accounts::default();
        let from = |number: u8| Some(IpAddr::from([192, 0, 2, number]));
        for number in 0..9 {
            accounts.fail(1, "ada@example.com", from(number % 3), i64::from(number));
        }
        assert_eq!(accounts.findings(), []);
        accounts.fail(1, "ada@example.com", from(0), 9);
        let said = |accounts: &Accounts| accounts.findings().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(said(&accounts), ["brute force: 10 passwords of a…@example.com failed from 3 addresses in 60 min"]);
        accounts.sign_in(1, 10);
        assert_eq!(said(&accounts), ["possible takeover: a…@example.com signed in after 10 wrong passwords"]);
        accounts.forget_before(11);
        assert_eq!((said(&accounts).len(), accounts.len()), (0, 0));
    }

    #[test]
    fn a_login_after_few_failures_is_its_owners_and_forgets_them() {
        let mut accounts = Accounts::default();
        for round in 0..3 {
            (0..9).for_each(|number| accounts.fail(1, "a@example.com", None, round * 100 + number));
            accounts.sign_in(1, round * 100 + 50);
        }
        assert_eq!(accounts.findings(), []);
    }
}
