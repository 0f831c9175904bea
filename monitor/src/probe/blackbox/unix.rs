//! Prober `unix`: a socket in the file system, TLS if it is written, and a dialog.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::Fields;
use tokio::net::UnixStream;

use super::Prober;
use super::dialog::Dialog;
use super::visit::{Stop, Visit};
use crate::probe::observation::{Phase, ReasonCode};

/// A configured module.
#[derive(Debug)]
struct UnixProber(Dialog);

pub(super) fn decode(fields: &Fields<'_>) -> Option<Box<dyn Prober>> {
    Some(Box::new(UnixProber(Dialog::decode(fields)?)))
}

impl Prober for UnixProber {
    fn ask<'a>(&'a self, visit: &'a mut Visit) -> BoxFuture<'a, Result<(), Stop>> {
        async move {
            Dialog::begin(visit);
            let path = visit.wish.target.clone();
            if !visit.permits_socket(&path) {
                return Err(visit.refuse(&path, ""));
            }
            visit.asks(None);
            let connected = visit.run.phase(Phase::Connect, UnixStream::connect(&path)).await;
            let stream = connected.map_err(|error| {
                let code = match error.kind() {
                    std::io::ErrorKind::ConnectionRefused => ReasonCode::Refused,
                    std::io::ErrorKind::PermissionDenied => ReasonCode::Local,
                    _ => ReasonCode::Unreachable,
                };
                Stop::failed(code, format!("cannot connect to {path}: {error}"))
            })?;
            let name = self.0.secrecy.tls.server_name.clone();
            let name = name.ok_or_else(|| {
                Stop::failed(ReasonCode::Tls, "a socket has no name; write tls_config: { server_name: … }")
            });
            self.0.hold(visit, stream, name).await
        }
        .boxed()
    }

    fn conclude(&self, _visit: &mut Visit) {}
}
