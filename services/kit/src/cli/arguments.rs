//! Usage errors exit 64, configuration mistakes are listed and exit 78.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use super::complain;
use crate::exit;

/// Reads the process's arguments. Otherwise returns the code to exit with, having printed help, version or the error.
///
/// # Errors
/// [`exit::YES`] after `--help` and `--version`, [`exit::USAGE`] after a wrong command line.
pub fn matches(command: Command) -> Result<ArgMatches, ExitCode> {
    command.try_get_matches().map_err(|error| {
        // Nothing better can be done when standard output is closed.
        let _closed = error.print();
        ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::YES })
    })
}

/// Prints configuration mistakes to standard error, each on its own line, and returns [`exit::CONFIG`].
pub fn refuse(mistakes: &[String]) -> ExitCode {
    mistakes.iter().for_each(complain);
    ExitCode::from(exit::CONFIG)
}
