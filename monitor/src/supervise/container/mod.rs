//! Watches Docker containers: somebody else runs them, we keep the ledger.
//!
//! * `settings` reads `workload: { container: … }`.
//! * `facts` is what the engine says (`ways` where a container is reached), `tracker` (with `known`, `stopping` and `log_slice`) translates it into our
//!   events and is pure.
//! * `discover` looks for containers that want to be watched: `survey` translates, and is pure; `scout` is the task.
//! * `image` asks it what is in an image, with `image_tree`, which lays layers over each other.
//! * `connection` asks the engine, and only reads except for what is ordered; `watch` is the one task for each engine.

mod address;
mod connection;
mod discover;
mod facts;
mod image;
mod image_tree;
mod known;
mod log_slice;
mod scout;
mod settings;
mod stopping;
mod survey;
mod tracker;
mod watch;
mod ways;

pub use address::Address as EngineAddress;
pub use image::{ImageEngine, LookedAt};
pub(super) use settings::Container;
