//! Who may do what, through the whole engine: roles, sessions, links, what a stranger learns, and the audit of it all.

mod audited;
mod forms;
mod links;
mod roles;
mod sessions;
mod strangers;
mod tokens;
mod visitor;
mod ways;
