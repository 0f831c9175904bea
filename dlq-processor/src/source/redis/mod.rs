//! What sources on Redis have in common: the way to a server, what is kept of fields, patterns of keys, and whether a server
//! throws away what it has no room for.

mod evicting;
pub(super) mod glob;
pub(super) mod kept;
mod server;

pub(super) use server::{Lua, Server};
