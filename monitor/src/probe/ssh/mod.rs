//! Kind `ssh`: the server's identification and what it offers, and where `host_key` is written, the proof that it has
//! that key. Nobody signs in.
//!
//! The JSON that `json` and `expr` see: `protocol`, `software` (also as `version`), `comments`, `exchanges`, `host_keys`
//! and `ciphers`, and after a key exchange `host_key` and `host_key_type`.

mod exchange;
mod packet;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use kit::config::Cursor;
use serde_json::{Map, Value as Json};

use self::exchange::{ECDH_REPLY, Half, HostKey, Offer, Said, offer};
use self::packet::{packet, parse, parse_identification, push_text, take_text};
use super::endpoint::{Dialog, Endpoint};
use super::expect::excerpt;
use super::kinds::{Expectation, Kind, Probe};
use super::observation::{Facts, Outcome, ReasonCode};
use super::reader::Reader;
use super::run::Run;
use super::scheme::{Scheme, Takes};
use super::wire::Wire;

/// Who we say we are.
const IDENTIFICATION: &str = "SSH-2.0-monitor";
/// The message that ends a session, and its reason "by application" (RFC 4253 section 11.1).
const DISCONNECT: u8 = 1;
const BY_APPLICATION: [u8; 4] = [0, 0, 0, 11];
/// Messages that may come at any time and mean nothing here: ignore, unimplemented, debug (RFC 4253 section 11).
const IDLE: [u8; 3] = [2, 3, 4];

/// A server of Secure Shell.
pub(crate) struct Ssh;

impl Kind for Ssh {
    fn name(&self) -> &'static str {
        "ssh"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("ssh", Takes::Address(Some(22)))] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[Expectation::Json, Expectation::Body]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let endpoint = Endpoint::decode_bare(&fields);
        let keys = fields.get("host_key").map(|c| c.items()).unwrap_or_default();
        let decoded: Vec<Option<[u8; 32]>> = keys.iter().map(decode_fingerprint).collect();
        fields.end();
        let host_keys: Option<Vec<[u8; 32]>> = decoded.into_iter().collect();
        Some(Arc::new(SshProbe { endpoint: endpoint?, host_keys: host_keys? }))
    }
}

fn decode_fingerprint(cursor: &Cursor<'_>) -> Option<[u8; 32]> {
    let text = cursor.text()?;
    let digest = text.strip_prefix("SHA256:").and_then(|digest| STANDARD_NO_PAD.decode(digest).ok());
    let digest = digest.and_then(|digest| <[u8; 32]>::try_from(digest).ok());
    if digest.is_none() {
        let shown = cursor.node().shown();
        cursor.mistake(format!("{shown} is not a fingerprint; write it as ssh-keygen -l shows it: SHA256:…"));
    }
    digest
}

fn show(digest: &[u8; 32]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(digest))
}

#[derive(Debug)]
struct SshProbe {
    endpoint: Endpoint,
    /// Any of these is right; without one no key exchange is done.
    host_keys: Vec<[u8; 32]>,
}

impl Dialog for SshProbe {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn hold(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let mut wire = self.endpoint.connect(run).await?;
        let identification = wire.receive(run, "the identification", parse_identification).await?;
        let mut facts = identified(&identification)?;
        run.seen.protocol = Some(excerpt(identification.as_bytes()));
        wire.send(format!("{IDENTIFICATION}\r\n").as_bytes(), "the identification").await?;
        let their_offer = next(run, &mut wire, "the offer").await?;
        let offer = Offer::read(&their_offer).ok_or_else(|| malformed("the offer"))?;
        if !self.host_keys.is_empty() {
            let key = prove(run, &mut wire, &identification, &their_offer, &offer).await?;
            self.judge(&key)?;
            facts.insert("host_key".to_owned(), show(&key.digest).into());
            facts.insert("host_key_type".to_owned(), key.kind.into());
        }
        facts.insert("exchanges".to_owned(), offer.exchanges.into());
        facts.insert("host_keys".to_owned(), offer.host_keys.into());
        facts.insert("ciphers".to_owned(), offer.ciphers.into());
        wire.part(&packet(&goodbye())).await;
        Ok(Facts { body: Some(Json::Object(facts).to_string().into()), ..Facts::default() })
    }
}

