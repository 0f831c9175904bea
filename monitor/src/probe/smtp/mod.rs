//! Kind `smtp`: greeting, EHLO, and where configured STARTTLS (RFC 3207) and AUTH (RFC 4954). No mail is sent.
//!
//! The JSON that `json` and `expr` see: `banner`, `capabilities` as the server writes them, and of these `starttls`,
//! `auth` (the ways to sign in) and `max_size` by themselves; `tls` says whether the session is encrypted.

pub(crate) mod reply;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kit::config::Cursor;
use serde_json::{Value as Json, json};

use self::reply::{Reply, find_reply};
use super::endpoint::{Dialog, Endpoint};
use super::expect::excerpt;
use super::kinds::{Expectation, Kind, Probe};
use super::login::Login;
use super::observation::{Facts, Outcome, ReasonCode};
use super::run::Run;
use super::scheme::{Scheme, Takes};
use super::wire::{Parsed, TLS_ALERT, Wire, foreign};

/// Who we say we are: whoever has no name gives an address (RFC 5321 section 4.1.4).
const EHLO: &str = "EHLO [127.0.0.1]";

/// A mail server, for submission or for delivery.
pub(crate) struct Smtp;

impl Kind for Smtp {
    fn name(&self) -> &'static str {
        "smtp"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("smtp", Takes::Address(Some(25))), Scheme::secure("smtps", Takes::Address(Some(465)))] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        Expectation::OF_SERVERS
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let starttls = fields.get("starttls").map_or(Some(false), |c| c.bool());
        let endpoint = Endpoint::decode_with(&fields, starttls == Some(true));
        let login = Login::decode_both_or_none(&fields);
        if let (Some(endpoint), Some(login)) = (&endpoint, &login) {
            endpoint.refuse_bare_password(&fields, login, "starttls: true or tls: {}");
        }
        fields.end();
        Some(Arc::new(SmtpProbe { endpoint: endpoint?, login: login?, starttls: starttls? }))
    }
}

#[derive(Debug)]
struct SmtpProbe {
    endpoint: Endpoint,
    login: Login,
    starttls: bool,
}

impl Dialog for SmtpProbe {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn hold(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let (mut wire, banner) = self.greet(run).await?;
        let mut offers = hello(run, &mut wire).await?;
        if self.starttls {
            wire = self.secure(run, wire, &offers).await?;
            offers = hello(run, &mut wire).await?;
        }
        self.sign_in(run, &mut wire, &offers).await?;
        let is_tls = wire.is_tls();
        wire.part(b"QUIT\r\n").await;
        Ok(Facts { body: Some(facts(&banner, &offers, is_tls).to_string().into()), ..Facts::default() })
    }
}

impl SmtpProbe {
    /// Connects and waits for the greeting; TLS comes before it or, with STARTTLS, later.
    async fn greet(&self, run: &mut Run) -> Result<(Wire, String), Outcome> {
        let mut wire = match self.starttls {
            true => self.endpoint.connect_bare(run).await?,
            false => self.endpoint.connect(run).await?,
        };
        let reply = wire.receive(run, "the greeting", parse).await?;
        let reply = need(reply, 220, "the greeting", "it takes no mail now")?;
        Ok((wire, reply.lines.join(" ")))
    }

    async fn secure(&self, run: &mut Run, mut wire: Wire, offers: &[String]) -> Result<Wire, Outcome> {
        let Some(secrecy) = &self.endpoint.tls else { return Ok(wire) };
        if parameters(offers, "STARTTLS").is_none() {
            return Err(Outcome::fail(ReasonCode::Tls, "the server does not offer STARTTLS"));
        }
        let reply = order(run, &mut wire, "STARTTLS", "STARTTLS").await?;
        need(reply, 220, "STARTTLS", "it begins no TLS now")?;
        secrecy.upgrade(run, wire).await
    }

