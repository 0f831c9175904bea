//! `monitor token`: makes a token, shows it once, and says what to write into the configuration.

use std::process::ExitCode;

use clap::ValueEnum;
use kit::cli::{complain, say};
use kit::exit;
use kit::http::SecretDigest;
use monitor::export::{ACCESS_NAMES, is_access_name};
use monitor::fresh_token;
use secrecy::ExposeSecret;

/// Makes a token for somebody; it is shown once and kept nowhere.
#[derive(Debug, clap::Args)]
pub(super) struct TokenCommand {
    /// Whose it is.
    name: String,
    /// What she may do.
    #[arg(long, value_enum, default_value_t = Role::Viewer)]
    role: Role,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    /// A program that posts alerts, and may nothing else.
    Source,
    /// Reads everything.
    Viewer,
    /// Changes what is going on, and reads the audit.
    Operator,
    /// As operator, and whatever changes who may do what.
    Admin,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

pub(super) fn run(command: &TokenCommand) -> ExitCode {
    if !is_access_name(&command.name) {
        complain(format_args!("monitor: names are {ACCESS_NAMES}, not {:?}", command.name));
        return ExitCode::from(exit::USAGE);
    }
    let token = fresh_token();
    let digest = SecretDigest::of(token.expose_secret().as_bytes()).to_hex();
    say(format_args!("The token of {}, shown this once:", command.name));
    say(format_args!("  {}", token.expose_secret()));
    say("What to add to the configuration, under access.tokens:");
    say(format_args!("  - {{ name: {:?}, role: {}, sha256: \"{digest}\" }}", command.name, command.role.as_str()));
    ExitCode::from(exit::YES)
}
