//! Labels, and what a configuration would say in their place.

use super::*;
use crate::supervise::discovery::Labels;
use crate::supervise::workload::Sought;

fn sighting(labels: &[(&str, &str)]) -> Sighting {
    let labels: BTreeMap<String, String> =
        labels.iter().map(|(key, value)| (format!("monitor.{key}"), (*value).to_owned())).collect();
    Sighting {
        shown: "container \"web-1\"".to_owned(),
        id: "6c80".to_owned(),
        called: "web".to_owned(),
        sought: Sought::Name("web-1".to_owned()),
        one_of: None,
        name: "web-1".to_owned(),
        labels: Labels::of(labels.iter()),
        reach: Reach::At {
            host: "172.17.0.2".to_owned(),
            any_port: true,
            ports: [(8000, "172.17.0.2:8000".to_owned())].into(),
        },
        running: true,
        created_secs: 0,
    }
}

/// Returns the service as JSON, and what is wrong.
fn read(labels: &[(&str, &str)]) -> (String, serde_json::Value, Vec<String>) {
    let labelled = Labelled::read(&sighting(labels), &Kinds::standard());
    let mistakes = labelled.mistakes.into_sorted().iter().map(told).collect();
    (labelled.name, labelled.node.to_json(), mistakes)
}

fn mistakes(labels: &[(&str, &str)]) -> Vec<String> {
    read(labels).2
}

#[test]
fn labels_say_what_a_configuration_would() {
    let (name, service, mistakes) = read(&[
        ("enable", "true"),
        ("name", "shop"),
        ("about", "the web shop"),
        ("critical", "false"),
        ("needs", "postgres, redis"),
        ("needs.soft", "tempo"),
        ("slo.availability", "99.9%"),
        ("check.health.http", "/health"),
        ("check.health.every", "30s"),
        ("check.health.severity", "warning"),
        ("check.health.expect.status", "200,204"),
        ("check.health.expect.json.db.ok", "true"),
        ("check.health.expect.body_contains", "007"),
        ("check.port.tcp", ":5432"),
    ]);
    assert_eq!(mistakes, Vec::<String>::new());
    assert_eq!(name, "shop");
    let written = "
about: the web shop
critical: false
needs: { hard: [postgres, redis], soft: [tempo] }
slo: { availability: 99.9% }
checks:
  health:
    http: { url: 'http://172.17.0.2:8000/health', redirects: none }
    every: 30s
    severity: warning
    expect: { status: [200, 204], body_contains: '007', json: { db.ok: true } }
  port: { tcp: { address: '172.17.0.2:5432' } }
";
    let expected = Node::parse("m.yml", written).unwrap().to_json();
    assert_eq!(service, expected);
}

#[test]
fn the_port_may_stand_apart_and_a_check_that_cannot_be_read_is_left_out() {
    let (_, service, mistakes) = read(&[
        ("check.a.http", "/ready"),
        ("check.a.port", "9000"),
        ("check.b.http", "/ready"),
        ("check.b.port", "many"),
        ("check.c.every", "30s"),
        ("check.d.exec", "reboot"),
        ("check.d.tcp", ":1"),
    ]);
    assert_eq!(service.pointer("/checks/a/http/url").unwrap(), "http://172.17.0.2:9000/ready");
    assert_eq!(service["checks"].as_object().unwrap().len(), 1);
    assert_eq!(
        mistakes,
        [
            "container \"web-1\", label monitor.check.b.port: \"many\" is no port; write one from 1 to 65535",
            "container \"web-1\", label monitor.check.c.*: nothing is asked; write monitor.check.c.http or monitor.check.c.tcp",
            "container \"web-1\", label monitor.check.d.exec: no such label; labels define checks of kind http and tcp of their \
             own container, everything else is for the configuration",
        ]
    );
}

#[test]
fn a_label_cannot_point_elsewhere_nor_run_read_or_heal_anything() {
    for (key, value, wrong) in [
        ("check.a.http", "http://169.254.169.254/latest", "is no path of this container"),
        ("check.a.http", ":80@10.0.0.1/", "is no path of this container"),
        ("check.a.tcp", "10.0.0.1:22", "is no port of this container"),
        ("check.a.url", "http://10.0.0.1/", "no such label"),
        ("check.a.exec", "id", "no such label"),
        ("check.a.host", "disk", "no such label"),
        ("check.a.tls", "10.0.0.1:443", "no such label"),
        ("check.a.headers", "x", "no such label"),
        ("check.a.bearer_file", "/etc/shadow", "no such label"),
        ("check.a.expect.expr", "true", "no such label"),
        ("check.a.expect.body_matches", "(a+)+", "no such label"),
        ("check.a.http.proxy", "http://10.0.0.1", "no such label"),
        ("heal", "true", "no such label"),
        ("workload", "x", "no such label"),
        ("alert.down", "none", "no such label"),
        ("labels.team", "x", "no such label"),
        ("was", "database", "no such label"),
    ] {
        let found = mistakes(&[(key, value)]).join("\n");
        assert!(found.contains(wrong), "{key}={value}: {found}");
    }
    let (_, service, _) = read(&[("about", "${SECRET}"), ("check.a.http", ":80/${SECRET}")]);
    assert_eq!(service["about"], "${SECRET}", "nothing is filled in");
}

#[test]
fn what_is_too_much_or_unclear_is_said() {
    let many: Vec<(String, String)> =
        (0..20).map(|number| (format!("check.c{number:02}.tcp"), ":80".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let (_, service, found) = read(&many);
    assert_eq!((service["checks"].as_object().unwrap().len(), found.len()), (16, 4));
    assert!(found[0].ends_with("label monitor.check.c16.tcp: a service has 16 checks by labels at most"), "{found:?}");
    assert_eq!(
        mistakes(&[("enable", "yes"), ("name", "My Web"), ("nam", "web"), ("needs", "a"), ("needs.hard", "b")]),
        [
            "container \"web-1\", label monitor.enable: expected true or false, found \"yes\"",
            "container \"web-1\", label monitor.nam: no such label; did you mean \"name\"?",
            "container \"web-1\", label monitor.name: service names are 1 to 63 lower-case letters, digits and dashes, not \"My Web\"",
            "container \"web-1\", label monitor.needs: both needs and needs.hard are written, which mean the same; keep one",
            "container \"web-1\", label monitor.needs.hard: both needs and needs.hard are written, which mean the same; keep one",
        ]
    );
}

#[test]
fn what_has_not_run_yet_is_checked_but_has_no_address() {
    let mut sighting = sighting(&[("check.a.http", "/health"), ("check.b.tcp", "what")]);
    sighting.reach = Reach::Pending;
    let labelled = Labelled::read(&sighting, &Kinds::standard());
    assert!(labelled.is_pending);
    let mistakes: Vec<String> = labelled.mistakes.into_sorted().iter().map(told).collect();
    assert_eq!(
        mistakes,
        ["container \"web-1\", label monitor.check.b.tcp: \"what\" is no port of this container; write :5432"]
    );
}

#[test]
fn another_address_changes_nothing_of_what_is_asked() {
    let here = sighting(&[("check.a.http", "/health")]);
    let mut there = here.clone();
    there.reach = Reach::At {
        host: "172.17.0.9".to_owned(),
        any_port: true,
        ports: [(8000, "172.17.0.9:8000".to_owned())].into(),
    };
    let [here, there] = [here, there].map(|sighting| Labelled::read(&sighting, &Kinds::standard()));
    assert_ne!(here.node, there.node);
    assert_eq!(here.placeless, there.placeless);
}
