//! Kind `postgres`: signs in and asks one query in a transaction that can only read; its first row is the JSON that
//! `json` and `expr` see, beside `version`.
//!
//! The few messages this needs are spoken here: a driver hides the phases, and has no place for the deadline and the
//! read-only transaction before the query.

mod message;
mod refusal;
mod row;
mod scram;
mod sign_in;

use std::sync::Arc;

use kit::config::Cursor;
use serde_json::{Map, Value as Json};
use tokio::time::Instant;

use self::message::{Message, SSL_REQUEST, ask_for_one_row, message, parse, parse_tls_answer, text};
use self::refusal::refusal;
use self::row::{Column, columns, fill};
use self::sign_in::sign_in;
use super::endpoint::{Dialog, Endpoint};
use super::kinds::{Expectation, Kind, Probe};
use super::login::Login;
use super::observation::{Facts, Outcome, ReasonCode};
use super::run::Run;
use super::scheme::{Scheme, Takes};
use super::sql::{optional_text, plain_text, time_for_query};
use super::wire::Wire;

/// Asked where no query is written: it costs nothing and tells a primary from a standby.
const QUERY: &str = "select pg_is_in_recovery() as in_recovery";

/// PostgreSQL, and what speaks its protocol.
pub(crate) struct Postgres;

impl Kind for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const {
            &[
                Scheme::plain("postgres", Takes::Address(Some(5432))),
                Scheme::plain("postgresql", Takes::Address(Some(5432))),
            ]
        }
    }

    fn expectations(&self) -> &'static [Expectation] {
        Expectation::OF_SERVERS
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let endpoint = Endpoint::decode(&fields);
        let login = Login::decode(&fields);
        let user = fields.require("username").and_then(|c| plain_text(&c));
        let database = optional_text(&fields, "database");
        let query = optional_text(&fields, "query");
        let legacy_auth = fields.get("legacy_auth").map_or(Some(false), |c| c.bool());
        fields.end();
        let user = user?;
        Some(Arc::new(PostgresProbe {
            endpoint: endpoint?,
            login: login?,
            database: database?.unwrap_or_else(|| user.clone()),
            user,
            query: query?.unwrap_or_else(|| QUERY.to_owned()),
            legacy_auth: legacy_auth?,
        }))
    }
}

#[derive(Debug)]
struct PostgresProbe {
    endpoint: Endpoint,
    login: Login,
    user: String,
    database: String,
    query: String,
    legacy_auth: bool,
}

impl Dialog for PostgresProbe {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn hold(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let mut wire = self.connect(run).await?;
        let greeting = sign_in(self, run, &mut wire).await?;
        let mut facts = Map::new();
        if let Some(version) = greeting.version {
            run.seen.protocol = Some(format!("PostgreSQL {version}"));
            facts.insert("version".to_owned(), version.into());
        }
        wire.send(&text(b'Q', &only_reading(run.deadline)), "the beginning").await?;
        read_answer(run, &mut wire, &mut Map::new()).await?;
        wire.send(&ask_for_one_row(&self.query), "the query").await?;
        if !read_answer(run, &mut wire, &mut facts).await? {
            run.seen.remark("no row");
        }
        // The transaction ends with the session.
        wire.part(&message(b'X', &[])).await;
        Ok(Facts { body: Some(Json::Object(facts).to_string().into()), ..Facts::default() })
    }
}

impl PostgresProbe {
    async fn connect(&self, run: &mut Run) -> Result<Wire, Outcome> {
        let mut wire = self.endpoint.connect_bare(run).await?;
        let Some(secrecy) = &self.endpoint.tls else { return Ok(wire) };
        wire.send(&SSL_REQUEST, "the wish for TLS").await?;
        match wire.receive(run, "the answer to the wish for TLS", parse_tls_answer).await? {
            b'S' => {}
            b'N' => return Err(Outcome::fail(ReasonCode::Tls, "the server does not offer TLS")),
            _ => return Err(refusal(&wire.receive(run, "the refusal", parse).await?.body)),
        }
        secrecy.upgrade(run, wire).await
    }
}

/// Nothing can be written, and the server gives up before we do.
fn only_reading(deadline: Instant) -> String {
    format!("begin read only; set local statement_timeout = {}", time_for_query(deadline).as_millis())
}

/// Reads until the server is ready again; the first row goes into `facts`. Returns whether there was one.
async fn read_answer(run: &mut Run, wire: &mut Wire, facts: &mut Map<String, Json>) -> Result<bool, Outcome> {
    let mut described: Vec<Column> = Vec::new();
    let mut has_row = false;
    loop {
        let Message { kind, body } = wire.receive(run, "the answer", parse).await?;
        match kind {
            b'T' => described = columns(&body).ok_or_else(|| malformed("the answer"))?,
            b'D' if has_row => {}
            b'D' => {
                fill(facts, &described, &body).ok_or_else(|| malformed("the answer"))?;
                has_row = true;
            }
            b'E' => return Err(refusal(&body)),
            b'Z' => return Ok(has_row),
            // Copies have no end that is ours to wait for.
            b'G' | b'H' | b'W' => {
                return Err(Outcome::fail(ReasonCode::Rejected, "the query copies; write one that selects"));
            }
            _ => {}
        }
    }
}

fn malformed(what: &str) -> Outcome {
    Outcome::fail(ReasonCode::Protocol, format!("{what} is not of PostgreSQL"))
}
