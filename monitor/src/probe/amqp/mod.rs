//! Kind `amqp` (0-9-1, RabbitMQ): signs in to a virtual host, and where it is written, looks at a queue and publishes a
//! message that goes nowhere.
//!
//! The JSON that `json` and `expr` see: what the broker says of itself (`product`, `version`, `cluster_name` …), and of a
//! queue `messages` and `consumers`.

mod frame;
mod refusal;

use std::sync::Arc;

use data_encoding::HEXLOWER;
use kit::config::Cursor;
use serde_json::{Map, Value as Json};

use self::frame::{
    ACK, BLOCKED, CHANNEL_CLOSE, CHANNEL_OPEN, CHANNEL_OPEN_OK, CLOSE, CONFIRM, CONFIRM_OK, DECLARE, DECLARE_OK,
    HEADER, MAX_FRAME_BYTES, NACK, Name, OPEN, OPEN_OK, PUBLISH, START, START_OK, TUNE, TUNE_OK, long, method, nothing,
    parse, short, take_long, take_short, texts,
};
use self::refusal::{Step, refusal};
use super::endpoint::{Dialog, Endpoint};
use super::expect::excerpt;
use super::kinds::{Expectation, Kind, Probe, Scope};
use super::login::Login;
use super::observation::{Facts, Outcome, ReasonCode};
use super::reader::Reader;
use super::run::Run;
use super::scheme::{Scheme, Takes};
use super::wire::Wire;

/// Name and password that RabbitMQ makes for itself and takes from its own host alone (manual, "Access Control").
const GUEST: &str = "guest";
/// Longest name that fits, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// A broker of AMQP 0-9-1.
pub(crate) struct Amqp;

impl Kind for Amqp {
    fn name(&self) -> &'static str {
        "amqp"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("amqp", Takes::Address(Some(5672))), Scheme::secure("amqps", Takes::Address(Some(5671)))] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        Expectation::OF_SERVERS
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let endpoint = Endpoint::decode(&fields);
        let login = Login::decode_both_or_none(&fields);
        let vhost = fields.get("vhost").map_or_else(|| Some("/".to_owned()), |c| decode_name(&c));
        let queue = fields.get("queue").map_or(Some(None), |c| decode_name(&c).map(Some));
        let publish = fields.get("publish").map_or(Some(false), |c| c.bool());
        let nameless = endpoint.as_ref().is_some_and(|endpoint| endpoint.target().scope != Scope::Local)
            && !fields.has("username")
            && login.is_some();
        for key in ["vhost", "queue", "publish"] {
            if nameless && fields.has(key) {
                fields.cursor().mistake(format!("{key:?} needs a name to sign in with; write username: …"));
            }
        }
        if let (Some(endpoint), Some(login)) = (&endpoint, &login) {
            endpoint.refuse_bare_password(&fields, login, "tls: {}");
        }
        fields.end();
        let (endpoint, login) = (endpoint?, login?);
        let (vhost, queue, publish) = (vhost?, queue?, publish?);
        Some(Arc::new(AmqpProbe { endpoint, login, nameless, vhost, queue, publish }))
    }
}

fn decode_name(cursor: &Cursor<'_>) -> Option<String> {
    let name = cursor.text()?;
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        cursor.mistake(format!("{} is no name of 1 to {MAX_NAME_BYTES} bytes", cursor.node().shown()));
        return None;
    }
    Some(name)
}

#[derive(Debug)]
struct AmqpProbe {
    endpoint: Endpoint,
    login: Login,
    /// True if nobody signs in: the broker's first words are enough.
    nameless: bool,
    vhost: String,
    queue: Option<String>,
    publish: bool,
}

impl Dialog for AmqpProbe {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn hold(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let mut wire = self.endpoint.connect(run).await?;
        wire.send(&HEADER, "the beginning").await?;
        let start = until(run, &mut wire, "its greeting", START, Step::Ask).await?;
        let (mut facts, ways) = read_start(&start).ok_or_else(|| malformed("its greeting"))?;
        run.seen.protocol = spoken(&facts);
        if !self.nameless {
            self.sign_in(run, &mut wire, &ways).await?;
            self.look(run, &mut wire, &mut facts).await?;
            let goodbye = [&200_u16.to_be_bytes()[..], &short(""), &[0; 4]].concat();
            wire.part(&method(0, CLOSE, &goodbye)).await;
        }
        Ok(Facts { body: Some(Json::Object(facts).to_string().into()), ..Facts::default() })
    }
}

impl AmqpProbe {
    async fn sign_in(&self, run: &mut Run, wire: &mut Wire, ways: &str) -> Result<(), Outcome> {
        if !wire.is_private(run) {
            let text = "a password is not sent in plain text to another host; write tls: {}";
            return Err(Outcome::fail(ReasonCode::Auth, text));
        }
        if !ways.split(' ').any(|way| way == "PLAIN") {
            let ways = excerpt(ways.as_bytes());
            let text = format!("it offers no way to sign in that is known here (PLAIN), but: {ways}");
            return Err(Outcome::fail(ReasonCode::Auth, text));
        }
        let (user, password, step) = match (self.login.username.as_deref(), self.login.password()) {
            (Some(user), Some(password)) => (user, password, Step::SignIn),
            _ => (GUEST, GUEST, Step::SignInAsGuest),
        };
        let proof = format!("\0{user}\0{password}");
        let who = [long(&ourselves()), short("PLAIN"), long(proof.as_bytes()), short("en_US")].concat();
        wire.send(&method(0, START_OK, &who), "who we are").await?;
        let tune = until(run, wire, "the answer to who we are", TUNE, step).await?;
        let agreed = agree(&tune).ok_or_else(|| malformed("the answer to who we are"))?;
        let open = [short(&self.vhost), short(""), vec![0]].concat();
        let both = [method(0, TUNE_OK, &agreed), method(0, OPEN, &open)].concat();
        wire.send(&both, "the wish for a vhost").await?;
        until(run, wire, "the answer to the wish for a vhost", OPEN_OK, Step::Open).await.map(drop)
    }

