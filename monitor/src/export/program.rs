//! Which program an engine is part of.

/// What a program is called wherever it names itself: on pages, in answers and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

impl Program {
    /// The daemon of this crate.
    pub const MONITOR: Self = Self { name: "monitor", version: env!("CARGO_PKG_VERSION") };
}
