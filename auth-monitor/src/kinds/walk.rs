//! What the kinds here have in common: settings that are decoded once, and a way that is walked for every run.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::{Cursor, Fields};
use monitor::Kind;
use monitor::probe::{Expectation, Facts, Outcome, Probe, Run, Target};

use super::Means;

/// A check of this program's own. What is expected belongs to its steps: of the whole there is nothing more to expect.
pub(super) trait Walk: fmt::Debug + Send + Sync + Sized + 'static {
    /// The key under a check that selects this kind.
    const NAME: &'static str;

    /// Checks its settings; every mistake is reported through the fields, and then there is none.
    fn decode(fields: &Fields<'_>, means: &Means) -> Option<Self>;

    /// What is asked, without secrets.
    fn target(&self) -> Target;

    /// Asks once, as [`Probe::ask`].
    fn walk(&self, run: &mut Run) -> impl Future<Output = Result<Facts, Outcome>> + Send;
}

/// The kind whose checks walk so.
pub(super) struct Walks<W> {
    means: Means,
    way: PhantomData<fn() -> W>,
}

impl<W> Walks<W> {
    /// What is shared is given to each check.
    pub(super) fn new(means: &Means) -> Self {
        Self { means: means.clone(), way: PhantomData }
    }
}

impl<W: Walk> Kind for Walks<W> {
    fn name(&self) -> &'static str {
        W::NAME
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let way = W::decode(&fields, &self.means);
        fields.end();
        Some(Arc::new(Walker(way?)))
    }
}

struct Walker<W>(W);

impl<W: fmt::Debug> fmt::Debug for Walker<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<W: Walk> Probe for Walker<W> {
    fn target(&self) -> Target {
        self.0.target()
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        self.0.walk(run).boxed()
    }
}
