//! What was found, in words that anybody may read.

use std::fmt;

use super::accounts::WINDOW_MS as ACCOUNT_MS;
use super::network::Network;
use super::sources::WINDOW_MS as SOURCE_MS;

const MS_PER_MINUTE: i64 = 60_000;

/// A pattern that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Passwords of many accounts are tried from one place.
    Stuffing {
        /// Accounts that failed and did not sign in.
        accounts: usize,
        from: Network,
    },
    /// Passwords of one account are tried.
    BruteForce { account: String, failures: usize, addresses: usize },
    /// Somebody signed in after such tries.
    Takeover { account: String, failures: usize },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stuffing { accounts, from } => {
                let minutes = SOURCE_MS / MS_PER_MINUTE;
                write!(f, "credential stuffing: {accounts} accounts failed from {from} in {minutes} min")
            }
            Self::BruteForce { account, failures, addresses } => {
                let minutes = ACCOUNT_MS / MS_PER_MINUTE;
                let from = if *addresses == 1 { "one address".to_owned() } else { format!("{addresses} addresses") };
                write!(f, "brute force: {failures} passwords of {account} failed from {from} in {minutes} min")
            }
            Self::Takeover { account, failures } => {
                write!(f, "possible takeover: {account} signed in after {failures} wrong passwords")
            }
        }
    }
}

/// An address as a page may show it to everybody: enough to recognise, not enough to write to.
pub(super) fn masked(email: &str) -> String {
    match email.rsplit_once('@') {
        Some((local, domain)) => format!("{}…@{domain}", local.chars().take(1).collect::<String>()),
        None => "…".to_owned(),
    }
}
