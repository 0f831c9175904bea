//! Kind `host`: one resource of this machine against its limits. Reading happens on a thread that may block; what
//! cannot be read is unknown, and a file system that does not answer is a fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::Cursor;

use super::host_read::Resource;
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
        Some(Arc::new(HostProbe { resource: Arc::new(resource), busy: Arc::new(AtomicBool::new(false)) }))
    }
}

#[derive(Debug)]
struct HostProbe {
    resource: Arc<Resource>,
    /// True while a look goes on; a look cannot be cancelled, so the next one must not pile up behind it.
    busy: Arc<AtomicBool>,
}

impl Probe for HostProbe {
    fn target(&self) -> Target {
        Target { shown: self.resource.shown(), scope: Scope::Local }
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        async move {
            run.enter(Phase::Exec);
            if self.busy.swap(true, Ordering::AcqRel) {
                let text = format!("{} does not answer: an earlier look at it still hangs", self.resource.shown());
                return Err(Outcome::fail(ReasonCode::Timeout, text));
            }
            let (resource, busy) = (self.resource.clone(), Busy(self.busy.clone()));
            let looked = tokio::task::spawn_blocking(move || {
                let reading = resource.read();
                drop(busy);
                reading
            });
            let reading = looked.await.map_err(|error| Outcome::local(format!("the look itself broke: {error}")))?;
            run.leave();
            let reading =
                reading.map_err(|why| Outcome::local(format!("cannot read {}: {why}", self.resource.shown())))?;
            run.seen.note = Some(reading.note);
            match reading.broken {
                None => Ok(Facts::default()),
                Some(text) => Err(Outcome::fail(ReasonCode::Limit, text)),
            }
        }
        .boxed()
    }
}

/// Frees its probe when the look is over, also by a panic.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
