//! Takes each event that is to be logged, and writes its line.

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::line::{Format, Line};
use super::loki::loki;
use super::output::Output;

/// Where lines go, and how they look.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) service: &'static str,
    pub(super) output: Output,
    pub(super) format: Format,
    pub(super) has_colours: bool,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let line = Line::of(event);
        let loki = loki().filter(|loki| loki.wants(&line.target));
        let json = (self.format == Format::Json || loki.is_some()).then(|| line.json(self.service));
        if let (Some(loki), Some(json)) = (loki, &json) {
            loki.take(&line, json);
        }
        let mut text = match (self.format, json) {
            (Format::Json, Some(json)) => json,
            _ => line.human(self.has_colours),
        };
        text.push('\n');
        self.output.write(text);
    }
}
