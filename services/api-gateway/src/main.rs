//! The command line of the API gateway: `run` (the default) and `healthcheck`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kit::config::Environment;

/// The platform's front door: aggregate health, and the way to the Airtable gateway.
#[derive(Parser)]
#[command(name = "api-gateway", version, after_help = api_gateway::VARIABLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT; the default.
    Run,
    /// Asks URL once: exit 0 if it answers 2xx, else 1. Default: /livez of the gateway that these variables describe.
    Healthcheck { url: Option<String> },
}

#[tokio::main]
async fn main() -> ExitCode {
    kit::tls::install();
    let environment = Environment::of_process();
    let url = match kit::cli::parse::<Cli>().map(|cli| cli.command) {
        Err(code) => return code,
        Ok(None | Some(Command::Run)) => return api_gateway::start(&environment).await,
        Ok(Some(Command::Healthcheck { url })) => url,
    };
    match url.map_or_else(|| api_gateway::own_url(&environment, "/livez"), Ok) {
        Ok(url) => kit::healthcheck::run(&url, kit::healthcheck::TIMEOUT).await,
        Err(mistakes) => kit::cli::refuse(&mistakes),
    }
}