    async fn look(&self, run: &mut Run, wire: &mut Wire, facts: &mut Map<String, Json>) -> Result<(), Outcome> {
        if self.queue.is_none() && !self.publish {
            return Ok(());
        }
        wire.send(&method(1, CHANNEL_OPEN, &short("")), "the wish for a channel").await?;
        until(run, wire, "a channel", CHANNEL_OPEN_OK, Step::Ask).await?;
        if let Some(queue) = &self.queue {
            // Passive: it is looked at, never made.
            let ask = [vec![0, 0], short(queue), vec![1], long(b"")].concat();
            wire.send(&method(1, DECLARE, &ask), "the question for the queue").await?;
            let answer = until(run, wire, "the state of the queue", DECLARE_OK, Step::Ask).await?;
            let mut rest = Reader(&answer);
            let counts = take_short(&mut rest).and_then(|_| rest.u32().zip(rest.u32()));
            let (messages, consumers) = counts.ok_or_else(|| malformed("the state of the queue"))?;
            run.seen.remark(format!("{messages} messages, {consumers} consumers"));
            facts.insert("messages".to_owned(), messages.into());
            facts.insert("consumers".to_owned(), consumers.into());
        }
        if self.publish { publish(run, wire).await } else { Ok(()) }
    }
}

/// Publishes to a queue that does not exist, and waits until the broker has taken it. One that is short of memory or disk
/// says so to whoever publishes, and to nobody else.
async fn publish(run: &mut Run, wire: &mut Wire) -> Result<(), Outcome> {
    wire.send(&method(1, CONFIRM, &[0]), "the wish for confirmations").await?;
    until(run, wire, "the promise of confirmations", CONFIRM_OK, Step::Ask).await?;
    let nowhere = format!("monitor-{}", HEXLOWER.encode(&rand::random::<[u8; 6]>()));
    let head = [vec![0, 0], short(""), short(&nowhere), vec![0]].concat();
    wire.send(&[method(1, PUBLISH, &head), nothing(1)].concat(), "a message").await?;
    until(run, wire, "the confirmation of a message", ACK, Step::Ask).await.map(drop)
}

/// Waits for a method and returns its arguments; heartbeats and what else comes are passed over.
async fn until(run: &mut Run, wire: &mut Wire, what: &str, wanted: Name, step: Step) -> Result<Vec<u8>, Outcome> {
    loop {
        let frame = wire.receive(run, what, parse).await?;
        match frame.method {
            Some(name) if name == wanted => return Ok(frame.arguments),
            Some(CLOSE | CHANNEL_CLOSE) => return Err(refusal(&frame.arguments, step)),
            Some(NACK) => return Err(Outcome::fail(ReasonCode::Rejected, "it could not take a message (nack)")),
            Some(BLOCKED) => {
                let why = excerpt(take_short(&mut Reader(&frame.arguments)).unwrap_or_default());
                return Err(Outcome::fail(ReasonCode::Rejected, format!("it takes no messages now: {why}")));
            }
            _ => {}
        }
    }
}

/// Reads what a broker says of itself, and its ways to sign in.
fn read_start(arguments: &[u8]) -> Option<(Map<String, Json>, String)> {
    let mut rest = Reader(arguments);
    // The protocol's version.
    rest.take(2)?;
    let facts = texts(take_long(&mut rest)?);
    Some((facts, String::from_utf8_lossy(take_long(&mut rest)?).into_owned()))
}

/// `RabbitMQ 3.12.1`
fn spoken(facts: &Map<String, Json>) -> Option<String> {
    let text = |key| facts.get(key).and_then(Json::as_str).map(|text| excerpt(text.as_bytes()));
    Some(format!("{} {}", text("product")?, text("version")?))
}

/// Who we are, and that refusals are to be said: without that a broker closes, or says nothing.
fn ourselves() -> Vec<u8> {
    let yes = |name: &str| [short(name), vec![b't', 1]].concat();
    let able = [yes("authentication_failure_close"), yes("connection.blocked"), yes("publisher_confirms")].concat();
    [short("product"), vec![b'S'], long(b"monitor"), short("capabilities"), vec![b'F'], long(&able)].concat()
}

/// Takes the broker's limits, smaller frames if it has none, and no heartbeats: no probe is that long.
fn agree(tune: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Reader(tune);
    let (channels, frame) = (rest.u16()?, rest.u32()?);
    let frame = if frame == 0 { MAX_FRAME_BYTES } else { frame.min(MAX_FRAME_BYTES) };
    Some([&channels.to_be_bytes()[..], &frame.to_be_bytes(), &[0, 0]].concat())
}

fn malformed(what: &str) -> Outcome {
    Outcome::fail(ReasonCode::Protocol, format!("{what} is not of AMQP"))
}
