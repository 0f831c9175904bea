//! Kind `host`: one resource of this machine against its limits. Reading happens on a thread that may block; what
//! cannot be read is unknown, and a file system that does not answer is a fail.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::Cursor;
use tokio::sync::Semaphore;

use super::host_read::{Reading, Resource};
use super::kinds::{Expectation, Kind, Probe, Scope, Target};
use super::observation::{Facts, Outcome, Phase, ReasonCode};
use super::run::Run;

/// Looks at this machine.
pub(crate) struct Host;

impl Kind for Host {
    fn name(&self) -> &'static str {
        "host"
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let resource = Resource::decode(settings)?;
        Some(Arc::new(HostProbe { resource: Arc::new(resource), turn: Arc::new(Semaphore::new(1)) }))
    }
}

#[derive(Debug)]
struct HostProbe {
    resource: Arc<Resource>,
    /// A look cannot be cancelled: the next one waits for it, so that looks at a hanging disk do not pile up.
    turn: Arc<Semaphore>,
}

impl Probe for HostProbe {
    fn target(&self) -> Target {
        Target { shown: self.resource.shown(), scope: Scope::Local }
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        async move {
            run.enter(Phase::Exec);
            let limit = run.last_word();
            let reading = match tokio::time::timeout_at(limit, self.look()).await {
                Ok(reading) => reading?,
                Err(_elapsed) => {
                    let text = format!("{} does not answer; a file system may hang", self.resource.shown());
                    return Err(Outcome::fail(ReasonCode::Timeout, text));
                }
            };
            run.leave();
            run.seen.note = Some(reading.note);
            match reading.broken {
                None => Ok(Facts::default()),
                Some(text) => Err(Outcome::fail(ReasonCode::Limit, text)),
            }
        }
        .boxed()
    }
}

impl HostProbe {
    async fn look(&self) -> Result<Reading, Outcome> {
        let turn = self.turn.clone().acquire_owned().await.map_err(|error| Outcome::local(error.to_string()))?;
        let resource = self.resource.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let reading = resource.read();
            drop(turn);
            reading
        });
        let reading = looked.await.map_err(|error| Outcome::local(format!("the look itself broke: {error}")))?;
        reading.map_err(|why| Outcome::local(format!("cannot read {}: {why}", self.resource.shown())))
    }
}
