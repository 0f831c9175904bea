//! Kind `icmp`: loopback, and what stands in the way of a packet.

use monitor::probe::ReasonCode;

use crate::{PATIENT, SHORT, ask, ask_within, assert_fail, assert_pass, soft};

/// What a test of its own network needs (`real::icmp`) is not needed here: loopback answers everybody.
#[tokio::test]
async fn loopback_answers_every_packet() {
    let facts = "expect: { json: { address: 127.0.0.1, sent: 5, received: 5, loss_ratio: 0, duplicates: 0 }, expr: \
                 'json.rtt_min_ms > 0.0 && json.rtt_min_ms <= json.rtt_avg_ms && json.rtt_avg_ms <= json.rtt_max_ms && \
                 json.jitter_ms >= 0.0' }";
    for size in [16, 56, 1400, 65_507] {
        let check = format!("icmp: {{ host: 127.0.0.1, packets: 5, interval: 10ms, size: {size} }}\n{facts}");
        let observation = ask(&check).await;
        assert_pass(&observation);
        let note = observation.seen.note.unwrap();
        assert!(note.starts_with("5 of 5 replies, ") && note.contains(" ms, jitter "), "{note}");
    }
    for host in ["localhost", "'::1'", "'[::1]'"] {
        assert_pass(&ask(&format!("icmp: {{ host: {host}, interval: 10ms }}")).await);
    }
    let both = ask("icmp: { host: localhost, ip: both, packets: 1 }").await;
    assert_pass(&both);
    assert_eq!(soft(&both), [""; 0]);
    assert_eq!(both.seen.address.unwrap().to_string(), "[::1]:0");
}

#[tokio::test]
async fn many_at_once_do_not_take_each_others_replies() {
    let check =
        "icmp: { host: 127.0.0.1, packets: 5, interval: 10ms }\nexpect: { json: { received: 5, duplicates: 0 } }";
    for observation in futures_util::future::join_all((0..20).map(|_| ask(check))).await {
        assert_pass(&observation);
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_no_fault_of_the_target() {
    let observation = ask_within(SHORT, "icmp: { host: 127.0.0.1, packets: 4, interval: 100ms }").await;
    let text = "4 packets every 100ms do not fit into the timeout; write a longer timeout, or fewer packets";
    assert_eq!(observation.outcome, monitor::probe::Outcome::local(text));
    let gone = ask_within(PATIENT, "icmp: { host: 127.0.0.1, ip: ipv6 }").await;
    assert_fail(&gone, ReasonCode::Dns, "127.0.0.1 is not an IPv6 address");
}
