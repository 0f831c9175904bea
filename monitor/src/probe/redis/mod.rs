//! Kind `redis`: signs in, pings, and where an expectation looks, reads `INFO` and the reply to one command.
//!
//! The JSON that `json` and `expr` see has every field of `INFO` by Redis' own name (`role`, `connected_clients`,
//! `used_memory`, `master_link_status` …), numbers as numbers, beside `version` and `reply`.

mod info;
mod resp;

use std::sync::Arc;

use kit::config::Cursor;
use serde_json::Value as Json;

use self::info::{note, parse_info};
use self::resp::{Reply, encode, parse};
use super::endpoint::{Dialog, Endpoint};
use super::expect::excerpt;
use super::kinds::{Expectation, Kind, Probe};
use super::login::Login;
use super::observation::{Facts, Outcome, ReasonCode};
use super::run::Run;
use super::scheme::{Scheme, Takes};
use super::wire::Wire;

/// Arguments of `command` at most.
const MAX_ARGUMENTS: usize = 32;

/// Redis, and what speaks its protocol (Valkey, KeyDB, Dragonfly).
pub(crate) struct Redis;

impl Kind for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("redis", Takes::Address(Some(6379))), Scheme::secure("rediss", Takes::Address(Some(6379)))] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        Expectation::OF_SERVERS
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let endpoint = Endpoint::decode(&fields);
        let login = Login::decode_pair(&fields);
        let database = match fields.get("database") {
            Some(cursor) => cursor.whole(0..=u16::MAX).map(Some),
            None => Some(None),
        };
        let command = fields.get("command").map_or(Some(Vec::new()), |c| decode_command(&c));
        fields.end();
        Some(Arc::new(RedisProbe { endpoint: endpoint?, login: login?, database: database?, command: command? }))
    }
}

/// A line is cut at its spaces; a list is taken as it is.
fn decode_command(cursor: &Cursor<'_>) -> Option<Vec<String>> {
    let texts = cursor.texts();
    let words: Vec<String> = match texts.as_slice() {
        [line] => line.split_whitespace().map(str::to_owned).collect(),
        _ => texts,
    };
    if words.is_empty() || words.len() > MAX_ARGUMENTS {
        let shown = cursor.node().shown();
        cursor.mistake(format!("{shown} is no command of 1 to {MAX_ARGUMENTS} words; write it like GET key"));
        return None;
    }
    Some(words)
}

#[derive(Debug)]
struct RedisProbe {
    endpoint: Endpoint,
    login: Login,
    database: Option<u16>,
    command: Vec<String>,
}

impl Dialog for RedisProbe {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn hold(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let mut wire = self.endpoint.connect(run).await?;
        self.sign_in(run, &mut wire).await?;
        match order(run, &mut wire, &["PING"]).await? {
            Reply::Text(text) if text == "PONG" => {}
            other => return Err(Outcome::fail(ReasonCode::Protocol, format!("PING: {}", other.shown()))),
        }
        let mut facts = serde_json::Map::new();
        if run.needs_body
            && let Reply::Text(text) = order(run, &mut wire, &["INFO"]).await?
        {
            facts = parse_info(&text);
            run.seen.protocol = facts.get("version").and_then(Json::as_str).map(|version| format!("Redis {version}"));
            if let Some(note) = note(&facts) {
                run.seen.remark(note);
            }
        }
        if !self.command.is_empty() {
            let words: Vec<&str> = self.command.iter().map(String::as_str).collect();
            facts.insert("reply".to_owned(), order(run, &mut wire, &words).await?.into_json());
        }
        Ok(Facts { body: Some(Json::Object(facts).to_string().into()), ..Facts::default() })
    }
}

impl RedisProbe {
    async fn sign_in(&self, run: &mut Run, wire: &mut Wire) -> Result<(), Outcome> {
        if let Some(password) = self.login.password() {
            let words: Vec<&str> =
                ["AUTH"].into_iter().chain(self.login.username.as_deref()).chain([password]).collect();
            order(run, wire, &words).await?;
        }
        if let Some(database) = self.database {
            order(run, wire, &["SELECT", &database.to_string()]).await?;
        }
        Ok(())
    }
}

/// Gives one command and returns its reply; an error is a fail in words. Only the command's name is ever shown.
async fn order(run: &mut Run, wire: &mut Wire, words: &[&str]) -> Result<Reply, Outcome> {
    let name = words.first().copied().unwrap_or_default();
    wire.send(&encode(words), name).await?;
    match wire.receive(run, &format!("the reply to {name}"), parse).await? {
        Reply::Error(error) => Err(refusal(name, &error)),
        reply => Ok(reply),
    }
}

/// What an error says; its first word is its kind (Redis protocol specification, "Simple errors").
fn refusal(name: &str, error: &str) -> Outcome {
    let said = excerpt(error.as_bytes());
    let (code, meaning) = match error.split(' ').next().unwrap_or_default() {
        "NOAUTH" => (ReasonCode::Auth, "it wants a password, and none is configured; write password_file"),
        "WRONGPASS" => (ReasonCode::Auth, "it refuses the password"),
        "NOPERM" => (ReasonCode::Auth, "the user may not do this"),
        _ if name == "AUTH" => (ReasonCode::Auth, "it does not take a password"),
        "LOADING" => (ReasonCode::Rejected, "it is still loading its data"),
        "MASTERDOWN" => (ReasonCode::Rejected, "it is a replica that has lost its master"),
        "MISCONF" => (ReasonCode::Rejected, "it cannot save its data and takes no writes"),
        "BUSY" => (ReasonCode::Rejected, "a script keeps it busy"),
        "CLUSTERDOWN" => (ReasonCode::Rejected, "its cluster is down"),
        "DENIED" => (ReasonCode::Rejected, "it takes no connection from another host (protected mode)"),
        _ if error.contains("max number of clients") => (ReasonCode::Rejected, "it takes no more clients"),
        _ => (ReasonCode::Rejected, "it answers with an error"),
    };
    Outcome::fail(code, format!("{name}: {meaning}: {said}"))
}
