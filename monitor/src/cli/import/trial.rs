//! Reads what is about to be printed as the daemon would.

use kit::config::Environment;
use monitor::app::Plan;
use monitor::{Config, Kinds};

use super::super::scratch::Scratch;

/// What it is called in messages; people write it so.
const NAME: &str = "monitor.yml";

/// Returns every mistake in a configuration, at its line: what another tool takes, ours may not.
///
/// # Errors
/// There is no place to try it.
pub(super) fn mistakes(text: &str) -> Result<Vec<String>, String> {
    let failed = |error: std::io::Error| format!("cannot try what was made: {error}");
    let scratch = Scratch::new().map_err(failed)?;
    let file = scratch.file(NAME);
    std::fs::write(&file, text).map_err(failed)?;
    let plan = Plan::of(&Config::load(&file, &Environment::of_process()), &Kinds::standard());
    let said = plan.err().map(|error| error.to_string()).unwrap_or_default();
    Ok(said.replace(&*file.to_string_lossy(), NAME).lines().map(str::to_owned).collect())
}
