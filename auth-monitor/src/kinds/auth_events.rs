//! Kind `auth-events`: reads what happened in sign-in, and fails while it looks like an attack.

use jiff::Timestamp;
use kit::config::Fields;
use monitor::probe::{Call, Facts, Outcome, ReasonCode, Run, Target};
use serde_json::Value as Json;

use super::Means;
use super::walk::Walk;
use crate::answer::good;
use crate::attack::Event;
use crate::site::{Site, decode_path};
use crate::streams::{Stream, Streams};

/// Where platform-services tells its events.
const EVENTS: &str = "/auth/events";
/// Events of one answer, at most, and answers of one run: what is left is read by the next.
const PAGE: usize = 1000;
const PAGES: usize = 10;
/// Patterns that are told at once; the others are counted.
const SHOWN: usize = 3;

pub(super) struct AuthEvents {
    site: Site,
    events: String,
    streams: Streams,
}

impl std::fmt::Debug for AuthEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AuthEvents").field(&self.site).finish()
    }
}

impl Walk for AuthEvents {
    const NAME: &'static str = "auth-events";

    fn decode(fields: &Fields<'_>, means: &Means) -> Option<Self> {
        let site = Site::decode(fields, means);
        let events = fields.get("events").map_or_else(|| Some(EVENTS.to_owned()), |c| decode_path(&c));
        Some(Self { site: site?, events: events?, streams: means.streams.clone() })
    }

    fn target(&self) -> Target {
        self.site.target()
    }

    async fn walk(&self, run: &mut Run) -> Result<Facts, Outcome> {
        if !self.site.has_key() {
            return Err(Outcome::local("events are read with the key of services; set API_KEY or API_KEY_FILE"));
        }
        let stream = self.streams.of(&run.check.to_string());
        // Two runs at once would read the same events twice.
        let mut stream = stream.lock().await;
        let mut count = 0;
        for page in 1.. {
            let (events, is_full) = self.page(run, &mut stream).await?;
            let now_ms = Timestamp::now().as_millisecond();
            events.iter().for_each(|event| stream.take(event, now_ms));
            count += events.len();
            if let Err(error) = stream.keep(now_ms).await {
                tracing::warn!(%error, "how far the events were read cannot be kept; a restart reads more of them again");
            }
            if !is_full {
                break;
            }
            if page == PAGES {
                let place = stream.cursor;
                return Err(Outcome::local(format!("events of before are still being read, as far as number {place}")));
            }
        }
        run.seen.note = Some(format!("{count} new events"));
        judge(&mut stream)
    }
}

impl AuthEvents {
    /// Reads the events after the newest that is known. That one is asked for too: if it is not there, the stream is
    /// another one, and is read from its beginning.
    async fn page(&self, run: &mut Run, stream: &mut Stream) -> Result<(Vec<Event>, bool), Outcome> {
        let after = (stream.cursor - 1).max(0);
        let mut events = self.events_after(run, after).await?;
        if stream.cursor > 0 && events.first().is_none_or(|event| event.number != stream.cursor) {
            tracing::warn!(after, "the stream of events does not go on where it ended; reading it from the beginning");
            stream.reset();
            events = self.events_after(run, 0).await?;
        }
        let is_full = events.len() >= PAGE;
        events.retain(|event| event.number > stream.cursor);
        Ok((events, is_full))
    }

    async fn events_after(&self, run: &mut Run, after: i64) -> Result<Vec<Event>, Outcome> {
        let call = Call::get(&*self.events).query("after", after.to_string()).query("limit", PAGE.to_string());
        let answer = self.site.call(run, call).await?;
        let json = good(&answer, &[200])?;
        let missing = |what: &str| Outcome::fail(ReasonCode::Json, format!("json {what} is missing or wrong"));
        let events = json.get("events").and_then(Json::as_array).ok_or_else(|| missing("events"))?;
        let read = |(place, event): (usize, &Json)| {
            Event::read(event).map_err(|field| missing(&format!("events[{place}].{field}")))
        };
        events.iter().take(PAGE).enumerate().map(read).collect()
    }
}

fn judge(stream: &mut Stream) -> Result<Facts, Outcome> {
    let found = stream.detector.findings(Timestamp::now().as_millisecond());
    if found.is_empty() {
        return Ok(Facts::default());
    }
    let shown: Vec<String> = found.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = found.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err(Outcome::fail(ReasonCode::Reported, format!("{}{more}", shown.join("; "))))
}