    async fn sign_in(&self, run: &mut Run, wire: &mut Wire, offers: &[String]) -> Result<(), Outcome> {
        let (Some(user), Some(password)) = (&self.login.username, self.login.password()) else { return Ok(()) };
        if !wire.is_private(run) {
            let text = "a password is not sent in plain text to another host; write starttls: true or tls: {}";
            return Err(Outcome::fail(ReasonCode::Auth, text));
        }
        let ways = parameters(offers, "AUTH").unwrap_or_default();
        let reply = if ways.contains(&"PLAIN") {
            let secret = STANDARD.encode(format!("\0{user}\0{password}"));
            order(run, wire, &format!("AUTH PLAIN {secret}"), "AUTH").await?
        } else if ways.contains(&"LOGIN") {
            need(order(run, wire, "AUTH LOGIN", "AUTH").await?, 334, "AUTH", "it does not ask who we are")?;
            need(order(run, wire, &STANDARD.encode(user), "AUTH").await?, 334, "AUTH", "it refuses the name")?;
            order(run, wire, &STANDARD.encode(password), "AUTH").await?
        } else {
            let text =
                format!("it offers no way to sign in that is known here (PLAIN, LOGIN), but: {}", ways.join(" "));
            return Err(Outcome::fail(ReasonCode::Auth, text));
        };
        match reply.code {
            // Refused, too weak, or to be encrypted first (RFC 4954 section 6).
            530 | 534 | 535 | 538 => Err(refusal(&reply, ReasonCode::Auth, "AUTH", "it refuses name or password")),
            _ => need(reply, 235, "AUTH", "nobody can sign in now").map(drop),
        }
    }
}

async fn hello(run: &mut Run, wire: &mut Wire) -> Result<Vec<String>, Outcome> {
    let reply = order(run, wire, EHLO, "EHLO").await?;
    let lines = need(reply, 250, "EHLO", "it does not speak with us")?.lines;
    // The first line is the server's own name.
    Ok(lines.into_iter().skip(1).collect())
}

/// Gives one command; only `name` is ever shown, for the command may hold a secret.
async fn order(run: &mut Run, wire: &mut Wire, command: &str, name: &str) -> Result<Reply, Outcome> {
    wire.send(format!("{command}\r\n").as_bytes(), name).await?;
    wire.receive(run, &format!("the reply to {name}"), parse).await
}

fn parse(bytes: &[u8]) -> Parsed<Reply> {
    if bytes.starts_with(&TLS_ALERT) {
        return Err(foreign("SMTP", bytes));
    }
    find_reply(bytes).map_err(|line| foreign("SMTP", line.as_bytes()))
}

/// 4yz is for now and 5yz for good (RFC 5321 section 4.2.1): neither is a pass.
fn need(reply: Reply, code: u16, step: &str, meaning: &str) -> Result<Reply, Outcome> {
    if reply.code == code { Ok(reply) } else { Err(refusal(&reply, ReasonCode::Rejected, step, meaning)) }
}

fn refusal(reply: &Reply, code: ReasonCode, step: &str, meaning: &str) -> Outcome {
    let said = excerpt(reply.lines.join(" ").as_bytes());
    Outcome::fail(code, format!("{step}: {meaning}: {} {said}", reply.code))
}

/// What follows a capability's name; none if it is not offered.
fn parameters<'a>(offers: &'a [String], name: &str) -> Option<Vec<&'a str>> {
    offers.iter().find_map(|offer| {
        let mut words = offer.split_whitespace();
        words.next().filter(|word| word.eq_ignore_ascii_case(name)).map(|_| words.collect())
    })
}

fn facts(banner: &str, offers: &[String], is_tls: bool) -> Json {
    let max_size = parameters(offers, "SIZE").and_then(|words| words.first()?.parse::<u64>().ok());
    json!({
        "banner": banner,
        "capabilities": offers,
        "starttls": parameters(offers, "STARTTLS").is_some(),
        "auth": parameters(offers, "AUTH").unwrap_or_default(),
        "max_size": max_size,
        "tls": is_tls,
    })
}
