//! Kind `http`.

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
