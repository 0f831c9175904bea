//! Help for tests: waiting for something to become true, and free ports.
//!
//! For tests only: nothing here is shipped, and what cannot be set up ends the test with a panic.

mod eventually;
mod port;

pub use eventually::eventually;
pub use port::free_port;
