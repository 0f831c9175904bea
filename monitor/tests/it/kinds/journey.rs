//! Kind `journey`, of two steps.

use monitor::probe::ReasonCode;
use testkit::Target;

use super::{Fixture, Healthy};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "journey",
        check: |address| {
            let step = |name: &str| format!("{{ name: {name}, http: {{ url: 'http://{address}/{name}' }} }}");
            format!("journey: {{ steps: [{}, {}] }}", step("open"), step("close"))
        },
        healthy: || {
            let target = Target::ok("fine");
            let check = (fixture().check)(target.addr());
            Healthy { target, check, _files: Vec::new() }
        },
        garbage: ReasonCode::Protocol,
    }
}
