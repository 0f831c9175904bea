//! Names: what does not exist is the target's fault, silence of every resolver is ours.

use std::net::SocketAddr;
use std::time::Duration;

use monitor::probe::{Observation, Outcome, Phase, ReasonCode, Why, observe};
use testkit::Target;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::{PATIENT, SHORT, assert_fail, assert_pass, question, soft, vantage};

/// What a fake resolver does with questions.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// Response code (RFC 1035 section 4.1.1) without records.
    Code(u8),
    /// 127.0.0.1 for A, nothing for AAAA.
    Loopback,
    /// 127.0.0.1 for A, ::1 for AAAA.
    Both,
    Silence,
}

/// Answers DNS questions on loopback until dropped.
pub(crate) struct Resolver {
    pub(crate) address: SocketAddr,
    _task: JoinSet<()>,
}

impl Resolver {
    pub(crate) async fn start(answer: Answer) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                if let Some(reply) = reply(&buffer[..length], answer) {
                    socket.send_to(&reply, from).await.unwrap();
                }
            }
        });
        Self { address, _task: task }
    }
}

/// Builds a reply: the question again, and at most one record (RFC 1035 section 4).
fn reply(query: &[u8], answer: Answer) -> Option<Vec<u8>> {
    let name_end = 12 + query[12..].iter().position(|byte| *byte == 0)? + 1;
    let wants_v6 = query[name_end + 1] == 28;
    let address: Option<Vec<u8>> = match (answer, wants_v6) {
        (Answer::Silence, _) => return None,
        (Answer::Loopback | Answer::Both, false) => Some(vec![127, 0, 0, 1]),
        (Answer::Both, true) => Some(std::net::Ipv6Addr::LOCALHOST.octets().to_vec()),
        (Answer::Loopback, true) | (Answer::Code(_), _) => None,
    };
    let code = if let Answer::Code(code) = answer { code } else { 0 };
    let mut reply = vec![query[0], query[1], 0x81, 0x80 | code, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0];
    reply.extend(&query[12..name_end + 4]);
    if let Some(address) = address {
        reply.extend([0xc0, 12, 0, query[name_end + 1], 0, 1, 0, 0, 0, 60, 0, u8::try_from(address.len()).ok()?]);
        reply.extend(address);
    }
    Some(reply)
}

async fn ask_by_name(resolver: SocketAddr, port: u16, more: &str, timeout: Duration) -> Observation {
    let check = format!("http: {{ url: 'http://shop.example:{port}/'{more} }}");
    observe(vantage(resolver.port()), &question(&check, timeout), Why::Asked, false).await
}

async fn ask_resolver(answer: Answer) -> Observation {
    let resolver = Resolver::start(answer).await;
    ask_by_name(resolver.address, 80, "", PATIENT).await
}

fn unknown(observation: &Observation) -> (ReasonCode, String) {
    match &observation.outcome {
        Outcome::Unknown(reason) => (reason.code, reason.text.clone()),
        other => panic!("expected unknown, found {other:?}"),
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_fail_that_says_how() {
    let observation = ask_resolver(Answer::Code(3)).await;
    assert_fail(&observation, ReasonCode::Dns, "shop.example does not exist (NXDOMAIN)");
    assert_eq!(observation.phases[0].0, Phase::Dns);
    let text = "shop.example cannot be resolved: the resolver answered SERVFAIL";
    assert_fail(&ask_resolver(Answer::Code(2)).await, ReasonCode::Dns, text);
    let text = "shop.example has no address record (A)";
    assert_fail(&ask_resolver(Answer::Code(0)).await, ReasonCode::Dns, text);
}

#[tokio::test]
async fn a_resolver_that_refuses_or_is_silent_is_our_own_trouble() {
    let (code, text) = unknown(&ask_resolver(Answer::Code(5)).await);
    assert_eq!(code, ReasonCode::Local);
    assert!(text.starts_with("the resolver does not look up shop.example for us: "), "{text}");
    let silent = Resolver::start(Answer::Silence).await;
    let observation = ask_by_name(silent.address, 80, "", SHORT).await;
    assert_eq!(unknown(&observation), (ReasonCode::Local, "no DNS resolver answered for shop.example".to_owned()));
    assert!(observation.took <= SHORT + Duration::from_millis(100), "{observation:?}");
    let gone = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let (code, text) = unknown(&ask_by_name(gone, 80, "", SHORT).await);
    assert_eq!(code, ReasonCode::Local);
    assert!(text.starts_with("no DNS resolver answered for shop.example"), "{text}");
}

#[tokio::test]
async fn a_name_that_resolves_is_asked_under_its_name() {
    let target = Target::ok("pong");
    let resolver = Resolver::start(Answer::Loopback).await;
    let observation = ask_by_name(resolver.address, target.addr().port(), "", PATIENT).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.address, Some(target.addr()));
    let host = format!("shop.example:{}", target.addr().port());
    assert_eq!(target.requests()[0].header("host"), Some(host.as_str()));
}

#[tokio::test]
async fn any_uses_the_family_that_answers_and_both_degrades_if_one_does_not() {
    // The target listens on IPv4 only.
    let target = Target::ok("pong");
    let resolver = Resolver::start(Answer::Both).await;
    let port = target.addr().port();
    let observation = ask_by_name(resolver.address, port, "", PATIENT).await;
    assert_pass(&observation);
    assert_eq!((observation.seen.address, soft(&observation).len()), (Some(target.addr()), 0));
    let observation = ask_by_name(resolver.address, port, ", ip: both", PATIENT).await;
    assert_pass(&observation);
    if observation.seen.note.is_none() {
        assert_eq!(soft(&observation), [format!("connection refused by [::1]:{port}")]);
        assert_eq!(observation.soft[0].code, ReasonCode::Partial);
    }
    let only_v4 = Resolver::start(Answer::Loopback).await;
    let observation = ask_by_name(only_v4.address, port, ", ip: both", PATIENT).await;
    assert_pass(&observation);
    assert_eq!(soft(&observation), ["shop.example has no address record (AAAA)"]);
    let observation = ask_by_name(only_v4.address, port, ", ip: ipv6", PATIENT).await;
    assert_fail(&observation, ReasonCode::Dns, "shop.example has no address record (AAAA)");
}

#[tokio::test]
async fn a_family_without_a_route_from_here_is_unknown() {
    // The documentation prefix (RFC 3849) leads nowhere even where there is a route.
    let check = "http: { url: 'http://[2001:db8::1]/', ip: ipv6 }";
    let observation = observe(vantage(9), &question(check, SHORT), Why::Asked, false).await;
    match &observation.outcome {
        Outcome::Unknown(reason) => assert_eq!(reason.text, "no route from this machine to [2001:db8::1]:80"),
        // With an IPv6 route the documentation prefix leads nowhere.
        Outcome::Fail(reason) => assert!(matches!(reason.code, ReasonCode::Timeout | ReasonCode::Unreachable)),
        Outcome::Pass => panic!("{observation:?}"),
    }
}
