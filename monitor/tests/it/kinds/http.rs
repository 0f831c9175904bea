//! Kind `http`, over HTTP/1.1 and HTTP/2.

use monitor::probe::ReasonCode;
use testkit::Target;

use super::{Fixture, Healthy};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "http",
        check: |address| format!("http: {{ url: 'http://{address}/health' }}"),
        healthy: || {
            let target = Target::ok("fine");
            let check = format!("http: {{ url: '{}' }}", target.url("/"));
            Healthy { target, check, _files: Vec::new() }
        },
        garbage: ReasonCode::Protocol,
    }
}

/// The same kind over HTTP/2, whose connection has tasks of its own to leave behind.
pub(crate) fn two() -> Fixture {
    Fixture {
        check: |address| format!("http: {{ url: 'http://{address}/health', http: 2 }}"),
        healthy: || {
            let target = Target::ok("fine");
            let check = format!("http: {{ url: '{}', http: 2 }}", target.url("/"));
            Healthy { target, check, _files: Vec::new() }
        },
        ..fixture()
    }
}
