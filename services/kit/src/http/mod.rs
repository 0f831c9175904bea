//! HTTP as every binary speaks it: one error body, ids in and out, limits, counted requests, a drained server.

mod client;
mod digest;
mod error;
mod guard;
mod key;
mod layers;
mod rejection;
mod server;

pub use client::{Client, client, get, root_cause};
pub use digest::SecretDigest;
pub use error::ApiError;
pub use guard::{Identity, Operator, bears, require_operator};
pub use key::{API_KEY, ServiceKey};
pub use layers::{Endpoints, PROBE_HEADER, REQUEST_ID, RequestIds, TRACE_ID, with_conventions};
pub use server::{Limits, bind, serve};
