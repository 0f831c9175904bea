//! A span while it is open. Without a collector it is empty, and costs nothing.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::context::Context;
use super::export::{Tracer, tracer};
use super::part::Part;
use super::record::{Kind, Parent, Record, Value, short};

/// Links of a span, at most: as many as the SDKs keep unless told otherwise (OpenTelemetry specification, "Span Limits").
const MAX_LINKS: usize = 128;

tokio::task_local! {
    static CURRENT: Place;
}

/// Where the code that runs stands.
#[derive(Clone)]
struct Place {
    context: Context,
    part: Arc<Mutex<Part>>,
}

/// Returns the context of the span that this code runs within ([`Span::within`]), for what it asks others.
pub fn current() -> Option<Context> {
    CURRENT.try_with(|place| place.context.clone()).ok()
}

/// A piece of work, from its making until it is dropped.
pub struct Span(Option<Box<Open>>);

struct Open {
    tracer: &'static Tracer,
    place: Place,
    is_first: bool,
    /// Kept even if its trace is not recorded.
    is_wanted: bool,
    began: Instant,
    record: Record,
}

impl Span {
    /// Nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// Begins what another process has asked for, or nobody: `trace` is then the id of the new trace, if it has one yet.
    /// Work that nobody would ask for later (`is_quiet`: health paths, scrapes, probes) begins no recorded trace.
    pub fn enter(
        kind: Kind,
        name: impl Into<Cow<'static, str>>,
        parent: Option<&Context>,
        trace: Option<std::num::NonZeroU128>,
        is_quiet: bool,
    ) -> Self {
        let Some(tracer) = tracer() else { return Self::none() };
        let mut context = parent.map_or_else(|| Context::root(trace, false), Context::child);
        let is_sampled = tracer.sampler.decides(context.trace().get(), parent) && !(is_quiet && parent.is_none());
        context = context.sampled(is_sampled);
        Self::first(tracer, kind, name.into(), context, parent.map(Parent::from))
    }

    /// Begins a trace whose context is known already; recorded if both `context` and the sampler say so.
    pub fn root(kind: Kind, name: impl Into<Cow<'static, str>>, context: Context) -> Self {
        let Some(tracer) = tracer() else { return Self::none() };
        let is_sampled = context.is_sampled() && tracer.sampler.decides(context.trace().get(), None);
        Self::first(tracer, kind, name.into(), context.sampled(is_sampled), None)
    }

    /// Begins a step of the span that this code runs within, or a trace of its own.
    pub fn step(kind: Kind, name: impl Into<Cow<'static, str>>) -> Self {
        let Some(tracer) = tracer() else { return Self::none() };
        let Ok(place) = CURRENT.try_with(Place::clone) else { return Self::enter(kind, name, None, None, false) };
        let parent = Parent::from(&place.context);
        let place = Place { context: place.context.child(), part: place.part };
        Self::open(tracer, kind, name.into(), place, Some(parent), false)
    }

    fn first(
        tracer: &'static Tracer,
        kind: Kind,
        name: Cow<'static, str>,
        context: Context,
        parent: Option<Parent>,
    ) -> Self {
        let part = Arc::new(Mutex::new(Part::new(context.is_sampled())));
        Self::open(tracer, kind, name, Place { context, part }, parent, true)
    }

    fn open(
        tracer: &'static Tracer,
        kind: Kind,
        name: Cow<'static, str>,
        place: Place,
        parent: Option<Parent>,
        is_first: bool,
    ) -> Self {
        let (context, began) = (place.context.clone(), now());
        let (attributes, links, failure) = (Vec::with_capacity(8), Vec::new(), None);
        let record = Record { context, parent, name, kind, began, ended: began, attributes, links, failure };
        Self(Some(Box::new(Open { tracer, place, is_first, is_wanted: false, began: Instant::now(), record })))
    }

    /// Returns its context, to be sent along; none if there is no collector.
    pub fn context(&self) -> Option<&Context> {
        self.0.as_ref().map(|open| &open.place.context)
    }

    /// Says something of it, in place of what was said under this name; `name` is one of the semantic conventions.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        let Some(open) = &mut self.0 else { return };
        open.record.attributes.retain(|(known, _)| *known != name);
        open.record.attributes.push((name, value.into().short()));
    }

    /// Says that it has to do with a span that it is not part of. Of more than 128 the rest is left out.
    pub fn link(&mut self, to: &Context) {
        let Some(open) = &mut self.0 else { return };
        if open.record.links.len() < MAX_LINKS {
            open.record.links.push(to.clone());
        }
    }

    /// Says that it failed; `error` is of a closed set (`error.type`). It is kept even if its trace is not recorded.
    pub fn fail(&mut self, error: impl Into<Cow<'static, str>>, why: impl Into<Cow<'static, str>>) {
        self.refuse(error, why);
        if let Some(open) = &mut self.0 {
            open.is_wanted = true;
        }
    }

    /// Says that it came to nothing, but as it may: no reason to keep it.
    pub fn refuse(&mut self, error: impl Into<Cow<'static, str>>, why: impl Into<Cow<'static, str>>) {
        self.set("error.type", Value::Text(error.into()));
        if let Some(open) = &mut self.0 {
            open.record.failure = Some(short(why.into()));
        }
    }

    /// Adds a step that is over: it began so long after this span, and took so long.
    pub fn add_step(&self, name: impl Into<Cow<'static, str>>, after: Duration, took: Duration) {
        let Some(open) = &self.0 else { return };
        let (context, parent) = (open.place.context.child(), Some(Parent::from(&open.place.context)));
        let began = open.record.began.saturating_add(nanos(after));
        let (ended, attributes, links) = (began.saturating_add(nanos(took)), Vec::new(), Vec::new());
        let (name, kind, failure) = (name.into(), Kind::Internal, None);
        let record = Record { context, parent, name, kind, began, ended, attributes, links, failure };
        end(open.tracer, &open.place.part, record, false, false);
    }

    /// Runs `work` within it: steps that begin there are its own, and what is asked of others carries its context.
    pub async fn within<F: Future>(&self, work: F) -> F::Output {
        match &self.0 {
            Some(open) => CURRENT.scope(open.place.clone(), work).await,
            None => work.await,
        }
    }

    /// As [`Self::within`], of what waits for nothing.
    pub fn inside<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(open) => CURRENT.sync_scope(open.place.clone(), work),
            None => work(),
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(open) = self.0.take() else { return };
        let Open { tracer, place, is_first, is_wanted, began, mut record } = *open;
        record.ended = record.began.saturating_add(nanos(began.elapsed()));
        end(tracer, &place.part, record, is_first, is_wanted);
    }
}

fn end(tracer: &Tracer, part: &Mutex<Part>, record: Record, is_first: bool, is_wanted: bool) {
    let verdict = part.lock().unwrap_or_else(PoisonError::into_inner).take(record, is_first, is_wanted);
    tracer.take(verdict);
}

fn now() -> u64 {
    nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}
