//! `email`: one mail for all recipients, as text and as HTML with a picture of the latency, over SMTP.
//!
//! The dialog is our own (`dialog`, `smtp`): one refused recipient must not keep the mail from the others, every step
//! needs a deadline of its own, and nothing may be pooled. Lettre composes the mail.

mod chart;
mod compose;
mod dialog;
mod html;
mod png;
mod recipients;
mod settings;
mod smtp;
mod table;

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use kit::clock::Moment;
use kit::config::Cursor;
use lettre::message::Mailbox;

use super::{Accepted, Channel, ChannelKind, EvidenceLevel, SendError};
use crate::alert::message::Message;
use recipients::Recipients;
use smtp::Server;

/// The kind.
pub(super) struct Email;

impl ChannelKind for Email {
    fn name(&self) -> &'static str {
        "email"
    }

    fn decode(&self, cursor: &Cursor<'_>) -> Option<Arc<dyn Channel>> {
        Some(Arc::new(settings::decode(cursor)?))
    }

    fn evidence(&self) -> EvidenceLevel {
        EvidenceLevel::Full
    }
}

/// Configured recipients and the server that takes mail for them.
struct EmailChannel {
    from: Mailbox,
    to: Vec<Mailbox>,
    server: Server,
    /// Who has the mails that are on their way to some.
    recipients: Recipients,
}

impl fmt::Debug for EmailChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "email to {}", self.target())
    }
}

impl Channel for EmailChannel {
    fn target(&self) -> String {
        let list: Vec<&str> = self.to.iter().map(|mailbox| mailbox.email.as_ref()).collect();
        format!("{} through {}", list.join(", "), self.server)
    }

    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Accepted, SendError>> {
        Box::pin(async move {
            let mail = compose::mail(message, &self.from, &self.to).map_err(SendError::Refused)?;
            let to: Vec<&str> = self.to.iter().map(|mailbox| mailbox.email.as_ref()).collect();
            let missing = self.recipients.missing(&message.key, &to);
            let tried = self.server.deliver(self.from.email.as_ref(), &missing, &mail).await;
            self.recipients.conclude(&message.key, tried, Moment::now())
        })
    }
}
