//! The daemon `monitor` and its command line.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: a keeper is small and needs neither runtime nor logger nor TLS.
    if let Some(code) = monitor::supervise::keeper::keep_if_asked(std::env::args_os()) {
        return code;
    }
    kit::tls::install();
    cli::main()
}
