//! Kind `tcp`: a connection, and if configured a dialog on it, byte for byte: nothing is added to what is sent, and
//! what comes needs no lines, no certain segments and no text.

use std::sync::Arc;

use kit::config::Cursor;

use super::endpoint::{Dialog, Endpoint};
use super::expect::excerpt;
use super::kinds::{Expectation, Kind, LabelSettings, OwnAddress, Probe};
use super::observation::{Facts, Outcome};
use super::run::Run;
use super::scheme::{Scheme, Takes};
use super::stream::Stream;
use super::talk::{Step, talk};

/// Connects and talks.
pub(crate) struct Tcp;

impl Kind for Tcp {
    fn name(&self) -> &'static str {
        "tcp"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("tcp", Takes::Address(None))] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[Expectation::Certificate]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let endpoint = Endpoint::decode(&fields);
        let steps = fields.get("talk").map(|c| c.items()).unwrap_or_default();
        let decoded: Vec<Option<Step>> = steps.iter().map(Step::decode).collect();
        fields.end();
        let steps: Option<Vec<Step>> = decoded.into_iter().collect();
        Some(Arc::new(TcpProbe { endpoint: endpoint?, steps: steps? }))
    }

    fn by_label(&self, value: &str, own: OwnAddress<'_>) -> Option<Result<LabelSettings, String>> {
        let port = value.strip_prefix(':').unwrap_or(value).parse().ok().filter(|port| *port != 0);
        let wrong = || format!("{:?} is no port of this container; write :5432", excerpt(value.as_bytes()));
        Some(port.ok_or_else(wrong).and_then(|port| Ok(vec![("address", own(Some(port))?)])))
    }
}

#[derive(Debug)]
struct TcpProbe {
    endpoint: Endpoint,
    steps: Vec<Step>,
}

impl Dialog for TcpProbe {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn hold(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let stream = self.endpoint.dial(run).await?;
        let mut stream = match &self.endpoint.tls {
            None => Stream::Plain(stream),
            Some(secrecy) => {
                let mut secured = secrecy.secure(run, stream).await?;
                if self.steps.is_empty() {
                    secured.hear_refusal(run).await?;
                }
                Stream::Tls(secured.stream)
            }
        };
        let heard = talk(run, &mut stream, &self.steps).await?;
        Ok(Facts { body: Some(heard), ..Facts::default() })
    }
}
