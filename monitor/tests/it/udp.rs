//! Kind `udp`: answers, wrong answers, silence and refusal.

use monitor::probe::ReasonCode;
use tokio::net::UdpSocket;

use crate::{PATIENT, SHORT, ask, ask_within, assert_fail, assert_pass, fail, question, vantage};

/// Sends these back for each datagram that comes, until dropped.
async fn answering(answers: &'static [&'static str]) -> (String, tokio::task::JoinSet<()>) {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let mut buffer = [0; 100];
        while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
            for answer in answers {
                socket.send_to(answer.as_bytes(), from).await.unwrap();
            }
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn the_datagram_that_is_expected_passes_whatever_else_comes() {
    let (address, _tasks) = answering(&["noise", "{\"pong\": 7}"]).await;
    let check = format!("udp: {{ address: '{address}', send: ping, expect: pong }}\nexpect: {{ json: {{ pong: 7 }} }}");
    let observation = ask(&check).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.address.unwrap().to_string(), address);
    let wrong = format!("udp: {{ address: '{address}', send_hex: '00', expect_matches: '^pang' }}");
    let text = "a match of \"^pang\" did not come; received \"{\\\"pong\\\": 7}\"";
    assert_fail(&ask_within(SHORT, &wrong).await, ReasonCode::Body, text);
}

#[tokio::test]
async fn silence_is_a_fail_only_where_an_answer_is_expected_and_refusal_always() {
    let silent = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let address = silent.local_addr().unwrap();
    let expecting = format!("udp: {{ address: '{address}', send: ping, expect: pong }}");
    let text = "no answer within 300ms (while waiting for the first byte)";
    assert_fail(&ask_within(SHORT, &expecting).await, ReasonCode::Timeout, text);
    let sending = format!("udp: {{ address: '{address}', send: ping }}");
    let observation = ask(&sending).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.note.as_deref(), Some("sent, and nobody refused it"));
    let mut buffer = [0; 10];
    assert_eq!(silent.recv(&mut buffer).await.unwrap(), 4);
    drop(silent);
    for check in [expecting, sending] {
        let text = format!("connection refused by {address}");
        assert_fail(&ask(&check).await, ReasonCode::Refused, &text);
    }
}

#[tokio::test]
async fn many_at_once_do_not_mix_and_a_name_without_address_is_told() {
    let (address, _tasks) = answering(&["pong"]).await;
    let question = question(&format!("udp: {{ address: '{address}', send: ping, expect: pong }}"), PATIENT);
    let vantage = vantage(9);
    let why = monitor::probe::Why::Asked;
    let all = (0..50).map(|_| monitor::probe::observe(vantage.clone(), &question, why, false));
    for observation in futures_util::future::join_all(all).await {
        assert_pass(&observation);
    }
    let (code, _) = fail(&ask("udp: { address: '127.0.0.1:1', send: x }").await);
    assert_eq!(code, ReasonCode::Refused);
}
