//! `ntfy`: a topic of ntfy.sh or of one's own server (docs.ntfy.sh/publish, "Publish as JSON").

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use kit::config::{Cursor, Fields};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::post::{self, Poster};
use super::settings::{self, Header};
use super::{Accepted, Channel, ChannelKind, SendError, words};
use crate::alert::message::{Message, Severity, Status};

/// Longest title, in characters; phones show fewer.
const MAX_TITLE_CHARS: usize = 250;
/// A message of more than 4096 bytes becomes an attachment (docs.ntfy.sh/publish, "Limitations"). UTF-8 has at most four
/// bytes a character.
const MAX_MESSAGE_BYTES: usize = 4096;
const MAX_MESSAGE_CHARS: usize = 4_000;

/// The kind.
pub(super) struct Ntfy;

impl ChannelKind for Ntfy {
    fn name(&self) -> &'static str {
        "ntfy"
    }

    fn decode(&self, cursor: &Cursor<'_>) -> Option<Arc<dyn Channel>> {
        let fields = cursor.fields()?;
        let base = settings::base_url(&fields, "https://ntfy.sh");
        let topic = topic(&fields);
        let token = fields.secret("token", "token_file");
        let header = match &token {
            Some(token) => settings::authorization(&fields, "Bearer", token).map(Some),
            None => Some(None),
        };
        let poster = Poster::decode(&fields);
        fields.end();
        let (base, topic, poster) = (base?, topic?, poster?);
        let poster = token.iter().fold(poster, |poster, token| poster.hiding(token.expose_secret()));
        let poster = poster.hiding(topic.expose_secret());
        Some(Arc::new(Topic { base, topic, headers: header?.into_iter().collect(), poster }))
    }
}

/// Whoever knows a topic's name can read it, so it may come from a file; on one's own server it need not be secret.
fn topic(fields: &Fields<'_>) -> Option<SecretString> {
    if fields.has("topic_file") {
        return fields.secret("topic", "topic_file");
    }
    fields.require("topic")?.text().map(kit::secrets::secret)
}

struct Topic {
    base: Url,
    topic: SecretString,
    headers: Vec<Header>,
    poster: Poster,
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ntfy at {}", self.target())
    }
}

impl Channel for Topic {
    fn target(&self) -> String {
        settings::shown(&self.base)
    }

    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Accepted, SendError>> {
        Box::pin(async move {
            let request = post::json(&self.base, &self.payload(message), &self.headers)?;
            let answer = self.poster.send(post::keyed(request, &message.key)).await?;
            // It repeats the message, which is nothing new.
            Ok(Accepted { answer: answer.answer.split(':').next().unwrap_or_default().to_owned(), ..answer })
        })
    }
}

impl Topic {
    fn payload(&self, message: &Message) -> Value {
        // From 1 (no sound) to 5 (rings until it is seen); the tags become emoji.
        let (priority, tag) = match (message.drill, message.status, message.severity) {
            (true, ..) => (3, "mega"),
            (false, Status::Resolved, _) => (3, "white_check_mark"),
            (false, Status::Firing, Severity::Page) => (5, "rotating_light"),
            (false, Status::Firing, Severity::Ticket) => (3, "warning"),
            (false, Status::Firing, Severity::Notice) => (2, "information_source"),
        };
        let mut body = json!({
            "topic": self.topic.expose_secret(),
            "title": words::headline(message, MAX_TITLE_CHARS),
            "message": cut(&words::plain(message, MAX_MESSAGE_CHARS)),
            "priority": priority,
            "tags": [tag],
        });
        if let [only] = message.alerts.as_slice() {
            let links = words::links(only);
            // Three actions are allowed; those to act come first.
            let actions =
                links.iter().take(3).map(|(label, url)| json!({ "action": "view", "label": label, "url": url }));
            post::set(&mut body, "actions", actions.collect::<Vec<_>>());
            if let Some((_, url)) = links.first() {
                post::set(&mut body, "click", *url);
            }
        }
        body
    }
}

/// Cuts to what fits into a message.
fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(MAX_MESSAGE_BYTES)).unwrap_or_default().to_owned()
}
