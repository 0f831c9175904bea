//! What every binary of the suite shares, so that no daemon has its own way of being configured, logged, asked or stopped.

pub mod clock;
pub mod config;
pub mod trace;
