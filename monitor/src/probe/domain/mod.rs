//! Kind `domain`: when a domain's registration ends, and whether its registry holds it back, by RDAP (RFC 9083).
//!
//! What the registry said is kept for an hour, so that a check with a short interval does not annoy it. That a registry
//! does not answer says nothing of the domain: it is unknown, or, for some days, what was known before.
//!
//! The JSON that `json` and `expr` see: `expires`, `days_left`, `status` and `registrar`.

mod memory;
mod registration;
mod registry;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use kit::config::{Cursor, Fields, show_duration};
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use url::Url;

use self::memory::Memory;
use self::registration::Registration;
use super::address::Host;
use super::http::{Answer, Api, Call, Means, below, decode_base};
use super::kinds::{Expectation, Kind, Probe, Scope, Target};
use super::observation::{Facts, Outcome, Reason, ReasonCode};
use super::run::Run;
use super::runner::timed_out;

/// Where IANA keeps the list of registries (RFC 9224 section 4).
const BOOTSTRAP: &str = "https://data.iana.org/rdap/dns.json";
/// What is left of a registration that needs nobody yet: registrars must remind about a month before its end (ICANN,
/// "Expired Registration Recovery Policy", section 2.1).
const VALID_FOR: Duration = Duration::from_secs(30 * 86_400);
/// Longest `valid_for`: registrations last ten years at most.
const LONGEST: Duration = Duration::from_secs(3660 * 86_400);
/// Registries send clients on to registrars, once.
const MAX_REDIRECTS: u8 = 3;

/// Watches registrations.
pub(crate) struct Domain;

impl Kind for Domain {
    fn name(&self) -> &'static str {
        "domain"
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[Expectation::Json]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let probe = decode(&fields);
        fields.end();
        Some(Arc::new(probe?))
    }
}

#[derive(Debug)]
struct DomainProbe {
    name: String,
    valid_for: Duration,
    api: Api,
    server: Server,
    memory: Mutex<Memory>,
}

/// Whom to ask.
#[derive(Debug)]
enum Server {
    /// This one.
    Named(Url),
    /// Whom this list names.
    Listed(Url),
}

fn decode(fields: &Fields<'_>) -> Option<DomainProbe> {
    let name = fields.require("name").and_then(|c| decode_name(&c));
    let valid_for = fields.get("valid_for").map_or(Some(VALID_FOR), |c| c.duration(Duration::ZERO..=LONGEST));
    let named = fields.get("server").map_or(Some(None), |c| decode_base(&c).map(Some));
    let list = fields.get("bootstrap").map_or_else(|| Url::parse(BOOTSTRAP).ok(), |c| decode_base(&c));
    let means = Means::decode(fields);
    let is_ours = ["headers", "basic", "bearer", "bearer_file"].iter().any(|key| fields.has(key));
    if is_ours && !fields.has("server") {
        fields.cursor().mistake("headers and credentials are for a server that is written; write server: https://…");
        return None;
    }
    let (name, list) = (name?, list?);
    let server = named?.map_or(Server::Listed(list), Server::Named);
    let (Server::Named(base) | Server::Listed(base)) = &server;
    let target = Target { shown: name.clone(), scope: Scope::of_host(base.host_str().unwrap_or_default()) };
    let api = Api::new(base.clone(), target, means?, MAX_REDIRECTS)
        .map_err(|why| fields.cursor().mistake(format!("the registry cannot be asked: {why}")))
        .ok()?;
    Some(DomainProbe { name, valid_for: valid_for?, api, server, memory: Mutex::default() })
}

/// A name as registries have it: in ASCII, without a final dot.
fn decode_name(cursor: &Cursor<'_>) -> Option<String> {
    let text = cursor.text()?;
    match Host::parse(text.trim_end_matches('.')) {
        Some(Host::Name(name)) if name.contains('.') => Some(name),
        _ => {
            cursor.mistake(format!("{} is no registered domain; write it like example.com", cursor.node().shown()));
            None
        }
    }
}

