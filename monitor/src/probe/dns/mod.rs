//! Kind `dns`: one question to one server, or to the system's. The whole answer is the JSON that `json` and `expr` see;
//! what most people want of it (a code, certain records, how many) are settings of its own.

mod question;
mod wanted;
mod way;

pub(super) use self::question::{CODES, Heard, Question, Sent, decode_name, decode_type, show_code};

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hickory_resolver::proto::op::Message;
use kit::config::Cursor;
use serde_json::{Value as Json, json};

use self::question::show_type;
use self::wanted::Wanted;
use self::way::{Transport, Way};
use super::address::Address;
use super::expect::excerpt;
use super::kinds::{Expectation, Kind, Probe, Scope, Target};
use super::observation::{Facts, Outcome};
use super::run::Run;
use super::scheme::{Scheme, Takes};

/// Asks name servers.
pub(crate) struct Dns;

impl Kind for Dns {
    fn name(&self) -> &'static str {
        "dns"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("dns", Takes::Host("name"))] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[Expectation::Json, Expectation::Body, Expectation::Certificate]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let question = Question::decode(&fields);
        let wanted = Wanted::decode(&fields, question.as_ref().map(|question| question.kind));
        let way = Way::decode(&fields);
        fields.end();
        Some(Arc::new(DnsProbe { question: question?, wanted: wanted?, way: way? }))
    }
}

#[derive(Debug)]
struct DnsProbe {
    question: Question,
    wanted: Wanted,
    way: Way,
}

impl Probe for DnsProbe {
    fn target(&self) -> Target {
        let asked = self.question.to_string();
        match &self.way.server {
            Some(server) => Target { shown: format!("{asked} at {}", server.address), scope: server.target().scope },
            None => Target { shown: asked, scope: Scope::Public },
        }
    }

    fn connects_to(&self) -> Option<&Address> {
        // Whoever publishes a port publishes that of TCP.
        self.way.server.as_ref().filter(|_| self.way.transport != Transport::Udp).map(|server| &server.address)
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        async move {
            let message = self.way.ask(run, &self.question, &self.wanted).await?;
            run.leave();
            let found = self.question.records_of(&message);
            if !found.is_empty() {
                run.seen.remark(excerpt(found.join(", ").as_bytes()));
            }
            self.wanted.judge(&self.question, &message, &found)?;
            Ok(Facts { body: Some(facts(&message).to_string().into()), ..Facts::default() })
        }
        .boxed()
    }
}

/// The answer, as expectations see it.
fn facts(message: &Message) -> Json {
    let answers: Vec<Json> = message
        .answers
        .iter()
        .map(|record| {
            let kind = show_type(record.record_type());
            json!({ "name": record.name.to_ascii(), "type": kind, "ttl": record.ttl, "data": record.data.to_string() })
        })
        .collect();
    json!({
        "rcode": show_code(message.metadata.response_code),
        "authoritative": message.metadata.authoritative,
        "authenticated": message.metadata.authentic_data,
        "recursion_available": message.metadata.recursion_available,
        "answers": answers,
    })
}
