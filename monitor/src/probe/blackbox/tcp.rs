//! Prober `tcp`: a connection, TLS if it is written, and a dialog.

use std::net::{IpAddr, SocketAddr};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::Fields;

use super::Prober;
use super::dialog::Dialog;
use super::file::{preference, source};
use super::targets::Place;
use super::visit::{Preference, Stop, Visit};
use crate::probe::address::Address;
use crate::probe::observation::ReasonCode;

/// A configured module.
#[derive(Debug)]
struct TcpProber {
    dialog: Dialog,
    preference: Preference,
    source: Option<IpAddr>,
}

pub(super) fn decode(fields: &Fields<'_>) -> Option<Box<dyn Prober>> {
    let (dialog, preference, source) = (Dialog::decode(fields), preference(fields), source(fields));
    Some(Box::new(TcpProber { dialog: dialog?, preference: preference?, source: source? }))
}

impl Prober for TcpProber {
    fn ask<'a>(&'a self, visit: &'a mut Visit) -> BoxFuture<'a, Result<(), Stop>> {
        async move {
            Dialog::begin(visit);
            let Some(to) = Address::parse(&visit.wish.target) else {
                return Err(Stop::failed(ReasonCode::Protocol, "the target is no host:port"));
            };
            let address = visit.choose_first(Place::of("tcp", &to), self.preference).await?;
            let stream = visit.connect(SocketAddr::new(address, to.port), self.source).await?;
            let name = self.dialog.secrecy.name(visit.wish.hostname.as_deref(), &to.host);
            self.dialog.hold(visit, stream, name).await
        }
        .boxed()
    }

    fn conclude(&self, _visit: &mut Visit) {}
}
