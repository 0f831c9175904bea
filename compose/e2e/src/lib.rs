//! What the tests in `tests/` share, and nothing that is shipped. What cannot be set up ends the test with a panic.

mod ask;
mod program;

pub use ask::{ask, get};
pub use program::{KEY, LIMIT, Program, SECRET, program};
