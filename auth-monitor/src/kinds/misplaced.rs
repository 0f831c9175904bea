//! Addresses that cannot be meant: within a container `localhost` is that container, and nobody else. Such a target is not
//! asked, and its check says what to write instead.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::{Cursor, Environment};
use monitor::probe::{Expectation, Facts, Outcome, Probe, Reason, ReasonCode, Run, Scheme, Scope, Target};
use monitor::{Kind, Kinds};

/// The variable that says that everything runs in one container.
const ALLOWED: (&str, &str) = ("AUTH_MONITOR_LOOPBACK", "allowed");
/// Kinds that look at what is here, and ask no server.
const OF_THIS_PLACE: [&str; 4] = ["heartbeat", "exec", "host", "file"];

/// Returns whether `localhost` may be meant: outside of containers, and where the variables say so.
pub(crate) fn may_be_meant(environment: &Environment) -> bool {
    let (name, allowed) = ALLOWED;
    !kit::container::is_inside() || environment.get(name) == Some(allowed)
}

/// Returns the same kinds, none of which asks this container.
pub fn kept_from_here(kinds: Kinds) -> Kinds {
    let asking = kinds.names().into_iter().filter(|name| !OF_THIS_PLACE.contains(name));
    asking.fold(kinds, |kinds, name| match kinds.find(name).cloned() {
        Some(kind) => kinds.with(Elsewhere(kind)),
        None => kinds,
    })
}

/// A kind that asks only what is elsewhere.
struct Elsewhere(Arc<dyn Kind>);

impl Kind for Elsewhere {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn expectations(&self) -> &'static [Expectation] {
        self.0.expectations()
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let probe = self.0.decode(settings)?;
        let target = probe.target();
        if target.scope != Scope::Local {
            return Some(probe);
        }
        tracing::warn!(asked = target.shown, "{WHY}");
        Some(Arc::new(Misplaced(target)))
    }

    fn schemes(&self) -> &'static [Scheme] {
        self.0.schemes()
    }
}

const WHY: &str = "leads to this container itself, and is not asked; write the service's name, like \
    AUTH_MONITOR_PLATFORM_URL=http://platform-services:8007, or set AUTH_MONITOR_LOOPBACK=allowed if everything runs in one \
    container";

/// A target that is not asked.
#[derive(Debug)]
struct Misplaced(Target);

impl Probe for Misplaced {
    fn target(&self) -> Target {
        self.0.clone()
    }

    fn ask<'a>(&'a self, _run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        let text = format!("misconfigured: {} {WHY}", self.0.shown);
        std::future::ready(Err(Outcome::Unknown(Reason::new(ReasonCode::UnreachableFromHere, text)))).boxed()
    }
}
