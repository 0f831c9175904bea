//! Kind `grpc`: the standard health service, `grpc.health.v1.Health/Check`, over the HTTP/2 that kind `http` speaks.
//!
//! Its two messages are written and read here: they have one field each.

mod call;
mod message;

pub(super) use self::call::call;
pub(super) use self::message::{State, decode_answer, encode_question};

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Uri};
use kit::config::{Cursor, Fields};

use self::call::Answer;
use super::address::Address;
use super::endpoint::Endpoint;
use super::http::decode_headers;
use super::kinds::{Expectation, Kind, Probe, Target};
use super::observation::{Facts, Outcome, ReasonCode};
use super::run::Run;
use super::scheme::{Scheme, Takes};
use super::tls_options::H2;

/// Where the health service is (gRPC's "Health Checking Protocol").
pub(super) const PATH: &str = "/grpc.health.v1.Health/Check";

/// Asks gRPC servers how they are.
pub(crate) struct Grpc;

impl Kind for Grpc {
    fn name(&self) -> &'static str {
        "grpc"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("grpc", Takes::Address(Some(80))), Scheme::secure("grpcs", Takes::Address(Some(443)))] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[Expectation::Certificate]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let probe = decode(&fields);
        fields.end();
        Some(Arc::new(probe?))
    }
}

struct GrpcProbe {
    endpoint: Endpoint,
    uri: Uri,
    headers: HeaderMap,
    service: String,
}

impl std::fmt::Debug for GrpcProbe {
    /// Without the headers: they may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcProbe").field("uri", &self.uri).field("service", &self.service).finish_non_exhaustive()
    }
}

fn decode(fields: &Fields<'_>) -> Option<GrpcProbe> {
    let address = fields.require("address");
    let endpoint = Endpoint::decode_at(fields, address, false, &[H2]);
    let service = fields.get("service").map_or(Some(String::new()), |c| c.text());
    let headers = decode_headers(fields);
    let endpoint = endpoint?;
    let scheme = if endpoint.tls.is_some() { "https" } else { "http" };
    let Ok(uri) = format!("{scheme}://{}{PATH}", endpoint.address).parse() else {
        fields.cursor().mistake(format!("{} cannot be asked", endpoint.address));
        return None;
    };
    Some(GrpcProbe { endpoint, uri, headers: headers?, service: service? })
}

impl Probe for GrpcProbe {
    fn target(&self) -> Target {
        let target = self.endpoint.target();
        let of = if self.service.is_empty() { String::new() } else { format!(" {}", self.service) };
        Target { shown: format!("{}{of}", target.shown), ..target }
    }

    fn connects_to(&self) -> Option<&Address> {
        Some(&self.endpoint.address)
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        async move {
            let stream = self.endpoint.stream(run).await?;
            if stream.alpn().is_none() && self.endpoint.tls.is_some() {
                return Err(Outcome::fail(
                    ReasonCode::Protocol,
                    "the server does not speak HTTP/2 (ALPN chose nothing)",
                ));
            }
            let question = encode_question(&self.service);
            let answer = call::call(run, stream, self.uri.clone(), self.headers.clone(), &question).await?;
            run.leave();
            self.judge(&answer)?;
            Ok(Facts::default())
        }
        .boxed()
    }
}

impl GrpcProbe {
    fn judge(&self, answer: &Answer) -> Result<(), Outcome> {
        answer.check(|code| self.refusal(code))?;
        let who = if self.service.is_empty() { "the server".to_owned() } else { format!("{:?}", self.service) };
        match decode_answer(&answer.body)? {
            State::Serving => Ok(()),
            State::NotServing => {
                Err(Outcome::fail(ReasonCode::Body, format!("{who} says that it does not serve (NOT_SERVING)")))
            }
            State::Unknown => Err(Outcome::fail(ReasonCode::Body, format!("{who} does not know how it is (UNKNOWN)"))),
            State::ServiceUnknown => Err(Outcome::fail(ReasonCode::Rejected, self.no_such("SERVICE_UNKNOWN"))),
            State::Other(number) => {
                Err(Outcome::fail(ReasonCode::Protocol, format!("{who} answers with status {number}, which is none")))
            }
        }
    }

    /// What a status of gRPC means for this question; none where its name says all.
    fn refusal(&self, code: u16) -> Option<(ReasonCode, String)> {
        match code {
            5 => Some((ReasonCode::Rejected, self.no_such("NOT_FOUND"))),
            7 => Some((ReasonCode::Auth, "we may not ask (PERMISSION_DENIED)".to_owned())),
            8 => Some((ReasonCode::Rejected, "it has no room for us (RESOURCE_EXHAUSTED)".to_owned())),
            12 => {
                let text =
                    "it has no health service (UNIMPLEMENTED); add grpc.health.v1.Health to it, or check it with tcp";
                Some((ReasonCode::Rejected, text.to_owned()))
            }
            16 => {
                let text = "it wants to know who we are (UNAUTHENTICATED); write bearer_file or headers";
                Some((ReasonCode::Auth, text.to_owned()))
            }
            _ => None,
        }
    }

    fn no_such(&self, word: &str) -> String {
        if self.service.is_empty() {
            return format!("it keeps no health of the whole server ({word}); write service: the name of one");
        }
        format!("it keeps no health of a service {:?} ({word})", self.service)
    }
}
