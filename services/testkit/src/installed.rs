//! What `compose/e2e/setup` installed beside the build.

use std::path::PathBuf;

use crate::server::Server;

/// Returns the path of something in the folder of the build, which holds the test that runs.
///
/// # Panics
/// When it is not there: then nothing was tested.
pub fn installed(path: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a test knows where it is");
    let build = exe.ancestors().nth(3).expect("a test is three folders below the build");
    let found = build.join(path);
    assert!(found.exists(), "{} is not there: run compose/e2e/setup", found.display());
    found
}

/// Runs a module for Node.js that is given the folder of npm's packages, the port that it listens on, and whatever else.
///
/// # Panics
/// When Node.js is not installed, or the module ends: then nothing was tested.
pub async fn serve_by_node(module: &str, port: u16, more: &[&str]) -> Server {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let node = std::env::split_paths(&path).map(|folder| folder.join("node")).find(|program| program.exists());
    let node = node.expect("node is not there: run compose/e2e/setup");
    let (packages, port_text) = (installed("e2e-node/node_modules"), port.to_string());
    let packages = packages.to_str().expect("a path of ASCII");
    Server::start(port, node, &[&["--input-type=module", "-e", module, packages, &port_text], more].concat()).await
}
