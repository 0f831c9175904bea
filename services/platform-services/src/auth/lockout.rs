//! How long somebody must wait after failed tries. Pure, but for the row that counts them.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use kit::db::Transaction;
use kit::http::host_of;

use crate::time::millis;

/// What is known of somebody's tries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tries {
    failures: u32,
    last_ms: i64,
}

/// Whether a try may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Try {
    /// Not before this has passed.
    Wait(Duration),
    /// It may; if it fails, the next one must wait.
    Last,
    /// It may.
    May,
}

/// Whose tries are counted, and how.
#[derive(Debug, Clone, Copy)]
pub(super) enum Policy {
    /// Some tries are free; each one after them waits twice as long as the last.
    BackOff {
        /// Tries without a wait.
        free: u32,
        /// The first wait.
        first: Duration,
        /// No wait is longer.
        longest: Duration,
        /// After so long without a try everything is forgotten.
        forget: Duration,
    },
    /// A bucket that holds so many failures and loses one each time that this has passed.
    Leak {
        /// What it holds.
        size: u32,
        /// Until one has leaked.
        each: Duration,
    },
}

/// Of one account: 5 tries, and in the end 4 an hour (OWASP ASVS 4.0.3, 2.2.1: no more than 100 an hour).
const ACCOUNT: Policy = Policy::BackOff {
    free: 5,
    first: Duration::from_secs(30),
    longest: Duration::from_secs(15 * 60),
    forget: Duration::from_secs(3600),
};
/// From one address, which a whole office may share: its mistakes leak, whoever else signs in meanwhile. A monitor without a
/// key of its own, that tries a wrong password twice a minute, stays below it.
const ADDRESS: Policy = Policy::Leak { size: 50, each: Duration::from_secs(20) };
/// Registrations from one address: each makes rows that stay, and costs a hash.
const REGISTRATIONS: Policy = Policy::Leak { size: 200, each: Duration::from_secs(10) };

/// Mails to one account: three at once, and then three an hour, so that nobody's letter box is filled.
const MAILS_TO: Policy = Policy::Leak { size: 3, each: Duration::from_secs(20 * 60) };
/// Mails that are asked for from one address.
const MAILS_FROM: Policy = Policy::Leak { size: 20, each: Duration::from_secs(180) };

