//! Kind `tls`.

use monitor::probe::ReasonCode;
use testkit::{Authority, Target};

use super::{Fixture, Healthy};
use crate::trusting;

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "tls",
        check: |address| format!("tls: {{ address: '{address}' }}"),
        healthy: || {
            let authority = Authority::new();
            let target = Target::tls(&authority.valid());
            let (file, trust) = trusting(&authority);
            let check = format!("tls: {{ address: '{}', {trust} }}", target.addr());
            Healthy { target, check, _files: vec![file] }
        },
        garbage: ReasonCode::Tls,
    }
}
