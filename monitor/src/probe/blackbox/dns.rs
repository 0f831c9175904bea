//! Prober `dns`: one question to the target, and what its records must be like.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, RData, Record, RecordType};
use kit::config::{Cursor, Fields};
use regex::bytes::Regex;
use tokio::net::UdpSocket;

use super::file::{flag, preference, source};
use super::targets::Place;
use super::tls::{Secrecy, Told};
use super::visit::{Preference, Stop, Visit};
use super::{Prober, gauges, re2};
use crate::probe::address::{Address, Host};
use crate::probe::datagram::{LONGEST_DATAGRAM, receive};
use crate::probe::dial_error::explain;
use crate::probe::dns::{CODES, Heard, Question, Sent, decode_name, decode_type, show_code};
use crate::probe::handshake::shake_hands;
use crate::probe::observation::{Phase, ReasonCode};
use crate::probe::stream::Stream;
use crate::probe::wire::Wire;

/// What each step is called.
const PHASES: [(Phase, &str); 3] =
    [(Phase::Dns, "resolve"), (Phase::Connect, "connect"), (Phase::FirstByte, "request")];

/// A configured module.
#[derive(Debug)]
struct DnsProber {
    question: Question,
    preference: Preference,
    source: Option<IpAddr>,
    is_tcp: bool,
    /// Set for DNS over TLS.
    secrecy: Option<Secrecy>,
    codes: Vec<ResponseCode>,
    answers: Validator,
    authorities: Validator,
    additionals: Validator,
}

/// What the records of one section must be like.
#[derive(Debug, Default)]
struct Validator {
    /// None of them may match one of these.
    matches: Vec<Regex>,
    /// All of them must match each of these: so it is in blackbox_exporter, whatever its name says.
    all_match: Vec<Regex>,
    /// All of them must match each of these.
    not_matches: Vec<Regex>,
    /// One of them must match one of these.
    none_matches: Vec<Regex>,
}

pub(super) fn decode(fields: &Fields<'_>) -> Option<Box<dyn Prober>> {
    let kind = fields.get("query_type").map_or(Some(RecordType::ANY), |c| decode_type(&c));
    let name = fields.require("query_name").and_then(|c| decode_name(&c, kind));
    let classes = [("IN", DNSClass::IN), ("CH", DNSClass::CH), ("HS", DNSClass::HS), ("ANY", DNSClass::ANY)];
    let class = fields.get("query_class").map_or(Some(DNSClass::IN), |c| c.one_of(&classes));
    let recursion = flag(fields, "recursion_desired", true);
    let is_tcp = fields.get("transport_protocol").map_or(Some(false), |c| c.one_of(&[("udp", false), ("tcp", true)]));
    let is_tls = flag(fields, "dns_over_tls", false);
    let secrecy = Secrecy::decode(fields.get("tls_config"), &[]);
    let codes = fields.get("valid_rcodes").map(|c| c.items()).unwrap_or_default();
    let known = [CODES.as_slice(), &[("BADVERS", ResponseCode::BADVERS)]].concat();
    let codes: Vec<Option<ResponseCode>> = codes.iter().map(|c| c.one_of(&known)).collect();
    let (preference, source) = (preference(fields), source(fields));
    let answers = Validator::decode(fields.get("validate_answer_rrs"));
    let authorities = Validator::decode(fields.get("validate_authority_rrs"));
    let additionals = Validator::decode(fields.get("validate_additional_rrs"));
    if is_tls == Some(true) && is_tcp == Some(false) {
        fields.cursor().mistake("dns_over_tls needs a connection; write transport_protocol: tcp");
        return None;
    }
    let is_tls = is_tls?;
    Some(Box::new(DnsProber {
        question: Question::plain(name?, kind?, class?, recursion?),
        preference: preference?,
        source: source?,
        is_tcp: is_tcp?,
        secrecy: Some(secrecy?).filter(|_| is_tls),
        codes: codes.into_iter().collect::<Option<_>>()?,
        answers: answers?,
        authorities: authorities?,
        additionals: additionals?,
    }))
}

