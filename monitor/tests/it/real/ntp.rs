//! Debian's chrony: a time, none, and the same asked byte for byte by kind `udp`.

use monitor::probe::{Outcome, ReasonCode};
use testkit::{Server, eventually, free_port};

use crate::{PATIENT, ask, ask_within, assert_pass, fail};

/// A server that never touches this machine's clock.
fn start(folder: &std::path::Path, port: u16, more: &str) -> Server {
    let path = |name: &str| folder.join(format!("{name}-{port}")).display().to_string();
    let settings = format!(
        "port {port}\nbindaddress 127.0.0.1\nallow 127.0.0.1\ncmdport 0\nbindcmdaddress /\npidfile {}\nuser root\n{more}\n",
        path("pid")
    );
    std::fs::write(path("settings"), settings).unwrap();
    Server::start_unheard(port, "chronyd", &["-x", "-d", "-f", &path("settings")])
}

#[tokio::test]
async fn a_real_chrony_tells_the_time_or_that_it_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let (set, unset) = (free_port(), free_port());
    let _servers = [start(folder.path(), set, "local stratum 8"), start(folder.path(), unset, "")];
    let check = format!("ntp: {{ address: '127.0.0.1:{set}', max_offset: 10s, max_stratum: 8 }}");
    let observation = eventually("chrony to tell the time", PATIENT * 6, async || {
        let observation = ask_within(PATIENT, &check).await;
        (observation.outcome == Outcome::Pass).then_some(observation)
    })
    .await;
    assert!(observation.seen.note.is_some_and(|note| note.ends_with(" this machine, stratum 8")));
    let facts =
        "expect: { json: { stratum: 8, leap: none }, expr: 'json.delay_ms >= 0.0 && json.offset_ms < 10000.0' }";
    assert_pass(&ask(&format!("{check}\n{facts}")).await);

    let none = eventually("chrony to say that it has none", PATIENT * 6, async || {
        let observation = ask(&format!("ntp: {{ address: '127.0.0.1:{unset}' }}")).await;
        Some(fail(&observation)).filter(|(code, _)| *code != ReasonCode::Refused)
    })
    .await;
    assert_eq!(none, (ReasonCode::Rejected, "it has no time: its clock is not synchronized".to_owned()));

    let question = format!("23{}", "00".repeat(47));
    let bytes =
        format!("udp: {{ address: '127.0.0.1:{set}', send_hex: '{question}', expect_matches: '(?s-u)^\\x24\\x08' }}");
    assert_pass(&ask(&bytes).await);
}