impl Probe for DomainProbe {
    fn target(&self) -> Target {
        self.api.target()
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        async move {
            let now = Instant::now();
            let known = self.memory(|memory| memory.recall(now));
            let registration = match known {
                Some(known) => known?,
                None => {
                    // Before the runner's own deadline, so that what was known before can stand in for silence.
                    let asked = timeout_at(run.last_word(), self.look_up(run)).await;
                    let asked = asked.unwrap_or_else(|_elapsed| {
                        let late = timed_out(run.timeout, run.current(), run.seen.address);
                        Err(blind("the registry", Outcome::Fail(late)))
                    });
                    self.memory(|memory| memory.keep(now, asked))?
                }
            };
            self.judge(run, &registration, Timestamp::now())
        }
        .boxed()
    }
}

impl DomainProbe {
    fn memory<T>(&self, with: impl FnOnce(&mut Memory) -> T) -> T {
        with(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn look_up(&self, run: &mut Run) -> Result<Registration, Outcome> {
        let base = match &self.server {
            Server::Named(url) => url.clone(),
            Server::Listed(list) => {
                let known = self.memory(|memory| memory.server(Instant::now()));
                match known {
                    Some(url) => url,
                    None => self.find_server(run, list).await?,
                }
            }
        };
        let asked = self.api.call(run, &Call::get_url(below(base, &["domain", &self.name], &[]))).await;
        let answer = asked.map_err(|outcome| blind("the registry", outcome))?;
        registration::read(&self.name, &answer)
    }

    async fn find_server(&self, run: &mut Run, list: &Url) -> Result<Url, Outcome> {
        let asked = self.api.call(run, &Call::get_url(list.clone())).await;
        let answer: Answer = asked.map_err(|outcome| blind("the list of registries", outcome))?;
        let url = registry::find(&self.name, &answer)?;
        self.memory(|memory| memory.keep_server(Instant::now(), url.clone()));
        Ok(url)
    }

    fn judge(&self, run: &mut Run, found: &Registration, now: Timestamp) -> Result<Facts, Outcome> {
        let name = &self.name;
        if let Some(held) = found.held() {
            return Err(Outcome::fail(ReasonCode::Rejected, format!("{name} {held}")));
        }
        let left = Duration::try_from(found.expires.duration_since(now)).ok();
        let Some(left) = left.filter(|left| !left.is_zero()) else {
            let ago = Duration::try_from(now.duration_since(found.expires)).unwrap_or_default();
            return Err(Outcome::fail(ReasonCode::Rejected, format!("{name} expired {} ago", shown(ago))));
        };
        run.seen.remark(format!("{name} expires in {}", shown(left)));
        if left < self.valid_for {
            let text = format!("{name} expires in {}, less than {}", shown(left), show_duration(self.valid_for));
            run.soft.push(Reason::new(ReasonCode::Limit, text));
        }
        if let Some(why) = &found.stale {
            run.seen.remark(format!("as known before: {why}"));
        }
        let facts = json!({
            "expires": found.expires.to_string(), "days_left": left.as_secs() / 86_400, "status": found.status,
            "registrar": found.registrar,
        });
        Ok(Facts { body: Some(facts.to_string().into()), ..Facts::default() })
    }
}

/// Whole days from two on, and whole minutes before.
fn shown(length: Duration) -> String {
    let secs = length.as_secs();
    let unit = if secs >= 2 * 86_400 { 86_400 } else { 60 };
    show_duration(Duration::from_secs(secs / unit * unit))
}

/// That a registry cannot be asked is no fault of the domain.
fn blind(what: &str, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Fail(reason) | Outcome::Unknown(reason) => Outcome::local(format!("{what}: {}", reason.text)),
        Outcome::Pass => Outcome::Pass,
    }
}
