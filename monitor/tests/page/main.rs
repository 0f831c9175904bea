//! What people see in a browser: every state, hostile text, charts from real history, badges, and the page itself in
//! headless Chromium.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that panics has failed")]

mod actions;
mod alerting;
mod badges;
mod browser;
mod findings;
mod healing;
mod history;
mod incidents;
mod overview;
mod prepared;
mod service;
mod told;
