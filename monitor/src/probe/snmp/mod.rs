//! Kind `snmp`: asks an agent for values (GetRequest of SNMPv2c, RFC 3416, or of SNMPv1, RFC 1157).
//!
//! The JSON that `json` and `expr` see has the values under the names of `get`. SNMPv3 is not spoken.

mod ber;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::{Cursor, Fields, show_duration};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use self::ber::{Oid, Response, get, read};
use super::datagram::{exchange, open};
use super::dial::IpVersion;
use super::endpoint::Endpoint;
use super::kinds::{Expectation, Kind, Probe, Target};
use super::observation::{Facts, Outcome, ReasonCode};
use super::run::Run;
use super::scheme::{Scheme, Takes};

/// Where agents listen (RFC 3417 section 3.1).
const PORT: u16 = 161;
/// What agents call whoever may read, unless they are told otherwise.
const COMMUNITY: &str = "public";
/// What is asked if nothing is written: since when the agent runs, in hundredths of a second (sysUpTime.0, RFC 3418).
const UPTIME: (&str, &str) = ("uptime_ticks", "1.3.6.1.2.1.1.3.0");
/// Values of one question, at most: an answer must fit into a datagram that every agent can send (484 bytes, RFC 1157).
const MAX_VALUES: usize = 16;

/// An agent.
pub(crate) struct Snmp;

impl Kind for Snmp {
    fn name(&self) -> &'static str {
        "snmp"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("snmp", Takes::Address(Some(PORT)))] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[Expectation::Json]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let address = fields.require("address").and_then(|c| super::address::Address::decode(&c));
        let ip = IpVersion::decode_datagram(&fields);
        let version = fields.get("version").map_or(Some(1), |c| c.one_of(&[("1", 0), ("2c", 1)]));
        let community = decode_community(&fields);
        let values = decode_values(&fields);
        fields.end();
        let endpoint = Endpoint::new(address?, ip?, None);
        Some(Arc::new(SnmpProbe { endpoint, version: version?, community: community?, values: values? }))
    }
}

fn decode_community(fields: &Fields<'_>) -> Option<SecretString> {
    match fields.has("community") | fields.has("community_file") {
        true => fields.secret("community", "community_file"),
        false => Some(COMMUNITY.into()),
    }
}

fn decode_values(fields: &Fields<'_>) -> Option<Vec<(String, Oid)>> {
    let Some(cursor) = fields.get("get") else {
        return Some(vec![(UPTIME.0.to_owned(), Oid::parse(UPTIME.1)?)]);
    };
    let entries = cursor.entries()?;
    if entries.is_empty() || entries.len() > MAX_VALUES {
        cursor.mistake(format!("expected 1 to {MAX_VALUES} values, such as {{ load: 1.3.6.1.4.1.2021.10.1.5.1 }}"));
        return None;
    }
    let value = |(name, cursor): &(&str, Cursor<'_>)| {
        let oid = Oid::parse(&cursor.text()?);
        if oid.is_none() {
            cursor.mistake(format!("{} is no OID; write numbers, like 1.3.6.1.2.1.1.3.0", cursor.node().shown()));
        }
        Some(((*name).to_owned(), oid?))
    };
    let values: Vec<Option<(String, Oid)>> = entries.iter().map(value).collect();
    values.into_iter().collect()
}

struct SnmpProbe {
    endpoint: Endpoint,
    version: u8,
    community: SecretString,
    values: Vec<(String, Oid)>,
}

impl std::fmt::Debug for SnmpProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SnmpProbe").field(&self.endpoint.target().shown).finish()
    }
}

impl Probe for SnmpProbe {
    fn target(&self) -> Target {
        self.endpoint.target()
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        self.hold(run).boxed()
    }
}

impl SnmpProbe {
    async fn hold(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let addresses = self.endpoint.addresses(run).await?;
        let (socket, address) = open(&addresses).await?;
        run.seen.address = Some(address);
        run.seen.protocol = Some(if self.version == 0 { "SNMPv1" } else { "SNMPv2c" }.to_owned());
        let id = rand::random::<i32>() & i32::MAX;
        let oids: Vec<Oid> = self.values.iter().map(|(_, oid)| oid.clone()).collect();
        let question = get(self.version, self.community.expose_secret().as_bytes(), id, &oids);
        let Some(response) = exchange(run, &socket, address, &question, |bytes| read(bytes, id)).await? else {
            let text = format!(
                "no answer within {}; an agent is silent as well if it does not know the community, or who asks",
                show_duration(run.timeout)
            );
            return Err(Outcome::fail(ReasonCode::Timeout, text));
        };
        self.facts(run, response)
    }

    fn facts(&self, run: &mut Run, response: Response) -> Result<Facts, Outcome> {
        let name = |index: usize| self.values.get(index).map_or("the question", |(name, _)| name.as_str());
        if response.error != 0 {
            let at = usize::try_from(response.index).ok().and_then(|index| index.checked_sub(1));
            let text = format!("the agent refuses {}: {}", name(at.unwrap_or(usize::MAX)), error(response.error));
            return Err(Outcome::fail(ReasonCode::Rejected, text));
        }
        if response.values.len() != self.values.len() {
            let text = format!("{} values were asked for, and {} came", self.values.len(), response.values.len());
            return Err(Outcome::fail(ReasonCode::Protocol, text));
        }
        let mut facts = Map::new();
        for (index, value) in response.values.into_iter().enumerate() {
            let Some(value) = value else {
                let text = format!("the agent has no {}", name(index));
                return Err(Outcome::fail(ReasonCode::Rejected, text));
            };
            facts.insert(name(index).to_owned(), value);
        }
        if let [(name, _)] = self.values.as_slice() {
            run.seen.remark(format!("{name} is {}", facts.get(name).unwrap_or(&Value::Null)));
        }
        Ok(Facts { body: Some(Value::Object(facts).to_string().into()), ..Facts::default() })
    }
}

/// Error states (RFC 3416 section 3), in words.
fn error(status: i64) -> String {
    let known = match status {
        1 => "the answer is too big for a datagram; ask for less at once",
        2 => "it has no such object (noSuchName)",
        5 => "it cannot (genErr)",
        6 | 16 => "who asks may not read it (noAccess, authorizationError)",
        other => return format!("error {other}"),
    };
    known.to_owned()
}
