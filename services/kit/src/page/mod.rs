//! The look of pages, shared by every daemon: one style sheet, one layout, charts as SVG, badges, and the words for
//! times and lengths. What a page says is its daemon's business.

mod assets;
mod badge;
pub mod chart;
mod html;
mod layout;
mod tone;
pub mod words;

pub use assets::with_assets;
pub use badge::{Badge, shields};
pub use html::{Html, escape};
pub use layout::{Link, Page, Visitor};
pub use tone::Tone;
