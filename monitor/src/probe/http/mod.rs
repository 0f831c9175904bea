//! Kind `http`: one request on a new connection, every phase timed, redirects followed hop by hop.
//!
//! Nothing is pooled or resumed: a probe asks what a new client would get. The connection is driven inside the probe's
//! own future, so that dropping the probe closes it.

mod api;
mod ask;
mod body;
mod call;
mod cookies;
mod exchange;
mod failure;
mod heard;
mod hop;
mod label;
mod options;
mod proxy;

pub use api::{Answer, Api};
pub(super) use api::{Means, below, decode_base};
pub use call::Call;
pub use cookies::Cookies;
pub(super) use exchange::Exchange;
pub(super) use failure::{ended_early, within_body};
pub(super) use hop::{Hop, drop_credentials, same_host, show};
pub(crate) use options::Http;
pub(super) use options::{Options, decode, decode_headers};
pub(super) use proxy::tunnel;
