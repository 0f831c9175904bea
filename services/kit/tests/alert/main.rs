//! The alert client against monitors on loopback that are away, busy, or refuse. Its clock stands until a test moves it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

mod bench;
mod delivery;
mod outage;
mod refusal;
