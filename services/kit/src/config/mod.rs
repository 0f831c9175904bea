//! Configuration as a located tree: every value knows its file, line, column and key path, and mistakes are collected
//! rather than thrown one by one.
//!
//! `load` reads files and the environment into a [`Node`] tree; each module then decodes its own section through a
//! [`Cursor`], which reports what is wrong into [`Mistakes`]. Nothing here knows what the keys mean.

mod decode;
mod load;
mod mistakes;
mod substitute;
mod tree;
mod units;

pub use crate::secret_file::read as read_secret_file;
pub use decode::{Cursor, Fields};
pub use load::{Environment, Source, load, load_knowing, load_text};
pub use mistakes::{Mistake, Mistakes, suggest};
pub use tree::{Entry, Node, Place, Value};
pub use units::{parse_bytes, parse_duration, parse_ratio, show_duration};
