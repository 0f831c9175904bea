//! Kind `tcp`: a connection, and if configured a dialog on it, byte for byte: nothing is added to what is sent, and
//! what comes needs no lines, no certain segments and no text.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::Cursor;
use rustls::pki_types::ServerName;

use super::address::Address;
use super::dial::{IpVersion, dial};
use super::expect::excerpt;
use super::handshake::shake_hands;
use super::kinds::{Expectation, Kind, LabelSettings, OwnAddress, Probe, Scope, Target};
use super::observation::{Facts, Outcome};
use super::run::Run;
use super::stream::Stream;
use super::talk::{Step, talk};
use super::tls::name_for;
use super::tls_options::Tls;

/// Connects and talks.
pub(crate) struct Tcp;

impl Kind for Tcp {
    fn name(&self) -> &'static str {
        "tcp"
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[Expectation::Certificate]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let address = fields.require("address").and_then(|c| Address::decode(&c));
        let ip = fields.get("ip").map_or(Some(IpVersion::Any), |c| IpVersion::decode(&c));
        let steps = fields.get("talk").map(|c| c.items()).unwrap_or_default();
        let decoded: Vec<Option<Step>> = steps.iter().map(Step::decode).collect();
        let tls = match fields.get("tls") {
            None => Some(None),
            Some(cursor) => Tls::decode(Some(&cursor), &[]).zip(address.as_ref()).and_then(|(tls, address)| {
                let name = name_for(&cursor.fields()?, &address.host, &tls)?;
                Some(Some((tls, name)))
            }),
        };
        fields.end();
        let steps: Option<Vec<Step>> = decoded.into_iter().collect();
        Some(Arc::new(TcpProbe { address: address?, ip: ip?, tls: tls?, steps: steps? }))
    }

    fn by_label(&self, value: &str, own: OwnAddress<'_>) -> Option<Result<LabelSettings, String>> {
        let port = value.strip_prefix(':').unwrap_or(value).parse().ok().filter(|port| *port != 0);
        let wrong = || format!("{:?} is no port of this container; write :5432", excerpt(value.as_bytes()));
        Some(port.ok_or_else(wrong).and_then(|port| Ok(vec![("address", own(Some(port))?)])))
    }
}

#[derive(Debug)]
struct TcpProbe {
    address: Address,
    ip: IpVersion,
    tls: Option<(Tls, ServerName<'static>)>,
    steps: Vec<Step>,
}

impl Probe for TcpProbe {
    fn target(&self) -> Target {
        Target { shown: self.address.to_string(), scope: Scope::of_host(&self.address.host.to_string()) }
    }

    fn connects_to(&self) -> Option<&Address> {
        Some(&self.address)
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        async move {
            let stream = dial(run, &self.address, self.ip).await?;
            let mut stream = match &self.tls {
                None => Stream::Plain(stream),
                Some((tls, name)) => {
                    let mut secured = shake_hands(run, stream, &tls.config, name).await?;
                    if self.steps.is_empty() {
                        secured.hear_refusal(run).await?;
                    }
                    Stream::Tls(secured.stream)
                }
            };
            let heard = talk(run, &mut stream, &self.steps).await?;
            Ok(Facts { body: Some(heard), ..Facts::default() })
        }
        .boxed()
    }
}
