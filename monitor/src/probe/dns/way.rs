//! How a question gets to its server: one datagram, or a connection with or without TLS; to a server that is named, or
//! to the system's. Silence of a named server is its fault, silence of the system's is our own blindness.

use std::net::SocketAddr;

use hickory_resolver::proto::op::{Message, ResponseCode};
use kit::config::Fields;
use tokio::time::Instant;

use super::question::{Heard, Question, Sent, show_code, show_name};
use super::wanted::Wanted;
use crate::probe::address::{Address, Host};
use crate::probe::datagram::{MAX_DATAGRAMS, Replies, open};
use crate::probe::dial::{IpVersion, dial};
use crate::probe::endpoint::Endpoint;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::run::Run;
use crate::probe::stream::Stream;
use crate::probe::wire::Wire;

/// Where to ask, and over what.
#[derive(Debug)]
pub(super) struct Way {
    /// None: the system's servers, one after the other.
    pub(super) server: Option<Endpoint>,
    pub(super) transport: Transport,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Way {
    /// Decodes `server`, `transport`, `ip` and `tls`.
    pub(super) fn decode(fields: &Fields<'_>) -> Option<Self> {
        let transport = fields.get("transport").map_or(Some(Transport::Udp), |c| {
            c.one_of(&[("udp", Transport::Udp), ("tcp", Transport::Tcp), ("tls", Transport::Tls)])
        });
        let server = fields.get("server");
        let tls = fields.get("tls");
        let ip = fields.get("ip").map_or(Some(IpVersion::Any), |c| IpVersion::decode(&c));
        let wrong = match (transport, &server) {
            (Some(Transport::Tls), None) => Some("\"transport: tls\" needs a server; write server: host:853"),
            (Some(Transport::Udp | Transport::Tcp), _) if tls.is_some() => {
                Some("\"tls\" is of no use here; write transport: tls, or leave it out")
            }
            (Some(Transport::Udp), _) if ip == Some(IpVersion::Both) => {
                Some("\"ip: both\" needs a connection; write transport: tcp, or a check for each of ipv4 and ipv6")
            }
            (_, None) if fields.has("ip") => Some("\"ip\" needs a server; write server: host:53"),
            _ => None,
        };
        if let Some(wrong) = wrong {
            fields.cursor().mistake(wrong);
            return None;
        }
        let transport = transport?;
        let Some(server) = server else { return Some(Self { server: None, transport }) };
        let server = Endpoint::decode_at(fields, Some(server), transport == Transport::Tls, &[])?;
        Some(Self { server: Some(server), transport })
    }

    /// Asks, and returns the whole answer.
    pub(super) async fn ask(&self, run: &mut Run, question: &Question, wanted: &Wanted) -> Result<Message, Outcome> {
        let sent = question.send()?;
        let Some(server) = &self.server else { return self.ask_system(run, question, &sent, wanted).await };
        if self.transport == Transport::Udp {
            let addresses = server.addresses(run).await?;
            return over_udp(run, &sent, &addresses).await;
        }
        let wire = server.connect(run).await?;
        run.seen.protocol = Some(if server.tls.is_some() { "DNS over TLS" } else { "DNS over TCP" }.to_owned());
        over_wire(run, &sent, wire).await
    }

    async fn ask_system(
        &self,
        run: &mut Run,
        question: &Question,
        sent: &Sent<'_>,
        wanted: &Wanted,
    ) -> Result<Message, Outcome> {
        let servers = run.vantage.name_servers.clone();
        let name = show_name(&question.name);
        let limit = run.last_word();
        let mut last = "/etc/resolv.conf names none".to_owned();
        for (place, server) in servers.iter().enumerate() {
            // What is left of the time is shared by those that are left.
            let share =
                limit.saturating_duration_since(Instant::now()) / u32::try_from(servers.len() - place).unwrap_or(1);
            let asking = async {
                match self.transport {
                    Transport::Udp => over_udp(run, sent, &[*server]).await,
                    Transport::Tcp | Transport::Tls => over_tcp(run, sent, *server).await,
                }
            };
            match tokio::time::timeout(share, asking).await {
                Ok(Ok(message)) => return ours_or_theirs(message, &name, wanted),
                Ok(Err(Outcome::Fail(reason) | Outcome::Unknown(reason))) => last = reason.text,
                Ok(Err(Outcome::Pass)) | Err(_) => last = format!("{server} is silent"),
            }
        }
        Err(Outcome::local(format!("no DNS resolver answered for {name}: {last}")))
    }
}

/// SERVFAIL and NXDOMAIN say something of the name; any other code is the system's refusal to serve us.
fn ours_or_theirs(message: Message, name: &str, wanted: &Wanted) -> Result<Message, Outcome> {
    let code = message.metadata.response_code;
    if code == wanted.code || matches!(code, ResponseCode::NoError | ResponseCode::NXDomain | ResponseCode::ServFail) {
        return Ok(message);
    }
    Err(Outcome::local(format!("the resolver does not look up {name} for us: {}", show_code(code))))
}

/// Sends one datagram to the first address to which there is a way. One that got lost is not sent again: a confirmed
/// fail needs more than one anyhow.
async fn over_udp(run: &mut Run, sent: &Sent<'_>, addresses: &[SocketAddr]) -> Result<Message, Outcome> {
    let (socket, address) = open(addresses).await?;
    run.seen.address = Some(address);
    run.seen.protocol = Some("DNS over UDP".to_owned());
    let mut replies = Replies::to(run, &socket, address, &sent.bytes).await?;
    let mut others: Vec<String> = Vec::new();
    while others.len() < MAX_DATAGRAMS {
        let Some(reply) = replies.next().await? else { break };
        match sent.read(reply)? {
            Heard::Answer(message) if message.metadata.truncation => {
                run.seen.remark("cut over UDP, asked again over TCP");
                return over_tcp(run, sent, address).await.map_err(also_over_tcp);
            }
            Heard::Answer(message) => {
                if !others.is_empty() {
                    run.seen.remark(format!("{} datagrams were not the answer", others.len()));
                }
                return Ok(*message);
            }
            Heard::Other(why) => others.push(why),
        }
    }
    match others.last() {
        // Nothing at all came: the runner says so.
        None => std::future::pending().await,
        Some(why) => {
            let text = format!("{} datagrams came, and none is the answer: {why}", others.len());
            Err(Outcome::fail(ReasonCode::Protocol, text))
        }
    }
}

async fn over_tcp(run: &mut Run, sent: &Sent<'_>, server: SocketAddr) -> Result<Message, Outcome> {
    let address = Address { host: Host::Ip(server.ip()), port: server.port() };
    let stream = dial(run, &address, IpVersion::Any).await?;
    run.seen.protocol = Some("DNS over TCP".to_owned());
    let wire = Wire::new(run, Stream::Plain(stream));
    over_wire(run, sent, wire).await
}

async fn over_wire(run: &mut Run, sent: &Sent<'_>, mut wire: Wire) -> Result<Message, Outcome> {
    let length = u16::try_from(sent.bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
    // In one piece: some servers read no more than the first segment (RFC 7766 section 8).
    wire.send(&[&length, sent.bytes.as_slice()].concat(), "the question").await?;
    let message = wire.receive(run, "the answer", |bytes| sent.parse(bytes)).await?;
    Ok(*message)
}

fn also_over_tcp(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Fail(reason) => Outcome::fail(reason.code, format!("cut over UDP, and over TCP: {}", reason.text)),
        other => other,
    }
}
