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
        // Tracing: no version, nobody sends anything there, and yet others wait for it.
        "original.yml:22 image-not-pinned",
        "original.yml:34 localhost-target",
        "original.yml:37 gate-on-observability",
        "original.yml:40 health-curl-without-fail",
        // Restarted for ever: a size that is no number, and a port that nobody publishes or asks.
        "original.yml:48 setting-not-a-number",
        "original.yml:50 published-port-not-listened",
        "original.yml:52 health-wrong-port",
        "original.yml:61 wrong-target-port",
        "original.yml:64 gate-never-opens",
        "original.yml:66 gate-on-observability",
        // The monitor that never started.
        "original.yml:73 metrics-not-scraped",
        "original.yml:75 installs-at-start",
        "original.yml:77 localhost-target",
        "original.yml:81 gate-before-monitor",
        "original.yml:81 gate-never-opens",
        "original.yml:84 health-never-fails",
        // Dead letters that never arrive.
        "original.yml:104 installs-at-start",
        "original.yml:104 installs-latest",
        "original.yml:106 wrong-instance",
        "original.yml:110 health-matches-itself",
        // Unhealthy though it works.
        "original.yml:114 metrics-not-scraped",
        "original.yml:116 installs-at-start",
        "original.yml:119 health-no-start-period",
        "original.yml:120 health-program-missing",
        "original.yml:122 health-timeout-too-long",
        "original.yml:129 health-program-missing",
        "original.yml:129 health-wrong-path",
        "original.yml:136 gate-never-opens",
        "original.yml:146 external-network-prefix",
        // Metrics of ports that are only the host's, of services that are not there, and rules nobody loads.
        "prometheus.yml:2 alert-rules-not-mounted",
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