impl Prober for DnsProber {
    fn ask<'a>(&'a self, visit: &'a mut Visit) -> BoxFuture<'a, Result<(), Stop>> {
        async move {
            for gauge in [gauges::DNS_ANSWERS, gauges::DNS_AUTHORITIES, gauges::DNS_ADDITIONALS, gauges::DNS_SUCCEEDED]
            {
                visit.gauges.set(gauge, 0.0);
            }
            let to = self.server(&visit.wish.target)?;
            let address = visit.choose_first(Place::of("dns", &to), self.preference).await?;
            let message = self.exchange(visit, SocketAddr::new(address, to.port), &to.host).await?;
            visit.run.leave();
            self.tell(visit, &message);
            self.judge(&message)
        }
        .boxed()
    }

    fn conclude(&self, visit: &mut Visit) {
        visit.tell_phases(gauges::DNS_DURATION, &PHASES);
    }
}

impl DnsProber {
    /// The port may be left out.
    fn server(&self, target: &str) -> Result<Address, Stop> {
        let port = if self.secrecy.is_some() { 853 } else { 53 };
        let host = || target.parse().ok().map(Host::Ip).or_else(|| Host::parse(target));
        let address = Address::parse(target).or_else(|| Some(Address { host: host()?, port }));
        address.ok_or_else(|| Stop::failed(ReasonCode::Protocol, "the target is no host:port"))
    }

    async fn exchange(&self, visit: &mut Visit, to: SocketAddr, host: &Host) -> Result<Message, Stop> {
        let sent = self.question.send()?;
        if !self.is_tcp {
            return self.over_udp(visit, to, &sent).await;
        }
        let stream = visit.connect(to, self.source).await?;
        let stream = match &self.secrecy {
            None => Stream::Plain(stream),
            Some(secrecy) => {
                let name = secrecy.name(None, host)?;
                let secured = shake_hands(&mut visit.run, stream, &secrecy.tls.config, &name).await;
                secrecy.tell(visit, Told::Brief);
                Stream::Tls(secured?.stream)
            }
        };
        let mut wire = Wire::new(&mut visit.run, stream);
        let length = u16::try_from(sent.bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
        wire.send(&[&length, sent.bytes.as_slice()].concat(), "the question").await?;
        let message = wire.receive(&mut visit.run, "the answer", |bytes| sent.parse(bytes)).await?;
        Ok(*message)
    }

    async fn over_udp(&self, visit: &mut Visit, to: SocketAddr, sent: &Sent<'_>) -> Result<Message, Stop> {
        visit.asks(Some(to));
        let failed = |error| Stop::from(explain(&[(to, error)]));
        let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let opening = async {
            let socket = UdpSocket::bind(SocketAddr::new(self.source.unwrap_or(any), 0)).await?;
            // "Connects" without sending anything (udp(7)), and then hears only from there.
            socket.connect(to).await?;
            Ok(socket)
        };
        let socket: UdpSocket = visit.run.phase(Phase::Connect, opening).await.map_err(failed)?;
        visit.run.enter(Phase::FirstByte);
        socket.send(&sent.bytes).await.map_err(failed)?;
        let mut buffer = vec![0; LONGEST_DATAGRAM];
        loop {
            let length = receive(&socket, &mut buffer).await.map_err(failed)?;
            match sent.read(buffer.get(..length).unwrap_or_default())? {
                Heard::Answer(message) => return Ok(*message),
                Heard::Other(why) => visit.say(format!("a datagram that is not the answer: {why}")),
            }
        }
    }

    fn tell(&self, visit: &mut Visit, message: &Message) {
        let count = |records: &[Record]| f64::from(u16::try_from(records.len()).unwrap_or(u16::MAX));
        visit.gauges.flag(gauges::DNS_SUCCEEDED, true);
        visit.gauges.set(gauges::DNS_ANSWERS, count(&message.answers));
        visit.gauges.set(gauges::DNS_AUTHORITIES, count(&message.authorities));
        visit.gauges.set(gauges::DNS_ADDITIONALS, count(&message.additionals));
        if self.question.kind == RecordType::SOA {
            let mut serials = message.answers.iter().filter_map(|record| match &record.data {
                RData::SOA(soa) => Some(soa.serial),
                _ => None,
            });
            visit.gauges.set(gauges::DNS_SERIAL, f64::from(serials.next_back().unwrap_or(0)));
        }
        for record in &message.answers {
            visit.say(format!("answer {}", show(record)));
        }
    }

    fn judge(&self, message: &Message) -> Result<(), Stop> {
        let code = message.metadata.response_code;
        let is_valid = if self.codes.is_empty() { code == ResponseCode::NoError } else { self.codes.contains(&code) };
        if !is_valid {
            let valid = self.codes.iter().map(|code| show_code(*code)).collect::<Vec<String>>().join(" or ");
            let valid = if valid.is_empty() { "NOERROR".to_owned() } else { valid };
            let text = format!("the server answered {}, expected {valid}", show_code(code));
            return Err(Stop::failed(ReasonCode::Dns, text));
        }
        self.answers.judge("answer", &message.answers)?;
        self.authorities.judge("authority", &message.authorities)?;
        self.additionals.judge("additional", &message.additionals)
    }
}

impl Validator {
    fn decode(cursor: Option<Cursor<'_>>) -> Option<Self> {
        let Some(cursor) = cursor else { return Some(Self::default()) };
        let fields = cursor.fields()?;
        let matches = re2::decode_list(fields.get("fail_if_matches_regexp"));
        let all_match = re2::decode_list(fields.get("fail_if_all_match_regexp"));
        let not_matches = re2::decode_list(fields.get("fail_if_not_matches_regexp"));
        let none_matches = re2::decode_list(fields.get("fail_if_none_matches_regexp"));
        fields.end();
        Some(Self { matches: matches?, all_match: all_match?, not_matches: not_matches?, none_matches: none_matches? })
    }

