//! What sources on Redis have in common: the way to a server, what is kept of fields, patterns of keys, and what a server
//! does with what it has no room for, or when it crashes.

mod evicting;
pub(super) mod glob;
pub(super) mod kept;
mod lists;
mod notes;
mod scan;
mod server;

pub(crate) use lists::List;
pub use lists::Lists;
pub(super) use lists::decode_lists;
pub(super) use scan::KEYS;
pub(super) use server::{Lua, Server};
