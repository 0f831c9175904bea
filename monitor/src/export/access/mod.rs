//! Who may do what: tokens and sessions with roles, one table of what each route needs, and the OpenAPI words for it.
//!
//! A route that the table does not name is a detail when it reads and an operator's when it writes.

mod attempts;
mod guard;
mod reception;
mod security;
mod sessions;

pub use guard::Visitor;
pub(super) use guard::{guarded, is_browser};
pub use reception::Reception;
pub(super) use reception::Refusal;
pub(super) use security::Security;
