//! Debian's snmpd: values of every usual type, what it does not have, and who does not know its community.

use monitor::probe::{Outcome, ReasonCode};
use testkit::{Server, eventually, free_port};

use crate::{PATIENT, SHORT, ask, ask_within, assert_fail, assert_pass, fail, file};

const COMMUNITY: &str = "s3cret-community";

#[tokio::test]
async fn a_real_agent_tells_its_values_and_is_silent_to_strangers() {
    let folder = tempfile::tempdir().unwrap();
    let (port, settings) = (free_port(), folder.path().join("snmpd.conf"));
    let text = format!(
        "rocommunity {COMMUNITY} 127.0.0.1\nsysName box-1\nsysLocation cellar\nsysServices 72\nagentuser root\n"
    );
    std::fs::write(&settings, text).unwrap();
    let paths = [
        settings.display().to_string(),
        format!("udp:127.0.0.1:{port}"),
        folder.path().join("pid").display().to_string(),
    ];
    let [settings, address, pid] = &paths;
    let _server =
        Server::start_unheard(port, "snmpd", &["-f", "-Lo", "-C", "-c", settings, "-p", pid, "-I", "-smux", address]);
    let secret = file(COMMUNITY);
    let check = |more: &str| {
        format!("snmp: {{ address: '127.0.0.1:{port}', community_file: '{}'{more} }}", secret.path().display())
    };
    let uptime = eventually("the agent to answer", PATIENT * 6, async || {
        let observation = ask(&check("")).await;
        (observation.outcome == Outcome::Pass).then_some(observation)
    })
    .await;
    assert_eq!(uptime.seen.protocol.as_deref(), Some("SNMPv2c"));
    assert!(uptime.seen.note.is_some_and(|note| note.starts_with("uptime_ticks is ")), "a number of hundredths");
    let values = ", get: { name: 1.3.6.1.2.1.1.5.0, place: .1.3.6.1.2.1.1.6.0, object: 1.3.6.1.2.1.1.2.0, services: \
                  1.3.6.1.2.1.1.7.0, received: 1.3.6.1.2.1.11.1.0 }";
    let expect = "expect: { json: { name: box-1, place: cellar }, expr: 'json.received > 0.0 && json.services == 72 && \
                  json.object.startsWith(\"1.3.6.1.4.1.8072\")' }";
    for version in ["2c", "1"] {
        assert_pass(&ask(&format!("{}\n{expect}", check(&format!("{values}, version: {version}")))).await);
    }
    let missing = ", get: { name: 1.3.6.1.2.1.1.5.0, fan: 1.3.6.1.4.1.99999.1 }";
    assert_fail(&ask(&check(missing)).await, ReasonCode::Rejected, "the agent has no fan");
    let old = "the agent refuses fan: it has no such object (noSuchName)";
    assert_fail(&ask(&check(&format!("{missing}, version: 1"))).await, ReasonCode::Rejected, old);
    let stranger = ask_within(SHORT, &format!("snmp: {{ address: '127.0.0.1:{port}' }}")).await;
    let silence = "no answer within 300ms; an agent is silent as well if it does not know the community, or who asks";
    assert_fail(&stranger, ReasonCode::Timeout, silence);
    let nobody = ask(&format!("snmp: {{ address: '127.0.0.1:{}' }}", free_port())).await;
    assert_eq!(fail(&nobody).0, ReasonCode::Refused);
}
