//! Kind `qdrant`.

use monitor::probe::ReasonCode;
use testkit::Target;

use super::{Fixture, Healthy};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "qdrant",
        check: |address| format!("qdrant: {{ url: 'http://{address}' }}"),
        healthy: || {
            let target = Target::ok(r#"{"title":"qdrant - vector search engine","version":"1.12.4"}"#);
            let check = format!("qdrant: {{ url: '{}' }}", target.url("/"));
            Healthy { target, check, _files: Vec::new() }
        },
        garbage: ReasonCode::Protocol,
    }
}
