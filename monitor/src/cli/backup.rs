//! `monitor backup` and `monitor restore`.

use std::path::PathBuf;
use std::process::ExitCode;

use kit::cli::{complain, say};
use kit::config::Environment;
use kit::exit;
use monitor::record::{LockError, backup, restore};
use monitor::{Config, Engine, Kinds};

/// A folder of copies, and the configuration that says where the data is.
#[derive(Debug, clap::Args)]
pub(super) struct CopyCommand {
    /// The folder of the backup.
    folder: PathBuf,
    /// A YAML file, or a folder of them.
    #[arg(long, env = "MONITOR_CONFIG", default_value = "monitor.yml")]
    config: PathBuf,
}

impl CopyCommand {
    fn data(&self) -> Result<PathBuf, ExitCode> {
        let config = Config::load(&self.config, &Environment::of_process());
        match Engine::new(&config, Kinds::standard()) {
            Ok(engine) => Ok(engine.plan().data_dir.clone()),
            Err(error) => {
                complain(&error);
                Err(ExitCode::from(exit::CONFIG))
            }
        }
    }
}

pub(super) async fn back_up(command: &CopyCommand) -> ExitCode {
    let data = match command.data() {
        Ok(data) => data,
        Err(code) => return code,
    };
    report(
        backup(&data, &command.folder)
            .await
            .map(|made| made.iter().map(|file| format!("wrote {}", file.display())).collect::<Vec<_>>().join("\n")),
    )
}

pub(super) async fn put_back(command: &CopyCommand) -> ExitCode {
    let data = match command.data() {
        Ok(data) => data,
        Err(code) => return code,
    };
    let restored = restore(&data, &command.folder).await;
    report(restored.map(|aside| format!("restored; what was there is in {}", aside.display())))
}

fn report(result: anyhow::Result<String>) -> ExitCode {
    match result {
        Ok(line) => {
            say(&line);
            ExitCode::from(exit::YES)
        }
        Err(error) => {
            complain(format_args!("monitor: {error:#}"));
            let is_held = matches!(error.downcast_ref(), Some(LockError::Held { .. }));
            ExitCode::from(if is_held { exit::BUSY } else { exit::SYSTEM })
        }
    }
}
