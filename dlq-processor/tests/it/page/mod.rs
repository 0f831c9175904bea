//! The page of the real binary beside a real BullMQ: what a person reads there, and what nobody is shown.

mod letter;
mod overview;
mod plan;
mod reader;
