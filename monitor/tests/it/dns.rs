//! Kind `dns`: what a server may do to a datagram, and what a person is told.

use std::net::{Ipv4Addr, SocketAddr};

use monitor::probe::{Observation, Outcome, ReasonCode, Why, observe};
use testkit::{Target, dns_answer};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::{PATIENT, SHORT, ask, ask_within, assert_fail, assert_pass, fail, question, vantage};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// A server that answers each datagram with those that `answers` makes of it.
async fn server(answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            for answer in answers(&buffer[..length]) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    (address, task)
}

fn check(address: SocketAddr) -> String {
    format!("dns: {{ name: example.com, server: '{address}' }}")
}

/// The healthy answer with other bits in its header.
fn with_flags(query: &[u8], flags: [u8; 2], answers: u8) -> Vec<u8> {
    let mut answer = dns_answer(query, ADDRESS).unwrap();
    answer[2..4].copy_from_slice(&flags);
    answer[7] = answers;
    if answers == 0 {
        answer.truncate(answer.len() - 16);
    }
    answer
}

async fn told(answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Observation {
    let (address, task) = server(answers).await;
    let observation = ask_within(SHORT, &check(address)).await;
    task.abort();
    observation
}

#[tokio::test]
async fn an_answer_to_another_question_is_not_ours() {
    let late_then_right = told(|query| {
        let right = dns_answer(query, ADDRESS).unwrap();
        let mut late = right.clone();
        late[0] ^= 1;
        vec![late, right]
    })
    .await;
    assert_pass(&late_then_right);
    assert_eq!(late_then_right.seen.note.as_deref(), Some("1 datagrams were not the answer; 192.0.2.1"));
    assert_eq!(late_then_right.seen.protocol.as_deref(), Some("DNS over UDP"));

    let other_name = told(|query| {
        let mut other = dns_answer(query, ADDRESS).unwrap();
        other[13] = b'E' + 1;
        vec![other]
    })
    .await;
    let text = "1 datagrams came, and none is the answer: it answers Fxample.com A";
    assert_fail(&other_name, ReasonCode::Protocol, text);
    let garbage = told(|_| vec![b"hello".to_vec()]).await;
    let text = "1 datagrams came, and none is the answer: \"hello\" is not DNS";
    assert_fail(&garbage, ReasonCode::Protocol, text);
    let echo = told(|query| vec![query.to_vec()]).await;
    let text = "1 datagrams came, and none is the answer: its id is another";
    assert_fail(&echo, ReasonCode::Protocol, text);
    let cut_short = told(|query| {
        let mut answer = dns_answer(query, ADDRESS).unwrap();
        answer.truncate(answer.len() - 3);
        vec![answer]
    })
    .await;
    let (code, text) = fail(&cut_short);
    assert!(code == ReasonCode::Protocol && text.starts_with("the answer cannot be read ("), "{text}");
}

#[tokio::test]
async fn every_code_is_told_in_words() {
    for (code, text) in [
        (1, "the server does not understand the question (FORMERR)"),
        (2, "example.com cannot be resolved: the server answered SERVFAIL"),
        (3, "example.com does not exist (NXDOMAIN)"),
        (4, "the server knows no questions of type A (NOTIMP)"),
        (5, "the server does not answer us for example.com (REFUSED)"),
        (12, "the server answered RCODE12"),
    ] {
        let observation = told(move |query| vec![with_flags(query, [0x81, 0x80 | code], 0)]).await;
        assert_fail(&observation, ReasonCode::Dns, text);
    }
    let empty = told(|query| vec![with_flags(query, [0x81, 0x80], 0)]).await;
    assert_fail(&empty, ReasonCode::Dns, "example.com has no A record");
}

#[tokio::test]
async fn a_cut_datagram_whose_server_speaks_no_tcp_is_told_as_such() {
    let observation = told(|query| vec![with_flags(query, [0x83, 0x80], 0)]).await;
    let (code, text) = fail(&observation);
    assert_eq!(code, ReasonCode::Refused);
    assert!(text.starts_with("cut over UDP, and over TCP: connection refused by 127.0.0.1:"), "{text}");
}

#[tokio::test]
async fn silence_of_a_named_server_is_its_fault_and_silence_of_the_systems_is_ours() {
    let (address, task) = server(|_| Vec::new()).await;
    let named = ask_within(SHORT, &check(address)).await;
    assert_fail(&named, ReasonCode::Timeout, "no answer within 300ms (while waiting for the first byte)");
    let own = question("dns: { name: example.com }", SHORT);
    let of_system = observe(vantage(address.port()), &own, Why::Asked, false).await;
    let text = format!("no DNS resolver answered for example.com: {address} is silent");
    assert!(matches!(&of_system.outcome, Outcome::Unknown(reason) if reason.text == text), "{of_system:?}");
    task.abort();

    let target = Target::refuse();
    let text = format!("connection refused by {}", target.addr());
    assert_fail(&ask(&check(target.addr())).await, ReasonCode::Refused, &text);
    let of_system = observe(vantage(target.addr().port()), &own, Why::Asked, false).await;
    let text = format!("no DNS resolver answered for example.com: {text}");
    assert!(matches!(&of_system.outcome, Outcome::Unknown(reason) if reason.text == text), "{of_system:?}");
}

#[tokio::test]
async fn the_systems_server_tells_of_the_name_and_its_refusal_is_our_trouble() {
    let own = question("dns: { name: example.com, answer: 192.0.2.1 }", PATIENT);
    for (code, expected) in [
        (0, None),
        (3, Some("example.com does not exist (NXDOMAIN)")),
        (2, Some("example.com cannot be resolved: the server answered SERVFAIL")),
    ] {
        let (address, task) =
            server(move |query| vec![with_flags(query, [0x81, 0x80 | code], u8::from(code == 0))]).await;
        let observation = observe(vantage(address.port()), &own, Why::Asked, false).await;
        match expected {
            None => assert_pass(&observation),
            Some(text) => assert_fail(&observation, ReasonCode::Dns, text),
        }
        task.abort();
    }
    let (address, _task) = server(|query| vec![with_flags(query, [0x81, 0x85], 0)]).await;
    let refused = observe(vantage(address.port()), &own, Why::Asked, false).await;
    let text = "the resolver does not look up example.com for us: REFUSED";
    assert!(matches!(&refused.outcome, Outcome::Unknown(reason) if reason.text == text), "{refused:?}");
}
