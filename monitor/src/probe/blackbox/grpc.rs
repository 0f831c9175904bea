//! Prober `grpc`: the standard health service, asked within the timeout, at the address that was looked up.

use std::net::SocketAddr;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use kit::config::Fields;
use tokio::time::Instant;
use url::Url;

use super::file::{flag, header_lists, preference};
use super::targets::Place;
use super::tls::{Secrecy, Told};
use super::visit::{Preference, Stop, Visit};
use super::{Prober, gauges};
use crate::probe::address::{Address, Host};
use crate::probe::grpc::{PATH, State, call, decode_answer, encode_question};
use crate::probe::handshake::shake_hands;
use crate::probe::observation::ReasonCode;
use crate::probe::stream::Stream;
use crate::probe::tls_options::H2;

/// Numbers of `google.rpc.Code`.
const DEADLINE_EXCEEDED: u16 = 4;
const UNAVAILABLE: u16 = 14;
/// What a service can say of itself.
const STATES: [(&str, State); 4] = [
    ("UNKNOWN", State::Unknown),
    ("SERVING", State::Serving),
    ("NOT_SERVING", State::NotServing),
    ("SERVICE_UNKNOWN", State::ServiceUnknown),
];

/// A configured module.
#[derive(Debug)]
struct GrpcProber {
    service: String,
    secrecy: Option<Secrecy>,
    preference: Preference,
    headers: HeaderMap,
}

pub(super) fn decode(fields: &Fields<'_>) -> Option<Box<dyn Prober>> {
    let service = fields.get("service").map_or(Some(String::new()), |c| c.text());
    let is_tls = flag(fields, "tls", false);
    let secrecy = Secrecy::decode(fields.get("tls_config"), &[H2]);
    let preference = preference(fields);
    let headers = header_lists(fields, "metadata");
    let (is_tls, secrecy) = (is_tls?, secrecy?);
    Some(Box::new(GrpcProber {
        service: service?,
        secrecy: Some(secrecy).filter(|_| is_tls),
        preference: preference?,
        headers: headers?,
    }))
}

impl Prober for GrpcProber {
    fn ask<'a>(&'a self, visit: &'a mut Visit) -> BoxFuture<'a, Result<(), Stop>> {
        async move {
            visit.gauges.flag(gauges::GRPC_SSL, false);
            visit.gauges.set(gauges::GRPC_STATUS, 0.0);
            for (name, _) in STATES {
                visit.gauges.set_with(gauges::GRPC_RESPONSE, &[("serving_status", name)], 0.0);
            }
            let to = self.server(&visit.wish.target)?;
            let began = Instant::now();
            let address = visit.choose_first(Place::of("grpc", &to), self.preference).await?;
            let resolved = Instant::now();
            let took = |span: std::time::Duration| span.as_secs_f64();
            visit.gauges.set_with(gauges::GRPC_DURATION, &[("phase", "resolve")], took(resolved - began));
            // What the server does not say itself: nobody is there, or takes too long.
            visit.gauges.set(gauges::GRPC_STATUS, f64::from(UNAVAILABLE));
            let called = tokio::time::timeout_at(
                visit.run.last_word(),
                self.check(visit, SocketAddr::new(address, to.port), &to),
            );
            let called = called.await;
            visit.gauges.set_with(gauges::GRPC_DURATION, &[("phase", "check")], took(resolved.elapsed()));
            match called {
                Ok(result) => result,
                Err(_elapsed) => {
                    visit.gauges.set(gauges::GRPC_STATUS, f64::from(DEADLINE_EXCEEDED));
                    Err(visit.timed_out())
                }
            }
        }
        .boxed()
    }

    fn conclude(&self, _visit: &mut Visit) {}
}

impl GrpcProber {
    fn server(&self, target: &str) -> Result<Address, Stop> {
        let text = if target.contains("://") { target.to_owned() } else { format!("http://{target}") };
        let parsed = Url::parse(&text).ok().and_then(|url| {
            let port = if self.secrecy.is_some() { 443 } else { 80 };
            Some(Address { host: url.host().map(Host::from)?, port: url.port().unwrap_or(port) })
        });
        parsed.ok_or_else(|| Stop::failed(ReasonCode::Protocol, "the target is no host:port"))
    }

    async fn check(&self, visit: &mut Visit, address: SocketAddr, to: &Address) -> Result<(), Stop> {
        let stream = visit.connect(address, None).await?;
        let stream = match &self.secrecy {
            None => Stream::Plain(stream),
            Some(secrecy) => {
                let name = secrecy.name(visit.wish.hostname.as_deref(), &to.host)?;
                let secured = shake_hands(&mut visit.run, stream, &secrecy.tls.config, &name).await;
                secrecy.tell(visit, Told::Brief);
                visit.gauges.flag(gauges::GRPC_SSL, secured.is_ok());
                Stream::Tls(secured?.stream)
            }
        };
        let scheme = if self.secrecy.is_some() { "https" } else { "http" };
        let uri = format!("{scheme}://{to}{PATH}").parse();
        let uri = uri.map_err(|_| Stop::failed(ReasonCode::Protocol, "the target cannot be asked"))?;
        let question = encode_question(&self.service);
        let answer = call(&mut visit.run, stream, uri, self.headers.clone(), &question).await?;
        visit.run.leave();
        if let Some(code) = answer.code() {
            visit.gauges.set(gauges::GRPC_STATUS, f64::from(code));
        }
        answer.check(|_| None)?;
        let state = decode_answer(&answer.body)?;
        let known = STATES.iter().find(|(_, known)| *known == state);
        let Some((name, _)) = known else {
            return Err(Stop::failed(ReasonCode::Protocol, format!("the service answers {state:?}")));
        };
        visit.gauges.set_with(gauges::GRPC_RESPONSE, &[("serving_status", name)], 1.0);
        if state == State::Serving {
            return Ok(());
        }
        Err(Stop::failed(ReasonCode::Body, format!("the service is {name}, not SERVING")))
    }
}
