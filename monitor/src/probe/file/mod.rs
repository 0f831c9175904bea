//! Kind `file`: the newest file that matches is there, young and large enough, as backups and exports must be. Files are
//! never opened; what is neither a file nor a link to one does not count.
//!
//! The JSON that `json` and `expr` see: `path`, `age_secs`, `size_bytes` and `count`.

mod find;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::{Cursor, Fields, show_duration};
use serde_json::json;

use self::find::{Found, Gap, Pattern};
use super::host_read::show_bytes;
use super::kinds::{Expectation, Kind, Probe, Scope, Target};
use super::observation::{Facts, Outcome, Reason, ReasonCode};
use super::run::Run;
use super::turn::Turn;

/// Further ahead than this, a file is dated wrongly: clocks of machines that share a folder differ by less.
const AHEAD: Duration = Duration::from_secs(60);
/// Longest `max_age`.
const LONGEST: Duration = Duration::from_secs(3660 * 86_400);

/// Looks at files.
pub(crate) struct File;

impl Kind for File {
    fn name(&self) -> &'static str {
        "file"
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[Expectation::Json]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let limits = Limits::decode(&fields);
        let pattern = fields.require("path").and_then(|c| Pattern::decode(&c));
        fields.end();
        Some(Arc::new(FileProbe { pattern: Arc::new(pattern?), limits: limits?, turn: Turn::default() }))
    }
}

#[derive(Debug)]
struct FileProbe {
    pattern: Arc<Pattern>,
    limits: Limits,
    turn: Turn,
}

/// What the newest match must be, and how many matches there must be.
#[derive(Debug)]
struct Limits {
    max_age: Option<Duration>,
    min_size: Option<u64>,
    max_size: Option<u64>,
    min_count: usize,
}

impl Limits {
    fn decode(fields: &Fields<'_>) -> Option<Self> {
        let max_age =
            fields.get("max_age").map_or(Some(None), |c| c.duration(Duration::from_secs(1)..=LONGEST).map(Some));
        let size = |key| fields.get(key).map_or(Some(None), |c| c.bytes(0..=u64::MAX).map(Some));
        let (min_size, max_size) = (size("min_size"), size("max_size"));
        let min_count = fields.get("min_count").map_or(Some(1), |c| c.whole(1..=100_000));
        let (min_size, max_size) = (min_size?, max_size?);
        if min_size.zip(max_size).is_some_and(|(min, max)| min > max) {
            fields.cursor().mistake("\"max_size\" is less than \"min_size\"");
            return None;
        }
        Some(Self { max_age: max_age?, min_size, max_size, min_count: min_count? })
    }

    /// Every limit that is broken, in words.
    fn broken(&self, found: &Found, age: Duration) -> Vec<String> {
        let mut broken = Vec::new();
        if found.count < self.min_count {
            broken.push(format!("{}, fewer than {}", found.matches(), self.min_count));
        }
        if let Some(limit) = self.max_age.filter(|limit| age > *limit) {
            broken.push(format!("older than {}", show_duration(limit)));
        }
        if let Some(limit) = self.min_size.filter(|limit| found.size < *limit) {
            broken.push(format!("smaller than {}", show_bytes(limit)));
        }
        if let Some(limit) = self.max_size.filter(|limit| found.size > *limit) {
            broken.push(format!("larger than {}", show_bytes(limit)));
        }
        broken
    }
}

impl Probe for FileProbe {
    fn target(&self) -> Target {
        Target { shown: self.pattern.shown(), scope: Scope::Local }
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        async move {
            let pattern = self.pattern.clone();
            let found = self.turn.look(run, &self.pattern.shown(), move || pattern.find()).await?;
            self.judge(run, &found.map_err(Gap::into_outcome)?, SystemTime::now())
        }
        .boxed()
    }
}

impl FileProbe {
    fn judge(&self, run: &mut Run, found: &Found, now: SystemTime) -> Result<Facts, Outcome> {
        let age = now.duration_since(found.modified).unwrap_or_default();
        let path = found.path.display();
        let whole = Duration::from_secs(age.as_secs());
        let note = format!("{path} is {} old, {}", show_duration(whole), show_bytes(found.size));
        let broken = self.limits.broken(found, age);
        if !broken.is_empty() {
            return Err(Outcome::fail(ReasonCode::Limit, format!("{note}: {}", broken.join(" and "))));
        }
        let ahead = found.modified.duration_since(now).unwrap_or_default();
        if ahead > AHEAD {
            let ahead = show_duration(Duration::from_secs(ahead.as_secs()));
            run.soft
                .push(Reason::new(ReasonCode::Limit, format!("{path} is dated {ahead} ahead of this machine's clock")));
        }
        run.seen.remark(note);
        let facts = json!({
            "path": path.to_string(), "age_secs": age.as_secs(), "size_bytes": found.size, "count": found.count,
        });
        Ok(Facts { body: Some(facts.to_string().into()), ..Facts::default() })
    }
}