impl SshProbe {
    fn judge(&self, key: &HostKey) -> Result<(), Outcome> {
        if self.host_keys.contains(&key.digest) {
            return Ok(());
        }
        let expected: Vec<String> = self.host_keys.iter().map(show).collect();
        let text = format!("the host key is {} ({}), expected {}", show(&key.digest), key.kind, expected.join(" or "));
        Err(Outcome::fail(ReasonCode::Certificate, text))
    }
}

/// Takes `SSH-protocol-software comments` apart.
fn identified(identification: &str) -> Result<Map<String, Json>, Outcome> {
    let (name, comments) = identification.split_once(' ').unwrap_or((identification, ""));
    let mut parts = name.splitn(3, '-').skip(1);
    let (Some(protocol), Some(software)) = (parts.next(), parts.next()) else {
        return Err(malformed("the identification"));
    };
    // 1.99 is both (RFC 4253 section 5.1).
    if !matches!(protocol, "2.0" | "1.99") {
        let text = format!("it speaks SSH {}, not 2.0", excerpt(protocol.as_bytes()));
        return Err(Outcome::fail(ReasonCode::Rejected, text));
    }
    let facts = [("protocol", protocol), ("software", software), ("version", software), ("comments", comments)];
    Ok(facts.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
}

/// Does the key exchange and returns the host key that the server has proven to have.
async fn prove(
    run: &mut Run,
    wire: &mut Wire,
    identification: &str,
    their_offer: &[u8],
    offered: &Offer,
) -> Result<HostKey, Outcome> {
    if !offered.suits() {
        let (exchanges, keys) = (offered.exchanges.join(","), offered.host_keys.join(","));
        let shown = excerpt(format!("{exchanges}; {keys}").as_bytes());
        let text =
            format!("no key exchange in common (curve25519-sha256 with Ed25519, ECDSA or RSA); it offers {shown}");
        return Err(Outcome::fail(ReasonCode::Rejected, text));
    }
    let our_offer = offer(rand::random());
    let half = Half::new().ok_or_else(|| Outcome::local("no random numbers could be had"))?;
    wire.send(&[packet(&our_offer), packet(&half.message())].concat(), "the key exchange").await?;
    let reply = next(run, wire, "the host key").await?;
    if reply.first() != Some(&ECDH_REPLY) {
        return Err(malformed("the host key"));
    }
    let said = Said {
        our_identification: IDENTIFICATION,
        their_identification: identification,
        our_offer: &our_offer,
        their_offer,
    };
    half.check(&said, &reply).map_err(|wrong| Outcome::fail(ReasonCode::Certificate, wrong))
}

/// Waits for a message that means something.
async fn next(run: &mut Run, wire: &mut Wire, what: &str) -> Result<Vec<u8>, Outcome> {
    loop {
        let payload = wire.receive(run, what, parse).await?;
        match payload.first() {
            Some(kind) if IDLE.contains(kind) => {}
            Some(&DISCONNECT) => return Err(disconnected(&payload)),
            _ => return Ok(payload),
        }
    }
}

fn disconnected(payload: &[u8]) -> Outcome {
    let mut reader = Reader(payload.get(5..).unwrap_or_default());
    let said = excerpt(take_text(&mut reader).unwrap_or_default());
    Outcome::fail(ReasonCode::Rejected, format!("it ends the session: {said}"))
}

fn goodbye() -> Vec<u8> {
    let mut payload = vec![DISCONNECT];
    payload.extend_from_slice(&BY_APPLICATION);
    push_text(&mut payload, b"probe");
    push_text(&mut payload, b"");
    payload
}

fn malformed(what: &str) -> Outcome {
    Outcome::fail(ReasonCode::Protocol, format!("{what} is not of SSH"))
}
