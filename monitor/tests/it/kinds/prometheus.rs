//! Kind `prometheus`.

use monitor::probe::ReasonCode;
use testkit::Target;

use super::{Fixture, Healthy};

/// One series that is 1.
const UP: &str =
    r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up"},"value":[1,"1"]}]}}"#;

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "prometheus",
        check: |address| format!("prometheus: {{ url: 'http://{address}', query: up }}"),
        healthy: || {
            let target = Target::ok(UP);
            let check = format!("prometheus: {{ url: '{}', query: up, min: 1 }}", target.url("/"));
            Healthy { target, check, _files: Vec::new() }
        },
        garbage: ReasonCode::Protocol,
    }
}
