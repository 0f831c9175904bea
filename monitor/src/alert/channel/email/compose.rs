//! The mail itself: headers, and text beside HTML with its picture (RFC 2046 section 5.1.4, RFC 2387).

use std::time::SystemTime;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MessageBuilder, MultiPart, SinglePart};

use super::chart::Chart;
use super::html;
use crate::alert::channel::words;
use crate::alert::message::Message;

/// Longest subject, in characters: clients show far fewer.
const MAX_SUBJECT_CHARS: usize = 200;
/// Longest text alternative, in characters.
const MAX_TEXT_CHARS: usize = 64_000;
/// Name of the picture within the mail (RFC 2392).
pub(super) const PICTURE: &str = "latency@monitor";

/// Composes the mail.
///
/// # Errors
/// One sentence; it cannot happen with checked addresses.
pub(super) fn mail(message: &Message, from: &Mailbox, to: &[Mailbox]) -> Result<Vec<u8>, String> {
    let chart = match message.alerts.as_slice() {
        [only] => only.evidence.as_ref().and_then(|evidence| Chart::of(&evidence.latency)),
        _ => None,
    };
    let page = SinglePart::html(html::page(message, chart.as_ref()));
    let page = match &chart {
        None => MultiPart::related().singlepart(page),
        Some(chart) => MultiPart::related().singlepart(page).singlepart(picture(chart)?),
    };
    let subject = words::headline(message, MAX_SUBJECT_CHARS);
    let text = format!("{subject}\n\n{}\n", words::plain(message, MAX_TEXT_CHARS));
    let mut builder = headers(message, from).subject(subject);
    for mailbox in to {
        builder = builder.to(mailbox.clone());
    }
    let whole = MultiPart::alternative().singlepart(SinglePart::plain(text)).multipart(page);
    builder.multipart(whole).map(|mail| mail.formatted()).map_err(|error| format!("cannot compose the mail: {error}"))
}

fn picture(chart: &Chart) -> Result<SinglePart, String> {
    let kind: ContentType = "image/png".parse().map_err(|error| format!("image/png: {error}"))?;
    let picture = Attachment::new_inline_with_name(PICTURE.to_owned(), "latency.png".to_owned());
    Ok(picture.body(chart.png.clone(), kind))
}

fn headers(message: &Message, from: &Mailbox) -> MessageBuilder {
    let domain = from.email.domain();
    let mut builder = lettre::Message::builder()
        .from(from.clone())
        .date(SystemTime::now())
        .message_id(Some(format!("<{}@{domain}>", message.key)))
        // RFC 3834 section 5: nobody's holiday answers to us.
        .raw_header(raw("Auto-Submitted", "auto-generated"))
        .raw_header(raw("Idempotency-Key", &message.key));
    if let [only] = message.alerts.as_slice() {
        // What happens to one incident hangs under one root, which clients thread by although it was never sent
        // (RFC 5322 section 3.6.4).
        let root = format!("<{}.{}@{domain}>", only.incident, message.channel);
        builder = builder.in_reply_to(root.clone()).references(root);
        builder = builder.raw_header(raw("X-Monitor-Incident", &only.incident.to_string()));
    }
    builder
}

/// A header of our own. Its value is made of keys and ids, which have no character that needs encoding.
fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), words::line(value))
}
