//! The process: `run` (the default) and `healthcheck`.

use std::process::ExitCode;

use api_gateway::{Settings, run};
use mimalloc::MiMalloc;

/// A request takes and gives back memory in many small pieces: with the system's allocator a tenth fewer are answered
/// (`compose/bench/run --only gateway`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    kit::service::main::<Settings>(run).await
}
