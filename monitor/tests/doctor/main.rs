//! The doctor on whole projects: clean ones, the one with every mistake, and clean ones with one mistake put in.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod clean;
mod cli;
mod engine;
mod footing;
mod mended;
mod mutations;
mod original;
mod reviewed;
mod shapes;
mod telemetry;

use std::path::{Path, PathBuf};

use monitor::doctor::compose::{Project, Request, load};
use monitor::doctor::{Finding, compose_rules, diagnose};

/// Returns a folder of the fixtures.
fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/doctor").join(name)
}

/// Reads the compose files of a folder as Compose does when it is told nothing.
fn read(folder: &Path) -> Result<Project, String> {
    let over = folder.join("compose.override.yml");
    let mut files = vec![folder.join("compose.yml")];
    files.extend(Some(over).filter(|file| file.is_file()));
    load(&Request { files, ..Request::default() })
}

fn findings(project: &Project) -> Vec<Finding> {
    diagnose(project, &compose_rules(), &project.sources)
}

/// Returns the folders of the clean projects, by name.
fn clean_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(fixtures("clean")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}
