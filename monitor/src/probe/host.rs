//! Kind `host`: one resource of this machine against its limits. Reading happens on a thread that may block; what
//! cannot be read is unknown, and a file system that does not answer is a fail.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::Cursor;

use super::host_read::Resource;
use super::kinds::{Expectation, Kind, Probe, Scope, Target};
use super::observation::{Facts, Outcome, ReasonCode};
use super::run::Run;
use super::turn::Turn;

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
        Some(Arc::new(HostProbe { resource: Arc::new(resource), turn: Turn::default() }))
    }
}

#[derive(Debug)]
struct HostProbe {
    resource: Arc<Resource>,
    turn: Turn,
}

impl Probe for HostProbe {
    fn target(&self) -> Target {
        Target { shown: self.resource.shown(), scope: Scope::Local }
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        async move {
            let resource = self.resource.clone();
            let shown = self.resource.shown();
            let looked = self.turn.look(run, &shown, move || resource.read()).await?;
            let reading = looked.map_err(|why| Outcome::local(format!("cannot read {shown}: {why}")))?;
            run.seen.note = Some(reading.note);
            match reading.broken {
                None => Ok(Facts::default()),
                Some(text) => Err(Outcome::fail(ReasonCode::Limit, text)),
            }
        }
        .boxed()
    }
}
