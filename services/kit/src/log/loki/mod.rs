//! Lines on their way to Loki: nobody waits for it, what waits is bounded in bytes, and what is lost is counted.
//!
//! Labels are the service, the level and the environment, from closed sets; what a trace is called is structured metadata.
//! Lines of one process are in order. Loki takes none that is more than an hour older than the newest of its stream
//! ("Accept out-of-order writes"): where several processes have the same labels, what one of them kept for longer while Loki
//! was away may be refused.

mod figures;
mod push;
mod queue;
mod sender;
mod settings;
mod spill;
mod store;
mod transport;

use std::sync::{Arc, OnceLock};

pub(crate) use figures::collect;
pub use settings::{LokiSettings, VARIABLES};

use self::figures::Figures;
use self::push::Entry;
use self::queue::Queue;
use self::sender::Sender;
use super::line::Line;
use super::start::NOISY;
use crate::export::Exporting;

static LOKI: OnceLock<Loki> = OnceLock::new();

/// Where lines go beside the output.
#[derive(Debug)]
pub(super) struct Loki {
    queue: Arc<Queue>,
    figures: Arc<Figures>,
}

/// Returns it, if there is one.
pub(super) fn loki() -> Option<&'static Loki> {
    LOKI.get()
}

/// Starts handing lines to Loki, if there is one. A second start (tests) does nothing.
pub fn start(settings: Option<LokiSettings>) -> Exporting {
    let Some(settings) = settings else { return Exporting::nothing() };
    let queue = Arc::new(Queue::new(settings.queue, settings.batch));
    let figures = Arc::new(Figures::default());
    let loki = Loki { queue: Arc::clone(&queue), figures: Arc::clone(&figures) };
    if LOKI.set(loki).is_err() {
        return Exporting::nothing();
    }
    tracing::info!(loki = %settings.uri, "sending this log");
    Exporting::spawn(|stop| Sender::new(settings, queue, figures, stop).run())
}

impl Loki {
    /// Returns whether lines of this target are sent. Those of the sending itself, and of what it sends with, would never end.
    pub(super) fn wants(&self, target: &str) -> bool {
        let is_of =
            |module: &str| target.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        !NOISY.into_iter().chain([concat!(env!("CARGO_PKG_NAME"), "::log")]).any(is_of)
    }

    pub(super) fn take(&self, line: &Line, json: &str) {
        if let Err(loss) = self.queue.put(Entry::new(line, json)) {
            self.figures.lost(loss, 1);
        }
    }
}
