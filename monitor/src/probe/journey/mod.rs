//! Kind `journey`: several `http` steps, one after the other, as one visitor takes them. They share cookies and what
//! earlier answers held; the first step that fails ends the way, and is named.
//!
//! Where a step goes is written in the configuration: no answer can lead it to another host but by a redirect.

mod extract;
mod settings;
mod step;
mod template;
mod travel;
mod walk;

pub(crate) use settings::Journey;
