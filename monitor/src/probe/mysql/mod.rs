//! Kind `mysql`: signs in to MySQL or MariaDB and asks one query in a transaction that can only read; its first row is the
//! JSON that `json` and `expr` see, beside `version`.
//!
//! Without a name it signs in as nobody and is content with being refused: a server counts connections that break off
//! before that, and blocks the host of too many (MySQL manual, `max_connect_errors`).
//!
//! The few packets this needs are spoken here, for the reasons of kind `postgres`.

mod greeting;
mod packet;
mod refusal;
mod row;
mod sign_in;

use std::sync::Arc;

use kit::config::Cursor;
use serde_json::{Map, Value as Json};
use tokio::time::Instant;

use self::greeting::{Greeting, wish_for_tls};
use self::packet::{ERROR, Packet, command, framed, parse, parse_first};
use self::refusal::Refusal;
use self::row::{Column, count, fill};
use self::sign_in::sign_in;
use super::endpoint::{Dialog, Endpoint};
use super::kinds::{Expectation, Kind, Probe};
use super::login::Login;
use super::observation::{Facts, Outcome, ReasonCode};
use super::run::Run;
use super::scheme::{Scheme, Takes};
use super::sql::{optional_text, time_for_query};
use super::wire::Wire;

/// Asked where no query is written: it costs nothing and tells a primary from a replica.
const QUERY: &str = "select @@read_only as read_only";
/// Commands ("Text Protocol").
const QUIT: u8 = 1;
const ASK: u8 = 3;

/// MySQL, MariaDB, and what speaks their protocol.
pub(crate) struct MySql;

impl Kind for MySql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("mysql", Takes::Address(Some(3306))), Scheme::plain("mariadb", Takes::Address(Some(3306)))] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        Expectation::OF_SERVERS
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let endpoint = Endpoint::decode(&fields);
        // A user may have no password.
        let login = Login::decode(&fields).filter(|login| login.is_named(&fields));
        let database = optional_text(&fields, "database");
        let query = optional_text(&fields, "query");
        let nameless = !fields.has("username");
        for key in ["database", "query"] {
            if nameless && fields.has(key) {
                fields.cursor().mistake(format!("{key:?} needs a name to sign in with; write username: …"));
            }
        }
        if let Some(Some(query)) = &query
            && writes_a_file(query)
        {
            fields.cursor().mistake(
                "\"query\" would write a file on the server, which no transaction forbids; a probe only reads",
            );
            return None;
        }
        fields.end();
        Some(Arc::new(MySqlProbe { endpoint: endpoint?, login: login?, database: database?, query: query? }))
    }
}

/// `… INTO OUTFILE` and `INTO DUMPFILE` are no change of the database.
fn writes_a_file(query: &str) -> bool {
    let words: Vec<String> = query.split_whitespace().map(str::to_ascii_lowercase).collect();
    let mut pairs = words.iter().zip(words.iter().skip(1));
    pairs.any(|(first, then)| first == "into" && (then.starts_with("outfile") || then.starts_with("dumpfile")))
}

#[derive(Debug)]
struct MySqlProbe {
    endpoint: Endpoint,
    login: Login,
    database: Option<String>,
    query: Option<String>,
}

impl Dialog for MySqlProbe {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn hold(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let mut wire = self.endpoint.connect_bare(run).await?;
        let first = wire.receive(run, "the greeting", parse_first).await?;
        if first.kind() == Some(ERROR) {
            return Err(Refusal::read(&first).into());
        }
        let greeting = Greeting::read(&first).ok_or_else(|| malformed("the greeting"))?;
        run.seen.protocol = Some(greeting.spoken());
        let mut facts = Map::new();
        facts.insert("version".to_owned(), greeting.version.clone().into());
        let mut number = first.number;
        if self.endpoint.tls.is_some() {
            wire = self.secure(run, wire, &greeting).await?;
            number += 1;
        }
        match sign_in(self, run, &mut wire, &greeting, number).await? {
            Ok(()) => {
                self.ask(run, &mut wire, &greeting, &mut facts).await?;
                wire.part(&command(QUIT, "")).await;
            }
            Err(refusal) if self.login.username.is_none() && refusal.is_of_the_nameless() => {}
            Err(refusal) => return Err(refusal.into()),
        }
        Ok(Facts { body: Some(Json::Object(facts).to_string().into()), ..Facts::default() })
    }
}

