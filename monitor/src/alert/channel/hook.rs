//! Chats that take JSON at a secret URL: Slack, Discord and Teams differ only in what they are sent.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use kit::config::Cursor;
use serde_json::Value;
use url::Url;

use super::post::{self, Poster};
use super::{Accepted, Channel, SendError, settings};
use crate::alert::message::Message;

/// A configured hook. Its URL is the secret.
pub(super) struct Hook {
    name: &'static str,
    url: Url,
    payload: fn(&Message) -> Value,
    poster: Poster,
}

impl Hook {
    /// Checks the settings `url` or `url_file`.
    pub(super) fn decode(
        cursor: &Cursor<'_>,
        name: &'static str,
        payload: fn(&Message) -> Value,
        adjust: impl FnOnce(&mut Url),
    ) -> Option<Arc<dyn Channel>> {
        let fields = cursor.fields()?;
        let url = settings::url(&fields, "url", "url_file");
        let poster = Poster::decode(&fields);
        fields.end();
        let mut url = url?;
        let poster = poster?.hiding_url(&url);
        adjust(&mut url);
        Some(Arc::new(Self { name, url, payload, poster }))
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.target())
    }
}

impl Channel for Hook {
    fn target(&self) -> String {
        settings::shown(&self.url)
    }

    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Accepted, SendError>> {
        Box::pin(async move {
            let request = post::json(&self.url, &(self.payload)(message), &[])?;
            self.poster.send(post::keyed(request, &message.key)).await
        })
    }
}
