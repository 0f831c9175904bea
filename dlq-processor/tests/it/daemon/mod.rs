//! The real binary beside a real BullMQ, beside job tables, and beside streams: what it takes in, what it redrives, and what
//! kill -9 leaves behind.

mod asked;
mod killed;
pub(crate) mod machine;
mod modes;
mod planned;
mod replicas;
mod streams;
mod tables;
