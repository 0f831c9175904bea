//! Traces: who asked whom and what took the time, handed to an OpenTelemetry collector when the environment names one.
//!
//! Spans are made here rather than by the OpenTelemetry SDK: it cannot keep the failed spans of an unsampled trace, counts
//! no loss where Prometheus sees it, and runs threads of its own. What it would add is the wire format: prost writes that.

mod context;
mod export;
mod figures;
mod otlp;
mod part;
mod record;
mod resource;
mod sampler;
mod settings;
mod span;
mod transport;

pub use crate::export::Exporting;
pub use context::{Context, TRACEPARENT, TRACESTATE};
pub use export::{is_on, start};
pub(crate) use figures::collect;
pub use record::{Kind, Value};
pub(crate) use resource::service_name;
pub use settings::{TraceSettings, VARIABLES};
pub use span::{Span, current};
