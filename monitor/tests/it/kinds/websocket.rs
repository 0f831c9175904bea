//! Kind `websocket`, with a dialog.

use monitor::probe::ReasonCode;
use testkit::Target;

use super::{Fixture, Healthy};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "websocket",
        check: |address| format!("websocket: {{ url: 'ws://{address}/' }}"),
        healthy: || {
            let target = Target::websocket();
            let check = format!("websocket: {{ url: '{}', talk: [{{ send: ping, expect: ping }}] }}", target.url("/"));
            Healthy { target, check, _files: Vec::new() }
        },
        garbage: ReasonCode::Protocol,
    }
}
