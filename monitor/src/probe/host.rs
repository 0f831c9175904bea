//! Kind `host`: one resource of this machine against its limits. Reading happens on a thread that may block; what
//! cannot be read is unknown, and a file system that does not answer is a fail.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::clock::Moment;
use kit::config::Cursor;

use super::host_forecast::Forecast;
use super::host_read::Resource;
use super::kinds::{Expectation, Kind, Probe, Scope, Target};
use super::observation::{Facts, Outcome, Reason, ReasonCode};
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
        Some(Arc::new(HostProbe { resource: Arc::new(resource), turn: Turn::default(), forecast: Mutex::default() }))
    }
}

#[derive(Debug)]
struct HostProbe {
    resource: Arc<Resource>,
    turn: Turn,
    /// How a disk fills up, as far as this monitor has seen.
    forecast: Mutex<Forecast>,
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
            if let Some((free, limit)) = reading.filling {
                self.look_ahead(run, &shown, free, limit);
            }
            match reading.broken {
                None => Ok(Facts::default()),
                Some(text) => Err(Outcome::fail(ReasonCode::Limit, text)),
            }
        }
        .boxed()
    }
}

impl HostProbe {
    /// Says when a disk will be full, once enough was seen; sooner than `limit` degrades.
    fn look_ahead(&self, run: &mut Run, shown: &str, free: u64, limit: Duration) {
        let projection = self.forecast.lock().unwrap_or_else(PoisonError::into_inner).learn(Moment::now(), free);
        if let Some(projection) = projection.filter(|projection| projection.left < limit) {
            run.soft.push(Reason::new(ReasonCode::Limit, projection.told(shown, limit)));
        }
    }
}
