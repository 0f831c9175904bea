//! Sign-in of the platform: accounts, sessions, tokens, and what others may know of them; and analytics: what people and
//! services did, and what it cost.
//!
//! A session begins with a login and holds one refresh token at a time; an access token is good as long as its session.
//! Whoever ends the session (logout, a refresh token used twice, a new password, a deleted account) ends all of its tokens.

mod analytics;
mod app;
mod auth;
mod clearance;
mod health;
mod mail;
mod openapi;
mod problem;
mod settings;
mod store;
mod tables;
mod time;

pub use app::run;
pub use settings::Settings;
