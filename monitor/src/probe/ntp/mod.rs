//! Kind `ntp`: asks a time server once (SNTP, RFC 5905 section 14), and compares its clock with this machine's.
//!
//! The JSON that `json` and `expr` see: `offset_ms` (how far the server is ahead of us), `delay_ms`, `stratum`, `leap`,
//! `follows` and `root_distance_ms`.

mod packet;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::{Cursor, show_duration};
use serde_json::json;

use self::packet::{Answer, Measured, Time, ask, duration, read};
use super::address::{Address, Host};
use super::datagram::{exchange, open};
use super::dial::IpVersion;
use super::endpoint::Endpoint;
use super::kinds::{Expectation, Kind, Probe, Target};
use super::observation::{Facts, Outcome, Reason, ReasonCode};
use super::run::Run;
use super::scheme::{Scheme, Takes};

/// Where time servers listen.
const PORT: u16 = 123;
/// Clocks that are further apart degrade where no `max_offset` is written: Kerberos and TOTP bear minutes, logs and leases less.
const USUAL_OFFSET: Duration = Duration::from_secs(1);
/// The stratum of a server without a time, and the leap indicator of one (RFC 5905 figures 9 and 11).
const NO_STRATUM: u8 = 16;
const NOT_SET: u8 = 3;

/// A time server.
pub(crate) struct Ntp;

impl Kind for Ntp {
    fn name(&self) -> &'static str {
        "ntp"
    }

    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::plain("ntp", Takes::Address(Some(PORT)))] }
    }

    fn expectations(&self) -> &'static [Expectation] {
        &[Expectation::Json]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let address = fields.require("address").and_then(|c| decode_address(&c));
        let ip = IpVersion::decode_datagram(&fields);
        let max_offset = fields
            .get("max_offset")
            .map_or(Some(None), |c| c.duration(Duration::from_millis(1)..=Duration::from_secs(86_400)).map(Some));
        let max_stratum = fields.get("max_stratum").map_or(Some(NO_STRATUM - 1), |c| c.whole(1..=NO_STRATUM - 1));
        fields.end();
        let endpoint = Endpoint::new(address?, ip?, None);
        Some(Arc::new(NtpProbe { endpoint, max_offset: max_offset?, max_stratum: max_stratum? }))
    }
}

/// A host, with or without a port.
fn decode_address(cursor: &Cursor<'_>) -> Option<Address> {
    let text = cursor.text()?;
    let bare = || Some(Address { host: Host::parse(&text).or_else(|| Host::parse(&format!("[{text}]")))?, port: PORT });
    let address = Address::parse(&text).or_else(bare);
    if address.is_none() {
        let shown = cursor.node().shown();
        cursor.mistake(format!("{shown} is not an address; write a host, or host:port, like ntp.example.com:123"));
    }
    address
}

#[derive(Debug)]
struct NtpProbe {
    endpoint: Endpoint,
    max_offset: Option<Duration>,
    max_stratum: u8,
}

impl Probe for NtpProbe {
    fn target(&self) -> Target {
        self.endpoint.target()
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        self.hold(run).boxed()
    }
}

impl NtpProbe {
    async fn hold(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let addresses = self.endpoint.addresses(run).await?;
        let (socket, address) = open(&addresses).await?;
        run.seen.address = Some(address);
        run.seen.protocol = Some("NTPv4".to_owned());
        let cookie: u64 = rand::random();
        let asked = Time::of(SystemTime::now());
        let hear = |bytes: &[u8]| {
            let heard = Time::of(SystemTime::now());
            read(bytes, cookie).map(|answer| (answer, heard))
        };
        let Some((answer, heard)) = exchange(run, &socket, address, &ask(cookie), hear).await? else {
            // Nothing at all came: the runner says so.
            return std::future::pending().await;
        };
        if answer.is_without_time() {
            return Err(Outcome::fail(ReasonCode::Protocol, "its answer holds no time"));
        }
        let measured = answer.measure(asked, heard);
        self.judge(run, &answer, measured)?;
        Ok(facts(&answer, measured))
    }

    fn judge(&self, run: &mut Run, answer: &Answer, measured: Measured) -> Result<(), Outcome> {
        let ahead = if measured.offset < 0.0 { "behind" } else { "ahead of" };
        let offset = duration(measured.offset);
        let apart = format!("the server is {} {ahead} this machine", show_offset(offset));
        run.seen.remark(format!("{apart}, stratum {}", answer.stratum));
        if answer.stratum == 0 && !answer.follows().is_empty() {
            return Err(kiss_of_death(&answer.follows()));
        }
        if answer.leap == NOT_SET || answer.stratum == 0 || answer.stratum >= NO_STRATUM {
            return Err(Outcome::fail(ReasonCode::Rejected, "it has no time: its clock is not synchronized"));
        }
        if answer.stratum > self.max_stratum {
            let text = format!("it is {} steps from a reference clock, more than {}", answer.stratum, self.max_stratum);
            return Err(Outcome::fail(ReasonCode::Limit, text));
        }
        let limit = self.max_offset.unwrap_or(USUAL_OFFSET);
        let text = format!("{apart}: more than {} apart", show_duration(limit));
        match (offset > limit, self.max_offset) {
            (false, _) => {}
            (true, Some(_)) => return Err(Outcome::fail(ReasonCode::Limit, text)),
            // Whose clock is wrong is not said, but one of them is.
            (true, None) => run.soft.push(Reason::new(ReasonCode::Limit, text)),
        }
        Ok(())
    }
}

/// What a server says instead of the time (RFC 5905 section 7.4, "Kiss-o'-Death Packet").
fn kiss_of_death(code: &str) -> Outcome {
    let meaning = match code {
        "DENY" | "RSTR" => "it serves nobody from here",
        "RATE" => "it is asked too often; give the check a longer interval",
        "INIT" | "STEP" => "it has no time yet",
        _ => "it gives no time",
    };
    Outcome::fail(ReasonCode::Rejected, format!("{meaning} ({code})"))
}

/// Milliseconds up to a second; what is more, people read in seconds.
fn show_offset(offset: Duration) -> String {
    if offset < Duration::from_secs(1) {
        return format!("{:.1} ms", offset.as_secs_f64() * 1000.0);
    }
    show_duration(Duration::from_millis(u64::try_from(offset.as_millis()).unwrap_or(u64::MAX)))
}

fn facts(answer: &Answer, measured: Measured) -> Facts {
    let leap = match answer.leap {
        1 => "second_more",
        2 => "second_less",
        _ => "none",
    };
    let facts = json!({
        "offset_ms": measured.offset * 1000.0, "delay_ms": measured.delay * 1000.0, "stratum": answer.stratum, "leap": leap,
        "follows": answer.follows(), "root_distance_ms": answer.root_distance() * 1000.0,
    });
    Facts { body: Some(facts.to_string().into()), ..Facts::default() }
}
