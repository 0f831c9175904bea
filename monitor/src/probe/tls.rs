//! Kind `tls`: only the handshake. For ports whose protocol we do not speak, and for watching certificates.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::{Cursor, Fields};
use rustls::pki_types::ServerName;

use super::address::{Address, Host};
use super::dial::{IpVersion, dial};
use super::handshake::{Secured, shake_hands};
use super::kinds::{Expectation, Kind, Probe, Scope, Target};
use super::observation::{Facts, Outcome};
use super::run::Run;
use super::scheme::{Scheme, Takes};
use super::tls_options::Tls;

/// Shakes hands.
pub(crate) struct TlsKind;

impl Kind for TlsKind {
    fn name(&self) -> &'static str {
        "tls"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("tls", Takes::Address(None))] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[Expectation::Certificate]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let address = fields.require("address").and_then(|c| Address::decode(&c));
        let ip = fields.get("ip").map_or(Some(IpVersion::Any), |c| IpVersion::decode(&c));
        let tls = Tls::decode_fields(&fields, &[]);
        let name = address.as_ref().zip(tls.as_ref()).and_then(|(address, tls)| name_for(&fields, &address.host, tls));
        fields.end();
        Some(Arc::new(TlsProbe { address: address?, ip: ip?, tls: tls?, name: name? }))
    }
}

/// Returns the name to ask for; reports a host that no certificate can carry.
pub(super) fn name_for(fields: &Fields<'_>, host: &Host, tls: &Tls) -> Option<ServerName<'static>> {
    let name = tls.server_name.clone().or_else(|| host.server_name());
    if name.is_none() {
        fields.cursor().mistake(format!("no certificate can carry the name {host}; set \"server_name\""));
    }
    name
}

#[derive(Debug)]
struct TlsProbe {
    address: Address,
    ip: IpVersion,
    tls: Tls,
    name: ServerName<'static>,
}

impl Probe for TlsProbe {
    fn target(&self) -> Target {
        Target { shown: self.address.to_string(), scope: Scope::of_host(&self.address.host.to_string()) }
    }

    fn connects_to(&self) -> Option<&Address> {
        Some(&self.address)
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        async move {
            let stream = dial(run, &self.address, self.ip).await?;
            let mut secured = shake_hands(run, stream, &self.tls.config, &self.name).await?;
            run.seen.protocol = version(&secured);
            secured.hear_refusal(run).await?;
            Ok(Facts::default())
        }
        .boxed()
    }
}

/// `TLSv1.3`, as OpenSSL writes it.
fn version(secured: &Secured) -> Option<String> {
    let (_, connection) = secured.stream.get_ref();
    connection.protocol_version()?.as_str().map(|name| name.replace('_', "."))
}
