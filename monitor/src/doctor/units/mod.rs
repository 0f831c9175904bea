//! systemd unit files: read as systemd.syntax(7) and systemd.unit(5) say, with their drop-ins.
//!
//! Nothing is asked of a running systemd; with a root folder given, programs are looked for in it.

mod read;

pub(super) use read::program_of;
pub use read::{Request, Setting, Unit, UnitSet, load};
