//! The daemon `dlq-processor`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    dlq_processor::main().await
}
