//! Proves that each help does what its name says.

mod eventually;
mod port;

use std::time::Duration;

/// Far longer than anything on loopback takes; reaching it fails a test.
const LIMIT: Duration = Duration::from_secs(10);
