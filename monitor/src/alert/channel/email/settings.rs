//! Settings of kind `email`, checked once at load.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kit::config::{Cursor, Fields};
use lettre::message::Mailbox;
use rustls::pki_types::ServerName;
use secrecy::SecretString;

use super::EmailChannel;
use super::recipients::Recipients;
use super::smtp::{Security, Server};
use crate::alert::channel::tls;

/// Longest wait for one step of the dialog unless the settings say otherwise: a little less than the deadline of a whole
/// delivery, so that the error still names the step. (RFC 5321 section 4.5.3.2 has minutes, for queues that nobody
/// waits for.)
const STEP_TIMEOUT: Duration = Duration::from_secs(8);
/// What we call ourselves if the machine has no name (RFC 5321 section 4.1.4).
const NAMELESS: &str = "[127.0.0.1]";

/// Checks the settings of one channel.
pub(super) fn decode(cursor: &Cursor<'_>) -> Option<EmailChannel> {
    let fields = cursor.fields()?;
    let to = fields.require("to").and_then(|c| recipients(&c));
    let written = fields.get("from").map(|c| mailbox(&c));
    let smtp = fields.require("smtp");
    let from = match written {
        Some(from) => from,
        None => default_from(smtp.as_ref(), to.as_deref()),
    };
    let server = smtp.and_then(|c| server(&c, from.as_ref()));
    fields.end();
    Some(EmailChannel { from: from?, to: to?, server: server?, recipients: Recipients::default() })
}

/// Without `from`: whoever signs in, if that is an address, else `monitor` at the first recipient's domain.
fn default_from(smtp: Option<&Cursor<'_>>, to: Option<&[Mailbox]>) -> Option<Mailbox> {
    let user = smtp.and_then(|cursor| cursor.node().child("user")?.scalar_text()?.parse::<Mailbox>().ok());
    user.or_else(|| format!("monitor@{}", to?.first()?.email.domain()).parse().ok())
}

fn recipients(cursor: &Cursor<'_>) -> Option<Vec<Mailbox>> {
    let items = cursor.items();
    if items.is_empty() {
        cursor.mistake("a mail needs somebody to read it; write [ops@example.com]");
        return None;
    }
    let mailboxes: Vec<Mailbox> = items.iter().filter_map(mailbox).collect();
    (mailboxes.len() == items.len()).then_some(mailboxes)
}

fn mailbox(cursor: &Cursor<'_>) -> Option<Mailbox> {
    let found = cursor.text()?.parse::<Mailbox>().ok();
    // Beyond ASCII an address needs SMTPUTF8 (RFC 6531) on every server of its way.
    let found = found.filter(|mailbox| AsRef::<str>::as_ref(&mailbox.email).is_ascii());
    if found.is_none() {
        let shown = cursor.node().shown();
        cursor.mistake(format!("{shown} is not a mail address; write ops@example.com or \"Ops <ops@example.com>\""));
    }
    found
}

fn server(cursor: &Cursor<'_>, from: Option<&Mailbox>) -> Option<Server> {
    let fields = cursor.fields()?;
    let host = fields.require("host").and_then(|c| Some((c.text()?, c)));
    let words = [("starttls", Security::StartTls), ("implicit", Security::Implicit), ("none", Security::None)];
    let security = fields.get("tls").map_or(Some(Security::StartTls), |c| c.one_of(&words));
    let port = match fields.get("port") {
        Some(cursor) => cursor.whole(1..=u16::MAX),
        None => security.map(Security::port),
    };
    let credentials = credentials(&fields, from);
    let hello = fields.get("hello_name").map_or_else(|| Some(own_name()), |c| hello(&c));
    let step = fields.get("step_timeout").and_then(|c| c.duration(Duration::from_secs(1)..=Duration::from_secs(60)));
    let tls = tls::decode(&fields);
    let is_open = security == Some(Security::None) && matches!(credentials, Some(Some(_)));
    if is_open && host.as_ref().is_some_and(|(host, _)| !is_loopback(host)) {
        fields.cursor().mistake("tls: none would send the password readable by everybody; write tls: starttls");
        return None;
    }
    fields.end();
    let (host, cursor) = host?;
    let name = server_name(&host, &cursor);
    Some(Server {
        host,
        port: port?,
        name: name?,
        security: security?,
        credentials: credentials?,
        hello: hello?,
        step: step.unwrap_or(STEP_TIMEOUT),
        tls: Arc::new(tls?),
    })
}

/// The outer `None` is a mistake, the inner one means that nobody signs in.
/// Without `user` the sender signs in.
fn credentials(fields: &Fields<'_>, from: Option<&Mailbox>) -> Option<Option<(String, SecretString)>> {
    let has_password = fields.has("password") | fields.has("password_file");
    match (fields.get("user"), has_password) {
        (None, false) => Some(None),
        (Some(user), true) => Some(Some((user.text()?, fields.secret("password", "password_file")?))),
        (None, true) => Some(Some((from?.email.to_string(), fields.secret("password", "password_file")?))),
        (Some(user), false) => {
            user.mistake("to sign in needs a \"password_file\" too");
            None
        }
    }
}

fn server_name(host: &str, cursor: &Cursor<'_>) -> Option<ServerName<'static>> {
    let name = ServerName::try_from(host.to_owned()).ok();
    if name.is_none() {
        cursor.mistake(format!("{} is not the name or address of a host", cursor.node().shown()));
    }
    name
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn hello(cursor: &Cursor<'_>) -> Option<String> {
    let name = cursor.text()?;
    if is_hello(&name) {
        return Some(name);
    }
    cursor.mistake(format!("{} is not a name for EHLO; write one like monitor.example.com", cursor.node().shown()));
    None
}

fn is_hello(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '[' | ']' | ':');
    (1..=255).contains(&name.len()) && name.chars().all(allowed)
}

/// The machine's name, as the kernel has it.
fn own_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Some(name.trim().to_owned()).filter(|name| is_hello(name)).unwrap_or_else(|| NAMELESS.to_owned())
}

impl Security {
    /// The port that goes with it: submission (RFC 6409), submission over TLS (RFC 8314), relay.
    fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }
}
