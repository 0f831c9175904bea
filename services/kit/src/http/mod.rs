//! HTTP as every binary speaks it: one error body, ids in and out, limits, counted requests, a drained server.

mod access;
mod access_settings;
mod client;
mod digest;
mod error;
mod key;
mod layers;
mod network;
mod place;
mod rejection;
mod retry_after;
mod server;
mod sized;
mod span;
mod tls;
mod unread;

pub use access::{Access, Caller, Credential, Identity, Role, Via, bearer, bears, peer};
pub use access_settings::{ACCESS_NAMES, AccessSettings, Public, decode_access, is_access_name};
pub use client::{Client, client, get, root_cause};
pub(crate) use client::{Speaks, client_that};
pub use digest::SecretDigest;
pub use error::{ApiError, ErrorMessage, whole_secs};
pub use key::{API_KEY, ServiceKey, no_key, shown_key};
pub use layers::{Endpoints, PROBE_HEADER, REQUEST_ID, RequestIds, TRACE_ID, not_found, with_conventions};
pub use network::{Network, host_of};
pub use place::Place;
pub use retry_after::retry_after;
pub use server::{EachCore, Limits, MakeRouter, bind, serve, serve_each_core};
pub use span::{Asking, Path, describe, trace_of, traced};
pub use tls::ServerTls;
