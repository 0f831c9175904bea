//! The daemon `auth-monitor`.

use std::process::ExitCode;

fn main() -> ExitCode {
    auth_monitor::main()
}
