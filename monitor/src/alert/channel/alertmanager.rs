//! `alertmanager`: posts to every Alertmanager of a list (v2 API, `POST /api/v2/alerts`), since they share silences but
//! not alerts. They forget what they are not told again.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use kit::config::Cursor;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use url::Url;

use super::post::{self, Poster};
use super::settings::{self, Header};
use super::{Accepted, Channel, ChannelKind, SendError, alertmanager_v4};
use crate::alert::message::{AlertPart, Message, Status};

/// How often an open alert is repeated: Prometheus' `--rules.alert.resend-delay`.
const REPEAT: Duration = Duration::from_secs(60);
/// An alert ends by itself if we are gone for so long: Alertmanager's own `resolve_timeout`.
const LIFETIME: Duration = Duration::from_secs(300);
/// How long the other peers may take once one has accepted: a dead one must not cost what a living one has taken.
const OTHERS_WAIT: Duration = Duration::from_secs(2);

/// The kind.
pub(super) struct Alertmanager;

impl ChannelKind for Alertmanager {
    fn name(&self) -> &'static str {
        "alertmanager"
    }

    fn decode(&self, cursor: &Cursor<'_>) -> Option<Arc<dyn Channel>> {
        let fields = cursor.fields()?;
        let urls = fields.require("urls").and_then(|c| peers(&c));
        let token = fields.secret("bearer_token", "bearer_token_file");
        let header = match &token {
            Some(token) => settings::authorization(&fields, "Bearer", token).map(Some),
            None => Some(None),
        };
        let poster = Poster::decode(&fields);
        fields.end();
        let poster = token.iter().fold(poster?, |poster, token| poster.hiding(token.expose_secret()));
        Some(Arc::new(Peers { urls: urls?, headers: header?.into_iter().collect(), poster }))
    }
}

fn peers(cursor: &Cursor<'_>) -> Option<Vec<Url>> {
    let items = cursor.items();
    if items.is_empty() {
        cursor.mistake("there is no peer; write [http://alertmanager:9093]");
        return None;
    }
    let urls: Vec<Url> = items.iter().filter_map(|item| settings::parse(&item.text()?, item)).collect();
    (urls.len() == items.len()).then_some(urls)
}

struct Peers {
    urls: Vec<Url>,
    headers: Vec<Header>,
    poster: Poster,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "alertmanager at {}", self.target())
    }
}

impl Channel for Peers {
    fn target(&self) -> String {
        self.urls.iter().map(settings::shown).collect::<Vec<_>>().join(", ")
    }

    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Accepted, SendError>> {
        Box::pin(self.tell_all(alerts(message, Timestamp::now())))
    }

    fn repeat_every(&self) -> Option<Duration> {
        Some(REPEAT)
    }
}

impl Peers {
    /// Tells every peer. One that accepts is enough; `partly` names the others.
    async fn tell_all(&self, alerts: Value) -> Result<Accepted, SendError> {
        let mut telling: FuturesUnordered<_> =
            (0..).zip(&self.urls).map(|(place, url)| self.tell(place, url, &alerts)).collect();
        let mut answers: Vec<Option<Result<Accepted, SendError>>> = vec![None; self.urls.len()];
        let mut has_accepted = false;
        let others = async |waits: bool| if waits { tokio::time::sleep(OTHERS_WAIT).await } else { pending().await };
        let mut patience = Box::pin(others(false));
        loop {
            tokio::select! {
                told = telling.next() => match told {
                    None => break,
                    Some((place, answer)) => {
                        if answer.is_ok() && !has_accepted {
                            has_accepted = true;
                            patience = Box::pin(others(true));
                        }
                        if let Some(slot) = answers.get_mut::<usize>(place) {
                            *slot = Some(answer);
                        }
                    }
                },
                () = &mut patience => break,
            }
        }
        self.sum_up(answers)
    }

    async fn tell(&self, place: usize, url: &Url, alerts: &Value) -> (usize, Result<Accepted, SendError>) {
        let url = settings::join(url, "api/v2/alerts");
        // Without an idempotency key: what fires is posted again and again, and is the same by its labels.
        let request = post::json(&url, alerts, &self.headers);
        (place, async { self.poster.send(request?).await }.await)
    }

    /// Without one that accepted, what is worth another try counts more than a refusal.
    fn sum_up(&self, answers: Vec<Option<Result<Accepted, SendError>>>) -> Result<Accepted, SendError> {
        let (mut accepted, mut errors) = (None, Vec::new());
        for (url, answer) in self.urls.iter().zip(answers) {
            match answer {
                Some(Ok(answer)) => accepted = accepted.or(Some(answer)),
                Some(Err(error)) => errors.push((settings::shown(url), error)),
                None => errors.push((settings::shown(url), SendError::Failed("no answer in time".to_owned()))),
            }
        }
        let list: Vec<String> = errors.iter().map(|(peer, error)| format!("{peer}: {error}")).collect();
        match accepted {
            Some(accepted) if list.is_empty() => Ok(accepted),
            Some(accepted) => Ok(Accepted { partly: Some(list.join("; ")), ..accepted }),
            None if errors.iter().all(|(_, error)| matches!(error, SendError::Refused(_))) => {
                Err(SendError::Refused(list.join("; ")))
            }
            None => Err(soonest(errors, list.join("; "))),
        }
    }
}

/// The shortest wait that any peer asked for, if all that may pass asked for one.
fn soonest(errors: Vec<(String, SendError)>, why: String) -> SendError {
    let mut shortest: Option<Duration> = None;
    for (_, error) in errors {
        match error {
            SendError::Busy { after, .. } => shortest = Some(shortest.map_or(after, |other| other.min(after))),
            SendError::Failed(_) | SendError::Partly(_) => return SendError::Failed(why),
            SendError::Refused(_) => {}
        }
    }
    match shortest {
        Some(after) => SendError::Busy { after, why },
        None => SendError::Failed(why),
    }
}

fn alerts(message: &Message, now: Timestamp) -> Value {
    message.alerts.iter().map(|part| alert(message, part, now)).collect()
}

fn alert(message: &Message, part: &AlertPart, now: Timestamp) -> Value {
    let mut labels = Map::new();
    for (name, value) in alertmanager_v4::labels(part) {
        // An empty value means no label at all (api/v2, "labels").
        if value != "" {
            labels.insert(label_name(&name), value);
        }
    }
    if message.drill {
        labels.insert("drill".to_owned(), "true".into());
    }
    let annotations = alertmanager_v4::annotations(part);
    let ends_at = match part.status {
        Status::Firing => now + LIFETIME,
        Status::Resolved => part.resolved.unwrap_or(now),
    };
    json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": part.opened.to_string(),
        // Ending before it began is refused as a whole ("start time must be before end time").
        "endsAt": ends_at.max(part.opened + Duration::from_millis(1)).to_string(),
        "generatorURL": part.links.incident.clone().or_else(|| part.links.source.clone()).unwrap_or_default(),
    })
}

/// Makes a name that every version takes: letters, digits, `_`, no digit first (prometheus.io/docs/concepts/data_model).
fn label_name(name: &str) -> String {
    let mut name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        name.insert(0, '_');
    }
    name
}
