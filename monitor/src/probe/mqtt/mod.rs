//! Kind `mqtt` (3.1.1): signs in and pings, and where `topic` is written, publishes there and waits for it to come back.

mod packet;

use std::sync::Arc;

use data_encoding::HEXLOWER;
use kit::config::Cursor;

use self::packet::{
    DISCONNECT, MAX_TEXT_BYTES, PING, PINGRESP, Packet, SUBACK, connect, parse, parse_answer, publish, subscribe,
};
use super::endpoint::{Dialog, Endpoint};
use super::kinds::{Expectation, Kind, Probe};
use super::login::Login;
use super::observation::{Facts, Outcome, ReasonCode};
use super::run::Run;
use super::scheme::{Scheme, Takes};
use super::wire::Wire;

/// The answer with which a broker refuses a subscription (section 3.9.3).
const REFUSED: u8 = 0x80;

/// A broker of MQTT.
pub(crate) struct Mqtt;

impl Kind for Mqtt {
    fn name(&self) -> &'static str {
        "mqtt"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("mqtt", Takes::Address(Some(1883))), Scheme::secure("mqtts", Takes::Address(Some(8883)))] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[Expectation::Certificate]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let endpoint = Endpoint::decode(&fields);
        // A name without a password is right here, a password without a name is not (section 3.1.2.9).
        let login = Login::decode(&fields).filter(|login| login.is_named(&fields));
        let topic = fields.get("topic").map_or(Some(None), |c| decode_topic(&c).map(Some));
        fields.end();
        Some(Arc::new(MqttProbe { endpoint: endpoint?, login: login?, topic: topic? }))
    }
}

/// One topic, not many: what is published goes there.
fn decode_topic(cursor: &Cursor<'_>) -> Option<String> {
    let topic = cursor.text()?;
    if topic.is_empty() || topic.contains(['+', '#', '\0']) || topic.len() > MAX_TEXT_BYTES {
        let shown = cursor.node().shown();
        cursor.mistake(format!(
            "{shown} is no single topic; write one that nobody minds messages on, like monitor/probe"
        ));
        return None;
    }
    Some(topic)
}

#[derive(Debug)]
struct MqttProbe {
    endpoint: Endpoint,
    login: Login,
    topic: Option<String>,
}

impl Dialog for MqttProbe {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn hold(&self, run: &mut Run) -> Result<Facts, Outcome> {
        // Two sessions of one name would end each other (section 3.1.4), so none has the name of another.
        let own = format!("monitor-{}", HEXLOWER.encode(&rand::random::<[u8; 6]>()));
        let mut wire = self.endpoint.connect(run).await?;
        self.sign_in(run, &mut wire, &own).await?;
        match &self.topic {
            Some(topic) => send_round(run, &mut wire, topic, own.as_bytes()).await?,
            None => {
                wire.send(&PING, "a ping").await?;
                until(run, &mut wire, "the answer to a ping", |packet| packet.head == PINGRESP).await?;
            }
        }
        wire.part(&DISCONNECT).await;
        Ok(Facts::default())
    }
}

impl MqttProbe {
    async fn sign_in(&self, run: &mut Run, wire: &mut Wire, own: &str) -> Result<(), Outcome> {
        let hello = connect(own, self.login.username.as_deref(), self.login.password());
        wire.send(&hello, "who we are").await?;
        let answer = wire.receive(run, "the answer to CONNECT", parse_answer).await?;
        let (code, text) = match (answer.body.get(1), self.login.username.is_some()) {
            (Some(0), _) => return Ok(()),
            (Some(1), _) => (ReasonCode::Rejected, "it does not speak MQTT 3.1.1"),
            (Some(2), _) => (ReasonCode::Rejected, "it does not take our client's name"),
            (Some(3), _) => (ReasonCode::Rejected, "it is not available"),
            (Some(4 | 5), false) => {
                (ReasonCode::Auth, "it lets nobody in without a name; write username and password_file")
            }
            (Some(4), true) => (ReasonCode::Auth, "it refuses name or password"),
            (Some(5), true) => {
                (ReasonCode::Auth, "it does not let us in: name or password is wrong, or the name may not")
            }
            _ => (ReasonCode::Protocol, "the answer to CONNECT is not of MQTT"),
        };
        Err(Outcome::fail(code, text))
    }
}

/// Publishes on a topic and waits for the same to come back.
async fn send_round(run: &mut Run, wire: &mut Wire, topic: &str, payload: &[u8]) -> Result<(), Outcome> {
    wire.send(&subscribe(topic), "a subscription").await?;
    let answer = until(run, wire, "the answer to a subscription", |packet| packet.head == SUBACK).await?;
    if answer.body.get(2).is_none_or(|code| *code == REFUSED) {
        let text = format!("it does not let us subscribe to {topic:?}");
        return Err(Outcome::fail(ReasonCode::Auth, text));
    }
    wire.send(&publish(topic, payload), "a message").await?;
    let limit = run.last_word();
    // Others may publish there too.
    let ours = |packet: &Packet| packet.message() == Some((topic.as_bytes(), payload));
    match tokio::time::timeout_at(limit, until(run, wire, "our own message", ours)).await {
        Ok(came) => came.map(drop),
        // A broker says nothing to whoever may not publish.
        Err(_elapsed) => {
            let text = format!("what we publish on {topic:?} does not come back: perhaps we may not publish there");
            Err(Outcome::fail(ReasonCode::Body, text))
        }
    }
}

/// Waits for a packet; others are skipped.
async fn until(run: &mut Run, wire: &mut Wire, what: &str, is_it: impl Fn(&Packet) -> bool) -> Result<Packet, Outcome> {
    loop {
        let packet = wire.receive(run, what, parse).await?;
        if is_it(&packet) {
            return Ok(packet);
        }
    }
}
