//! The process: `run` (the default) and `healthcheck`.

use std::process::ExitCode;

use api_gateway::{Settings, run};

#[tokio::main]
async fn main() -> ExitCode {
    kit::service::main::<Settings>(run).await
}
