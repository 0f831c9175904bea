//! The real binary beside a real BullMQ, and beside job tables: what it takes in, what it redrives, and what kill -9 leaves behind.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod asked;
mod killed;
mod machine;
mod modes;
mod tables;
