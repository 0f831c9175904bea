//! Exit codes of all our programs, so that scripts and unit files can tell causes apart.

/// Yes: it worked, the target is healthy, the gate is open.
pub const YES: u8 = 0;
/// No: the target is not healthy, the gate is shut.
pub const NO: u8 = 1;
/// No decision within the time that was given.
pub const UNDECIDED: u8 = 2;
/// Wrong command line (EX_USAGE, sysexits.h).
pub const USAGE: u8 = 64;
/// The daemon to be asked is not reachable (EX_UNAVAILABLE, sysexits.h).
pub const UNREACHABLE: u8 = 69;
/// A fault of our own (EX_SOFTWARE, sysexits.h).
pub const SOFTWARE: u8 = 70;
/// A resource of the system is missing, such as the port (EX_OSERR, sysexits.h).
pub const SYSTEM: u8 = 71;
/// Another process holds what only one may have (EX_TEMPFAIL, sysexits.h).
pub const BUSY: u8 = 75;
/// Configuration mistakes (EX_CONFIG, sysexits.h).
pub const CONFIG: u8 = 78;
