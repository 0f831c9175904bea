//! The command line of the platform services: `run` (the default) and `healthcheck`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kit::config::Environment;

/// Sign-in and analytics of the platform.
#[derive(Parser)]
#[command(name = "platform-services", version, after_help = platform_services::VARIABLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT; the default.
    Run,
    /// Asks URL once: exit 0 if it answers 2xx, else 1. Default: /livez of the service that these variables describe.
    Healthcheck { url: Option<String> },
}

#[tokio::main]
async fn main() -> ExitCode {
    kit::tls::install();
    let environment = Environment::of_process();
    let url = match kit::cli::parse::<Cli>().map(|cli| cli.command) {
        Err(code) => return code,
        Ok(None | Some(Command::Run)) => return platform_services::start(&environment).await,
        Ok(Some(Command::Healthcheck { url })) => url,
    };
    match url.map_or_else(|| platform_services::own_url(&environment, "/livez"), Ok) {
        Ok(url) => kit::healthcheck::run(&url, kit::healthcheck::TIMEOUT).await,
        Err(mistakes) => kit::cli::refuse(&mistakes),
    }
}
