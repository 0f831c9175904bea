//! Redis Streams with consumers as programs have them, and our source of dead letters beside them.

mod again;
mod dead;
mod groups;
mod listed;
mod orders;
mod stage;
mod states;
mod trimmed;
