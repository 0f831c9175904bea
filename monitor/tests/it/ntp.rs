//! Kind `ntp`: what a server may answer, and what a person is told.

use monitor::probe::{Observation, ReasonCode};
use tokio::net::UdpSocket;

use crate::{PATIENT, SHORT, ask, ask_within, assert_fail, assert_pass, fail};

/// Asks a server that answers with this head (leap and mode, stratum), whom it follows, and a clock so many seconds ahead.
async fn told(head: [u8; 2], follows: &[u8; 4], ahead: i64, settings: &str) -> Observation {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let check = format!("ntp: {{ address: '{}'{settings} }}", socket.local_addr().unwrap());
    let server = async {
        let mut question = [0; 48];
        let (_, from) = socket.recv_from(&mut question).await.unwrap();
        assert_eq!(question[0], 0x23);
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let now = (since_1970.wrapping_add(2_208_988_800).wrapping_add_signed(ahead) << 32).to_be_bytes();
        // An answer to somebody else comes first.
        let stray = [&head[..], &[0; 10], follows, &[0; 8], &[9; 8], &now, &now].concat();
        let answer = [&head[..], &[0; 10], follows, &[0; 8], &question[40..], &now, &now].concat();
        socket.send_to(&stray, from).await.unwrap();
        socket.send_to(&answer, from).await.unwrap();
    };
    tokio::join!(ask(&check), server).0
}

#[tokio::test]
async fn a_server_without_a_time_is_no_pass_and_says_why() {
    for (head, follows, text) in [
        ([0xe4, 0], b"RATE", "it is asked too often; give the check a longer interval (RATE)"),
        ([0xe4, 0], b"DENY", "it serves nobody from here (DENY)"),
        ([0xe4, 0], b"INIT", "it has no time yet (INIT)"),
        ([0xe4, 0], b"\0\0\0\0", "it has no time: its clock is not synchronized"),
        ([0xe4, 2], b"\x0a\0\0\x01", "it has no time: its clock is not synchronized"),
        ([0x24, 16], b"\0\0\0\0", "it has no time: its clock is not synchronized"),
    ] {
        assert_fail(&told(head, follows, 0, "").await, ReasonCode::Rejected, text);
    }
}

#[tokio::test]
async fn clocks_that_differ_and_far_references_are_told_with_their_limits() {
    let observation = told([0x24, 1], b"GPS\0", 0, "").await;
    assert_pass(&observation);
    assert!(observation.seen.note.is_some_and(|note| note.ends_with("this machine, stratum 1")));
    let text = "it is 3 steps from a reference clock, more than 2";
    assert_fail(&told([0x24, 3], b"\x0a\0\0\x01", 0, ", max_stratum: 2").await, ReasonCode::Limit, text);
    for (ahead, word) in [(7200, "ahead of"), (-7200, "behind")] {
        let (code, text) = fail(&told([0x24, 1], b"GPS\0", ahead, ", max_offset: 1h").await);
        assert_eq!(code, ReasonCode::Limit);
        let is_told = text.starts_with("the server is 1h59m") || text.starts_with("the server is 2h");
        assert!(is_told && text.ends_with(&format!(" {word} this machine: more than 1h apart")), "{text}");
    }
}

#[tokio::test]
async fn silence_and_refusal_are_told_apart() {
    let silent = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let address = silent.local_addr().unwrap();
    let check = format!("ntp: {{ address: '{address}' }}");
    let text = "no answer within 300ms (while waiting for the first byte)";
    assert_fail(&ask_within(SHORT, &check).await, ReasonCode::Timeout, text);
    drop(silent);
    assert_fail(&ask_within(PATIENT, &check).await, ReasonCode::Refused, &format!("connection refused by {address}"));
}
