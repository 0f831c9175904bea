//! Names to addresses. "The name does not resolve" is the target's fault, "nobody answered us" is ours: the two are
//! never mixed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use futures_util::future::select;
use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;

use super::address::Host;
use super::observation::{Outcome, Phase, ReasonCode};
use super::run::Run;

/// How long one family's answer waits for the other's (RFC 8305 section 3, "Resolution Delay").
const OTHER_FAMILY_WAIT: Duration = Duration::from_millis(50);

/// One family's addresses, or why there are none.
pub(super) type Found = Result<Vec<IpAddr>, Gap>;

/// Why a family has no address.
#[derive(Debug, Clone)]
pub(super) struct Gap {
    weight: Weight,
    pub(super) outcome: Outcome,
}

/// What says more about a name: a broken name more than our own trouble, that more than no record of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    NoRecord,
    Ours,
    Broken,
}

/// Which families to look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Families {
    V4,
    V6,
    Each,
}

/// Returns the addresses of a host, IPv6 and IPv4 apart; a family that was not asked for is `None`.
pub(super) async fn resolve(run: &mut Run, host: &Host, families: Families) -> (Option<Found>, Option<Found>) {
    match host {
        Host::Ip(address) => literal(*address, families),
        Host::Name(name) if is_localhost(name) => (
            (families != Families::V4).then(|| Ok(vec![Ipv6Addr::LOCALHOST.into()])),
            (families != Families::V6).then(|| Ok(vec![Ipv4Addr::LOCALHOST.into()])),
        ),
        Host::Name(name) => {
            run.enter(Phase::Dns);
            let limit = run.last_word();
            let found = tokio::time::timeout_at(limit, look_up(&run.vantage.resolver, name, families)).await;
            run.leave();
            found.unwrap_or_else(|_elapsed| (Some(Err(silence(name))), None))
        }
    }
}

/// `localhost` and names below it are loopback without asking anybody (RFC 6761 section 6.3).
pub(super) fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

/// Joins what both families found; if neither has an address, the error that says most about the name.
pub(super) fn either(v6: Option<Found>, v4: Option<Found>) -> Result<(Vec<IpAddr>, Vec<IpAddr>), Outcome> {
    match (v6, v4) {
        (Some(Err(v6)), Some(Err(v4))) => Err(if v6.weight > v4.weight { v6.outcome } else { v4.outcome }),
        (Some(Err(only)), None) | (None, Some(Err(only))) => Err(only.outcome),
        (v6, v4) => Ok((v6.and_then(Result::ok).unwrap_or_default(), v4.and_then(Result::ok).unwrap_or_default())),
    }
}

fn literal(address: IpAddr, families: Families) -> (Option<Found>, Option<Found>) {
    let wrong = |family| Some(Err(broken(format!("{address} is not an {family} address"))));
    match (address, families) {
        (IpAddr::V6(_), Families::V4) => (None, wrong("IPv4")),
        (IpAddr::V4(_), Families::V6) => (wrong("IPv6"), None),
        (IpAddr::V6(_), _) => (Some(Ok(vec![address])), None),
        (IpAddr::V4(_), _) => (None, Some(Ok(vec![address]))),
    }
}

async fn look_up(resolver: &TokioResolver, name: &str, families: Families) -> (Option<Found>, Option<Found>) {
    let family = |kind| Box::pin(one_family(resolver, name, kind));
    match families {
        Families::V6 => (Some(family(RecordType::AAAA).await), None),
        Families::V4 => (None, Some(family(RecordType::A).await)),
        Families::Each => {
            let raced = select(family(RecordType::AAAA), family(RecordType::A)).await;
            let v6_first = matches!(raced, futures_util::future::Either::Left(_));
            let (first, other) = raced.factor_first();
            let second = if first.is_ok() {
                let waited = tokio::time::timeout(OTHER_FAMILY_WAIT, other).await;
                waited.unwrap_or_else(|_elapsed| Err(silence(name)))
            } else {
                other.await
            };
            if v6_first { (Some(first), Some(second)) } else { (Some(second), Some(first)) }
        }
    }
}

async fn one_family(resolver: &TokioResolver, name: &str, kind: RecordType) -> Found {
    match resolver.lookup(name, kind).await {
        Ok(lookup) => {
            let found: Vec<IpAddr> = lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
            if found.is_empty() { Err(no_record(name, kind)) } else { Ok(found) }
        }
        Err(error) => Err(explain(name, kind, &error)),
    }
}

fn explain(name: &str, kind: RecordType, error: &NetError) -> Gap {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, .. })) => match response_code {
            ResponseCode::NXDomain => broken(format!("{name} does not exist (NXDOMAIN)")),
            ResponseCode::NoError => no_record(name, kind),
            code => answered(name, *code),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => answered(name, *code),
        NetError::Proto(error) => broken(format!("{name} cannot be resolved: {error}")),
        NetError::Timeout => silence(name),
        error => ours(format!("no DNS resolver answered for {name}: {error}")),
    }
}

/// SERVFAIL says that the name's own servers are broken; any other code is the resolver's refusal to serve us.
fn answered(name: &str, code: ResponseCode) -> Gap {
    match code {
        ResponseCode::ServFail => broken(format!("{name} cannot be resolved: the resolver answered SERVFAIL")),
        code => ours(format!("the resolver does not look up {name} for us: {code}")),
    }
}

fn no_record(name: &str, kind: RecordType) -> Gap {
    Gap {
        weight: Weight::NoRecord,
        outcome: Outcome::fail(ReasonCode::Dns, format!("{name} has no address record ({kind})")),
    }
}

fn silence(name: &str) -> Gap {
    ours(format!("no DNS resolver answered for {name}"))
}

fn ours(text: String) -> Gap {
    Gap { weight: Weight::Ours, outcome: Outcome::local(text) }
}

fn broken(text: String) -> Gap {
    Gap { weight: Weight::Broken, outcome: Outcome::fail(ReasonCode::Dns, text) }
}
