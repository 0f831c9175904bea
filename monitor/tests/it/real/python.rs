//! Servers of PyPI, run by the Python that has the packages of `compose/e2e/requirements.txt`.

use testkit::{Server, installed};

/// Runs a script that listens on the port it is given, with whatever else it is given.
pub(crate) async fn serve_with(script: &str, port: u16, more: &[&str]) -> Server {
    let python = installed("e2e-venv/bin/python");
    let port_text = port.to_string();
    Server::start(port, python, &[&["-c", script, &port_text], more].concat()).await
}

/// The same, with nothing else.
pub(crate) async fn serve(script: &str, port: u16) -> Server {
    serve_with(script, port, &[]).await
}