/// Whose tries are counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Who<'a> {
    /// Whoever tries this account, whether there is one or not.
    Account(&'a str),
    /// Whoever signs in from this address.
    Address(IpAddr),
    /// Whoever registers from this address.
    Registering(IpAddr),
    /// Whoever wants this e-mail address confirmed.
    Verifying(&'a str),
    /// Whoever wants a new password for this account, whether there is one or not.
    Resetting(&'a str),
    /// Whoever has forgotten a password at this address.
    Forgetting(IpAddr),
}

impl Who<'_> {
    fn key(self) -> String {
        match self {
            Self::Account(email) => format!("account {email}"),
            Self::Address(address) => format!("address {}", host_of(address)),
            Self::Registering(address) => format!("registering {}", host_of(address)),
            Self::Verifying(email) => format!("verifying {email}"),
            Self::Resetting(email) => format!("resetting {email}"),
            Self::Forgetting(address) => format!("forgetting {}", host_of(address)),
        }
    }

    fn policy(self) -> Policy {
        match self {
            Self::Account(_) => ACCOUNT,
            Self::Address(_) => ADDRESS,
            Self::Registering(_) => REGISTRATIONS,
            Self::Verifying(_) | Self::Resetting(_) => MAILS_TO,
            Self::Forgetting(_) => MAILS_FROM,
        }
    }
}

impl Policy {
    /// Counts a try, or says how long to wait instead.
    fn count(self, tries: Tries, now_ms: i64) -> (Try, Tries) {
        // A clock that was set back counts from now on.
        let tries = Tries { last_ms: tries.last_ms.min(now_ms), ..tries };
        let passed = Duration::from_millis(u64::try_from(now_ms - tries.last_ms).unwrap_or(0));
        let may = |is_last| if is_last { Try::Last } else { Try::May };
        match self {
            Self::BackOff { free, first, longest, forget } => {
                let failures = if passed > forget { 0 } else { tries.failures };
                let locked = failures.checked_sub(free);
                let locked = locked.map(|over| first.saturating_mul(2u32.saturating_pow(over)).min(longest));
                let left = locked.and_then(|locked| locked.checked_sub(passed)).filter(|left| !left.is_zero());
                match left {
                    Some(left) => (Try::Wait(left), tries),
                    None => {
                        (may(failures + 1 >= free), Tries { failures: failures.saturating_add(1), last_ms: now_ms })
                    }
                }
            }
            Self::Leak { size, each } => {
                let each_ms = millis(each).max(1);
                let leaked = (now_ms - tries.last_ms) / each_ms;
                let level = i64::from(tries.failures).saturating_sub(leaked).max(0);
                let level = u32::try_from(level).unwrap_or(u32::MAX);
                let last_ms = if level == 0 { now_ms } else { tries.last_ms + leaked * each_ms };
                if level >= size {
                    let left = u64::try_from(last_ms + each_ms - now_ms).unwrap_or(0);
                    return (Try::Wait(Duration::from_millis(left)), Tries { failures: level, last_ms });
                }
                (may(level + 1 >= size), Tries { failures: level + 1, last_ms })
            }
        }
    }
}

/// Counts a try as failed before it is made, so that many at once are not one.
pub(super) async fn begin_try(transaction: &mut Transaction, who: Who<'_>) -> Result<Try, sqlx::Error> {
    let key = who.key();
    transaction.lock(&format!("platform-services tries {key}")).await?;
    // Held too: whoever takes a try back waits for nobody's lock but the row's.
    let sql = "SELECT failures, last_ms FROM tries WHERE who = $1 {for_update}";
    let found: Option<(i64, i64)> = transaction.row(sql, &[key.as_str().into()]).await?;
    let tries = found.map_or_else(Tries::default, |(failures, last_ms)| Tries {
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
        last_ms,
    });
    // After the lock, so that whoever waited for it does not count from before.
    let (may, tries) = who.policy().count(tries, Timestamp::now().as_millisecond());
    if !matches!(may, Try::Wait(_)) {
        let sql = "INSERT INTO tries (who, failures, last_ms) VALUES ($1, $2, $3)
            ON CONFLICT (who) DO UPDATE SET failures = excluded.failures, last_ms = excluded.last_ms";
        let binds = [key.as_str().into(), i64::from(tries.failures).into(), tries.last_ms.into()];
        transaction.change(sql, &binds).await?;
    }
    Ok(may)
}

/// Forgets somebody's tries.
pub(super) async fn forget(transaction: &mut Transaction, who: Who<'_>) -> Result<(), sqlx::Error> {
    transaction.change("DELETE FROM tries WHERE who = $1", &[who.key().as_str().into()]).await.map(|_tries| ())
}

/// Takes one try back, which did not fail: others may have been somebody else's.
pub(super) async fn take_back(transaction: &mut Transaction, who: Who<'_>) -> Result<(), sqlx::Error> {
    let sql = "UPDATE tries SET failures = failures - 1 WHERE who = $1 AND failures > 0";
    transaction.change(sql, &[who.key().as_str().into()]).await.map(|_tries| ())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tries(failures: u32) -> Tries {
        Tries { failures, last_ms: 0 }
    }

    #[test]
    fn some_tries_are_free_and_then_each_wait_is_twice_the_last_up_to_the_longest() {
        let may = |failures| ACCOUNT.count(tries(failures), 0).0;
        let wait = |secs| Try::Wait(Duration::from_secs(secs));
        assert_eq!([0, 3, 4].map(may), [Try::May, Try::May, Try::Last]);
        assert_eq!([5, 6, 7, 9, 10, 99].map(may), [30, 60, 120, 480, 900, 900].map(wait));
        let later = |now_ms| ACCOUNT.count(tries(5), now_ms).0;
        assert_eq!([10_000, 29_999, 30_000].map(later), [wait(20), Try::Wait(Duration::from_millis(1)), Try::Last]);
    }

    #[test]
    fn after_an_hour_without_a_try_all_is_forgotten() {
        let failures = |now_ms| ACCOUNT.count(tries(7), now_ms).1.failures;
        assert_eq!([3_600_000, 3_600_001].map(failures), [8, 1]);
    }

    #[test]
    fn what_fails_from_an_address_leaks_however_busy_it_is() {
        let (mut full, mut waits) = (tries(0), 0);
        for _free in 0..50 {
            let (may, next) = ADDRESS.count(full, 0);
            waits += u32::from(matches!(may, Try::Wait(_)));
            full = next;
        }
        assert_eq!((waits, ADDRESS.count(full, 0).0), (0, Try::Wait(Duration::from_secs(20))));
        let (may, next) = ADDRESS.count(full, 30_000);
        assert_eq!(
            (may, next),
            (Try::Last, Tries { failures: 50, last_ms: 20_000 }),
            "one has leaked, and half of another"
        );
        assert_eq!(ADDRESS.count(full, 3_600_000).1, Tries { failures: 1, last_ms: 3_600_000 });
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_for_longer() {
        let ahead = Tries { failures: 5, last_ms: 1_000_000_000 };
        assert_eq!(ACCOUNT.count(ahead, 0).0, Try::Wait(Duration::from_secs(30)));
        assert_eq!(ADDRESS.count(Tries { failures: 50, ..ahead }, 0).0, Try::Wait(Duration::from_secs(20)));
    }

    proptest! {
        /// However somebody spreads them, an account bears few tries an hour.
        #[test]
        fn no_account_bears_a_hundred_tries_an_hour(gaps in proptest::collection::vec(prop_oneof![0i64..2_000, 0i64..120_000, 0i64..4_000_000], 1..500)) {
            let (mut known, mut now_ms, mut made) = (Tries::default(), 0, Vec::new());
            for gap in gaps {
                now_ms += gap;
                let (may, next) = ACCOUNT.count(known, now_ms);
                known = next;
                if !matches!(may, Try::Wait(_)) {
                    made.push(now_ms);
                }
            }
            for (place, at) in made.iter().enumerate() {
                let within = made.iter().skip(place).take_while(|other| **other < at + 3_600_000).count();
                prop_assert!(within < 40, "{within} tries within an hour of {at}");
            }
        }
    }
}
