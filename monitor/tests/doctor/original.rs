//! The project that never worked: every cause that its files show is found, each at its line.

use super::{findings, fixtures};
use monitor::doctor::compose::{Request, load};

#[test]
fn every_cause_in_the_original_is_found_at_its_line() {
    let files = vec![fixtures("bad/original.yml")];
    let project = load(&Request { files, ..Request::default() }).unwrap();
    let found: Vec<String> = findings(&project)
        .iter()
        .map(|finding| format!("{}:{} {}", finding.file.rsplit('/').next().unwrap(), finding.line, finding.rule))
        .collect();
    let expected = [
        // Panels without their source.
        "datasources.yml:8 datasource-missing",
        // A database whose first start breaks off.
        "init-db.sql:1 init-script-unknown-role",
        "init-db.sql:2 init-script-missing-include",
        // Tracing: no version, nobody sends anything there, and yet others wait for it.
        "original.yml:22 image-not-pinned",
        "original.yml:36 localhost-target",
        "original.yml:39 gate-on-observability",
        "original.yml:42 health-curl-without-fail",
        "original.yml:50 traces-not-sent",
        // Restarted for ever: a size that is no number, a list that is no JSON, and a port that nobody publishes or asks.
        "original.yml:58 setting-not-a-number",
        "original.yml:59 setting-not-a-list",
        "original.yml:61 published-port-not-listened",
        "original.yml:63 health-wrong-port",
        "original.yml:66 restart-without-limit",
        "original.yml:72 wrong-target-port",
        "original.yml:75 gate-never-opens",
        "original.yml:77 gate-on-observability",
        // The monitor that never started.
        "original.yml:84 metrics-not-scraped",
        "original.yml:86 installs-at-start",
        "original.yml:88 localhost-target",
        "original.yml:92 gate-before-monitor",
        "original.yml:92 gate-never-opens",
        "original.yml:95 health-never-fails",
        "original.yml:115 installs-at-start",
        // Dead letters that never arrive.
        "original.yml:115 installs-latest",
        "original.yml:117 wrong-instance",
        "original.yml:119 restart-unchecked",
        "original.yml:121 health-matches-itself",
        "original.yml:125 metrics-not-scraped",
        "original.yml:127 installs-at-start",
        // Unhealthy though it works.
        "original.yml:129 container-name-target",
        "original.yml:132 health-no-start-period",
        "original.yml:133 health-program-missing",
        "original.yml:142 health-program-missing",
        "original.yml:142 health-wrong-path",
        "original.yml:149 gate-never-opens",
        // Metrics that Prometheus does not take, logs that nobody sends, and a network of another name.
        "original.yml:152 remote-write-refused",
        "original.yml:158 logs-not-shipped",
        "original.yml:175 external-network-prefix",
        // Metrics of ports that are only the host's, of services that are not there, and rules nobody loads or hears of.
        "prometheus.yml:2 alert-rules-not-mounted",
        "prometheus.yml:2 alerts-go-nowhere",
        "prometheus.yml:9 scrape-unknown-target",
        "prometheus.yml:12 scrape-unknown-target",
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_way_to_the_cause_is_told() {
    let files = vec![fixtures("bad/original.yml")];
    let project = load(&Request { files, ..Request::default() }).unwrap();
    let found = findings(&project);
    let gate = found.iter().find(|finding| finding.service == "auth-monitor" && finding.rule == "gate-never-opens");
    assert_eq!(
        gate.unwrap().message,
        "auth-monitor never starts: it waits for api-gateway, which waits for automation-services"
    );
}
