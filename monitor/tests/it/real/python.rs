//! Servers of PyPI, run by the Python that has the packages of `compose/e2e/requirements.txt`.

use testkit::Server;

/// Runs a script that listens on the port it is given, with whatever else it is given.
pub(crate) async fn serve_with(script: &str, port: u16, more: &[&str]) -> Server {
    // In the folder of the build, which holds this test.
    let exe = std::env::current_exe().unwrap();
    let python = exe.ancestors().nth(3).unwrap().join("e2e-venv/bin/python");
    assert!(python.exists(), "{} is not there: run compose/e2e/setup", python.display());
    let port_text = port.to_string();
    Server::start(port, python, &[&["-c", script, &port_text], more].concat()).await
}

/// The same, with nothing else.
pub(crate) async fn serve(script: &str, port: u16) -> Server {
    serve_with(script, port, &[]).await
}