    fn judge(&self, section: &str, records: &[Record]) -> Result<(), Stop> {
        let fail = |text: String| Err(Stop::failed(ReasonCode::Body, text));
        let shown: Vec<String> = records.iter().map(show).collect();
        let is_match = |regex: &Regex, record: &String| regex.is_match(record.as_bytes());
        if shown.is_empty() && !(self.not_matches.is_empty() && self.none_matches.is_empty()) {
            return fail(format!("there is no {section} record"));
        }
        for record in &shown {
            if let Some(regex) = self.matches.iter().find(|regex| is_match(regex, record)) {
                return fail(format!("the {section} record {record:?} matches {:?}", regex.as_str()));
            }
            if let Some(regex) = self.not_matches.iter().find(|regex| !is_match(regex, record)) {
                return fail(format!("the {section} record {record:?} does not match {:?}", regex.as_str()));
            }
        }
        let all = |regex: &Regex| shown.iter().all(|record| is_match(regex, record));
        if !self.all_match.iter().all(all) {
            return fail(format!("not every {section} record matches fail_if_all_match_regexp"));
        }
        let one = |regex: &Regex| shown.iter().any(|record| is_match(regex, record));
        if !self.none_matches.is_empty() && !self.none_matches.iter().any(one) {
            return fail(format!("no {section} record matches fail_if_none_matches_regexp"));
        }
        Ok(())
    }
}

/// A record as zones write it, with tabs, as blackbox_exporter's library does: expressions are written for that.
fn show(record: &Record) -> String {
    let data = match &record.data {
        RData::TXT(txt) => {
            let texts = txt.txt_data.iter().map(|text| format!("{:?}", String::from_utf8_lossy(text)));
            texts.collect::<Vec<String>>().join(" ")
        }
        data => data.to_string(),
    };
    format!("{}\t{}\t{}\t{}\t{data}", record.name, record.ttl, record.dns_class, record.record_type())
}