impl MySqlProbe {
    async fn secure(&self, run: &mut Run, mut wire: Wire, greeting: &Greeting) -> Result<Wire, Outcome> {
        let Some(secrecy) = &self.endpoint.tls else { return Ok(wire) };
        if !greeting.offers_tls() {
            return Err(Outcome::fail(ReasonCode::Tls, "the server does not offer TLS"));
        }
        wire.send(&framed(1, &wish_for_tls(self.database.as_deref())), "the wish for TLS").await?;
        secrecy.upgrade(run, wire).await
    }

    async fn ask(
        &self,
        run: &mut Run,
        wire: &mut Wire,
        greeting: &Greeting,
        facts: &mut Map<String, Json>,
    ) -> Result<(), Outcome> {
        // What commits by itself (CREATE, DROP …) would leave the transaction, and not the session, behind.
        let quiet = ["set session transaction read only", "start transaction read only", "set sql_select_limit = 1"];
        for statement in quiet {
            order(run, wire, statement, &mut Map::new()).await??;
        }
        match order(run, wire, &limit(greeting, run.deadline), &mut Map::new()).await? {
            // What has no such limit ends with our own.
            Err(refusal) if !refusal.is_of_a_variable() => return Err(refusal.into()),
            Ok(_) | Err(_) => {}
        }
        if !order(run, wire, self.query.as_deref().unwrap_or(QUERY), facts).await?? {
            run.seen.remark("no row");
        }
        Ok(())
    }
}

/// The server gives up before we do.
fn limit(greeting: &Greeting, deadline: Instant) -> String {
    let time = time_for_query(deadline);
    match greeting.is_maria() {
        true => format!("set max_statement_time = {:.3}", time.as_secs_f64()),
        false => format!("set max_execution_time = {}", time.as_millis()),
    }
}

/// Gives one statement; the first row goes into `facts`. Returns whether there was one, or what the server says against it.
async fn order(
    run: &mut Run,
    wire: &mut Wire,
    statement: &str,
    facts: &mut Map<String, Json>,
) -> Result<Result<bool, Refusal>, Outcome> {
    let cut = || malformed("the answer");
    wire.send(&command(ASK, statement), "the query").await?;
    let head = wire.receive(run, "the answer", parse).await?;
    let columns = match head.kind() {
        Some(0) => return Ok(Ok(false)),
        Some(ERROR) => return Ok(Err(Refusal::read(&head))),
        // It wants a file of ours.
        Some(0xfb) => return Err(Outcome::fail(ReasonCode::Rejected, "the query copies; write one that selects")),
        _ => count(&head).ok_or_else(cut)?,
    };
    let mut described: Vec<Column> = Vec::new();
    for _ in 0..columns {
        described.push(Column::read(&wire.receive(run, "the answer", parse).await?).ok_or_else(cut)?);
    }
    wire.receive(run, "the answer", parse).await?;
    let mut has_row = false;
    loop {
        let packet: Packet = wire.receive(run, "the answer", parse).await?;
        match packet.kind() {
            Some(ERROR) => return Ok(Err(Refusal::read(&packet))),
            _ if packet.is_end() => return Ok(Ok(has_row)),
            _ if has_row => {}
            _ => {
                fill(facts, &described, &packet).ok_or_else(cut)?;
                has_row = true;
            }
        }
    }
}

fn malformed(what: &str) -> Outcome {
    Outcome::fail(ReasonCode::Protocol, format!("{what} is not of MySQL"))
}
