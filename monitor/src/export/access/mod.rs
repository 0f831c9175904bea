//! Who may do what: tokens and sessions with roles, one table of what each route needs, and the OpenAPI words for it.
//!
//! A route that the table does not name is a detail when it reads and an operator's when it writes.

mod attempts;
mod guard;
mod reception;
mod security;
mod sessions;
mod settings;

pub use guard::Visitor;
pub(super) use guard::{guarded, is_browser};
pub use reception::Reception;
pub(super) use reception::{Refusal, own_names};
pub(super) use security::Security;
pub use settings::{ACCESS_NAMES, AccessSettings, Public, decode_access, is_access_name};
