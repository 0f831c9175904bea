//! Accounts, sessions and tokens.

mod account;
mod admin;
mod clearances;
mod credentials;
mod ending;
mod events;
mod keyring;
mod keys;
mod links;
mod lockout;
mod login;
mod mails;
mod new_password;
mod password;
mod profile;
#[cfg(test)]
mod race_tests;
mod relay;
mod reset;
mod routes;
mod second_factor;
mod session;
mod sessions;
mod stream;
mod token;
mod totp;
mod totp_routes;
mod tries;
mod users;
mod uses;
mod verification;
mod who;

pub(crate) use clearances::CLEARANCES;
pub(crate) use keyring::{Pair, Signing};
pub(crate) use keys::{Scope, service};
pub(crate) use relay::{REDIS, Relay};
pub(crate) use routes::{Auth, KEYS, routes};
pub(crate) use users::is_watched;
pub(crate) use who::Caller;
