//! What every command line does alike: read arguments, ask a running daemon, and print for people and pipes.

mod arguments;
mod asking;
mod output;
#[cfg(feature = "terminal")]
mod terminal;

pub use arguments::{matches, refuse};
pub use asking::{AskError, Asked, Question, read};
pub use output::{at, complain, print_json, quoted, say, word};
#[cfg(feature = "terminal")]
pub use terminal::{Drawing, MINUTES, SECONDS, is_colourful, is_live, local, size, table};
