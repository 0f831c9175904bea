//! Accounts, sessions and tokens.

mod account;
mod credentials;
mod events;
mod lockout;
mod login;
mod password;
mod routes;
mod session;
mod stream;
mod token;
mod users;
mod who;

pub(crate) use routes::{Auth, routes};
