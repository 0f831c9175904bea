//! Plans with what is written and what was found.

use std::time::Duration;

use jiff::Timestamp;
use kit::config::{Environment, show_duration};
use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::supervise::discovery::{Labels, OneOf, Reach, Sighting};
use crate::supervise::workload::Sought;

/// A configuration with two discoveries of one engine.
fn plan(yaml: &str) -> Plan {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yml");
    let discover = "discover: { docker: { container: {} }, shop: { container: { project: shop } } }";
    std::fs::write(&file, format!("{discover}\n{yaml}\n")).unwrap();
    Plan::of(&Config::load(&file, &Environment::default()), &Kinds::standard()).unwrap()
}

/// A container at this address, with labels `key=value`.
pub(crate) fn container(name: &str, host: &str, labels: &str) -> Sighting {
    let labels: BTreeMap<String, String> = labels
        .split_whitespace()
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (format!("monitor.{key}"), value.to_owned()))
        .collect();
    Sighting {
        shown: format!("container {name:?}"),
        id: name.to_owned(),
        called: name.to_owned(),
        sought: Sought::Name(name.to_owned()),
        one_of: None,
        name: name.to_owned(),
        labels: Labels::of(labels.iter()),
        reach: Reach::At { host: host.to_owned(), any_port: true, ports: BTreeMap::new() },
        running: true,
        created_secs: 0,
    }
}

fn found(by: &[(&str, &[Sighting])]) -> Found {
    let roster = |(name, seen): &(&str, &[Sighting])| {
        let mut roster = Roster::default();
        roster.take(seen.to_vec(), 100, Timestamp::UNIX_EPOCH);
        ((*name).into(), roster)
    };
    Found { rosters: by.iter().map(roster).collect(), ..Found::default() }
}

fn names(plan: &Plan) -> String {
    plan.services.iter().map(|service| &*service.name).collect::<Vec<_>>().join(" ")
}

/// Everything that is said to be wrong.
fn wrong(plan: &Plan) -> Vec<String> {
    let of_services = plan.found().flat_map(|(_, found)| found.mistakes.clone());
    plan.finds.iter().flat_map(|finds| finds.problems.clone()).chain(of_services).collect()
}

#[test]
fn what_is_written_wins_and_what_two_discoveries_find_is_one_service() {
    let written = plan("services: { db: { checks: { port: { tcp: { address: \"127.0.0.1:5432\" } } } } }");
    let [web, db] = ["web", "db"].map(|name| container(name, "172.17.0.2", "check.port.tcp=:80"));
    let both = written.with_found(&found(&[("docker", &[web.clone(), db]), ("shop", &[web])]), &Kinds::standard());
    assert_eq!(names(&both), "db web");
    assert_eq!(both.finds.iter().map(|finds| finds.services).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(
        wrong(&both),
        [
            "container \"db\": the configuration has a service \"db\", so this one is not watched; write another one as label monitor.name"
        ]
    );
    let clash = [container("one", "172.17.0.2", "name=web"), container("two", "172.17.0.3", "name=web")];
    let one = written.with_found(&found(&[("docker", &clash)]), &Kinds::standard());
    assert_eq!(names(&one), "db web");
    assert!(
        wrong(&one)[0].starts_with("container \"two\": the name \"web\" is that of container \"one\""),
        "{:?}",
        wrong(&one)
    );
    assert_eq!(names(&written), "db", "the file's own plan stays what it was");
}

#[test]
fn several_containers_of_one_compose_service_are_its_replicas() {
    let one = |number: u32| Sighting {
        one_of: Some(OneOf { all: Sought::Labels(vec![("service".into(), "web".into())]), number }),
        name: "web".to_owned(),
        ..container(&format!("shop-web-{number}"), "172.17.0.2", "replicas.quorum=2 about=shop check.port.tcp=:80")
    };
    let written = plan("services: {}");
    let names_of = |seen: &[Sighting]| names(&written.with_found(&found(&[("shop", seen)]), &Kinds::standard()));
    let lone = Sighting { labels: Labels::default(), ..one(1) };
    assert_eq!(names_of(&[lone]), "web");
    assert_eq!(names_of(&[one(1)]), "web web.1", "two must be there");
    assert_eq!(names_of(&[one(2), one(1)]), "web web.1 web.2");
    let three = written.with_found(&found(&[("shop", &[one(1), one(2), one(10)])]), &Kinds::standard());
    assert_eq!((names(&three).as_str(), three.finds[1].services), ("web web.1 web.10 web.2", 1));
    assert_eq!(wrong(&three), Vec::<String>::new());
    let web = three.service("web").unwrap();
    let replicas = web.replicas.clone().unwrap();
    assert_eq!(replicas.names.iter().map(|name| &**name).collect::<Vec<_>>(), ["web.1", "web.2", "web.10"]);
    assert_eq!((replicas.quorum, replicas.are_checked), (2, true));
    assert_eq!((web.about.as_deref(), web.checks.len(), web.workload.is_some()), (Some("shop"), 0, false));
    let second = three.service("web.2").unwrap();
    assert_eq!((second.replica_of.as_ref().map(|one| &*one.whole), second.checks.len()), (Some("web"), 1));
    assert!(!three.alerts.services.contains_key("web.2"), "what is wrong with it is told of the service");
    // Who was removed has no say as long as others are there, and is kept until it is forgotten.
    let mut roster = Roster::default();
    roster.take(vec![one(1), one(2)], 100, Timestamp::UNIX_EPOCH);
    let minute = Duration::from_secs(60);
    for (left, secs, known, votes) in [
        (vec![one(2)], 0, "web web.1 web.2", "web.2"),
        (vec![], 1, "web web.1 web.2", "web.1 web.2"),
        (vec![one(2)], 2, "web web.1 web.2", "web.2"),
        (vec![one(2)], 60, "web web.2", "web.2"),
    ] {
        let now = Timestamp::from_second(secs).unwrap();
        roster.take(left, 100, now);
        roster.forget(minute, now);
        let rosters = [("shop".into(), roster.clone())].into();
        let plan = written.with_found(&Found { rosters, ..Found::default() }, &Kinds::standard());
        let replicas = plan.service("web").unwrap().replicas.clone();
        let voting: Vec<&str> = replicas.iter().flat_map(|replicas| &replicas.names).map(|name| &**name).collect();
        assert_eq!((names(&plan).as_str(), voting.join(" ").as_str()), (known, votes), "at {secs}");
    }
    // A written service that is all of them is not found a second time, whatever it is called.
    let all = Sighting {
        sought: Sought::Labels(vec![
            ("com.docker.compose.project".into(), "shop".into()),
            ("com.docker.compose.service".into(), "web".into()),
            ("com.docker.compose.container-number".into(), "1".into()),
        ]),
        ..one(1)
    };
    let front = plan("services: { front: { workload: { container: { compose: shop/web } } } }");
    let both = front.with_found(&found(&[("shop", &[all])]), &Kinds::standard());
    assert_eq!(names(&both), "front");
    // One that is written down is that one, and no replica.
    let written = plan("services: { first: { workload: { container: shop-web-1 } } }");
    let both = written.with_found(&found(&[("shop", &[one(1), one(2)])]), &Kinds::standard());
    assert_eq!(names(&both), "first web web.2");
}

#[test]
fn the_files_defaults_hold_and_only_a_check_with_a_mistake_is_left_out() {
    let labels =
        "check.a.tcp=:80 check.b.tcp=:81 check.b.every=soon check.c.tcp=:82 check.c.every=30s check.d-.tcp=:83";
    let plan = plan("defaults: { every: 20s }")
        .with_found(&found(&[("docker", &[container("web", "172.17.0.2", labels)])]), &Kinds::standard());
    let checks =
        plan.checks().map(|check| format!("{} {}", check.question.id.check, show_duration(check.cadence.every)));
    assert_eq!(checks.collect::<Vec<_>>(), ["a 20s", "c 30s"]);
    assert_eq!(plan.alerts.services["web"].targets.len(), 2);
    let wrong = wrong(&plan);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(
        wrong[0].starts_with("container \"web\", label monitor.check.b.every: \"soon\" is not a duration"),
        "{wrong:?}"
    );
    assert!(wrong[1].starts_with("container \"web\", label monitor.check.d-.*: check names are 1 to 63"), "{wrong:?}");
}

#[test]
fn needs_that_nobody_can_meet_are_left_out_and_said() {
    let written = plan("services: { db: { checks: { port: { tcp: { address: \"127.0.0.1:5432\" } } } } }");
    let seen = [
        container("web", "172.17.0.2", "needs=db,cashe needs.soft=tempo"),
        container("a", "172.17.0.3", "needs=b"),
        container("b", "172.17.0.4", "needs=a"),
    ];
    let plan = written.with_found(&found(&[("docker", &seen)]), &Kinds::standard());
    let needs: Vec<&str> = plan.service("web").unwrap().needs.all().map(|need| &**need).collect();
    assert_eq!(needs, ["db"]);
    assert_eq!(plan.start_order.len(), 4);
    assert_eq!(
        wrong(&plan),
        [
            "container \"a\", label monitor.needs: these services need each other in a circle: a → b → a; what it needs is left out",
            "container \"web\", label monitor.needs: needs \"cashe\", which is not a service",
            "container \"web\", label monitor.needs: needs \"tempo\", which is not a service",
        ]
    );
}

#[test]
fn a_find_whose_alerts_nobody_would_get_says_so() {
    let routes = "channels: { hook: { webhook: { url: \"http://127.0.0.1:9/\" } } }
routes: [{ match: { service: db }, to: [hook] }, { matchers: ['service=\"\"'], to: [hook] }]";
    let plan =
        plan(routes).with_found(&found(&[("docker", &[container("web", "172.17.0.2", "")])]), &Kinds::standard());
    assert_eq!(
        wrong(&plan),
        [
            "container \"web\": its alerts fit no route and would be lost; add a last route without \"match\" to the configuration"
        ]
    );
}

#[test]
fn what_is_written_under_another_name_is_not_watched_twice() {
    let written = plan(
        "services:
  web: { workload: { container: web } }
  database: { workload: { container: { name: db } } }
  jobs: { workload: { container: shop-jobs-1 } }
  other: { workload: { container: { name: mail, engine: \"unix:///other.sock\" } } }",
    );
    let mut composed = container("shop-jobs-1", "172.17.0.5", "");
    (composed.name, composed.sought) = ("work".to_owned(), Sought::Labels(vec![("a".to_owned(), "b".to_owned())]));
    let [web, db, mail] = ["web", "db", "mail"].map(|name| container(name, "172.17.0.2", "check.port.tcp=:80"));
    let plan = written.with_found(&found(&[("docker", &[web, db, mail, composed])]), &Kinds::standard());
    assert_eq!(names(&plan), "web database jobs other mail", "another engine's is another one");
    let twice = |container: &str, service: &str| {
        format!(
            "container {container:?}: the configuration watches it as the service {service:?}, so it is not watched \
             twice; label it monitor.enable=false"
        )
    };
    assert_eq!(wrong(&plan), [twice("db", "database"), twice("shop-jobs-1", "jobs")]);
    assert_eq!(plan.finds[0].problems.len(), 2);
}

#[test]
fn what_loses_its_address_keeps_its_checks_and_says_why() {
    let mut seen = found(&[("docker", &[container("web", "172.17.0.2", "check.port.tcp=:80")])]);
    let mut astray = container("web", "", "check.port.tcp=:80");
    astray.reach = Reach::Nowhere("it has no address of its own in any network".to_owned());
    seen.rosters.get_mut("docker").unwrap().take(vec![astray], 100, Timestamp::UNIX_EPOCH);
    let plan = plan("services: {}").with_found(&seen, &Kinds::standard());
    let asked: Vec<String> = plan.checks().map(|check| check.question.probe.target().shown).collect();
    assert_eq!(asked, ["172.17.0.2:80"]);
    assert_eq!(
        wrong(&plan),
        ["container \"web\": it has no address of its own in any network; it is asked where it was reached before"]
    );
}

#[test]
fn another_address_asks_elsewhere_and_is_the_same_question() {
    let generation = |host: &str, path: &str| {
        let web = container("web", host, &format!("check.home.http=:80{path}"));
        let plan = plan("services: {}").with_found(&found(&[("docker", &[web])]), &Kinds::standard());
        let check = plan.checks().next().unwrap();
        (check.question.probe.target().shown, check.generation)
    };
    let (here, there, other) =
        (generation("172.17.0.2", "/"), generation("172.17.0.9", "/"), generation("172.17.0.2", "/health"));
    assert_eq!((here.0.as_str(), there.0.as_str()), ("http://172.17.0.2/", "http://172.17.0.9/"));
    assert_eq!(here.1, there.1);
    assert_ne!(here.1, other.1);
}

/// What leads elsewhere in URLs and addresses, now and then a whole one.
fn sly() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("http://10.0.0.1/".to_owned()),
        Just("//10.0.0.1".to_owned()),
        Just("@10.0.0.1:80".to_owned()),
        Just("127.0.0.1:8888".to_owned()),
        Just("[::1]".to_owned()),
        Just(":80".to_owned()),
        "[:/@\\\\.?#%&=a-z0-9 \t\r\n\\[\\]-]{0,6}",
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn label() -> impl Strategy<Value = (&'static str, String)> {
    let keys = ["check.a.http", "check.a.port", "check.b.tcp", "check.b.port", "check.c.http", "name"];
    (proptest::sample::select(keys.to_vec()), sly())
}

proptest! {
    #[test]
    fn whatever_labels_say_only_their_own_container_is_asked(labels in proptest::collection::vec(label(), 1..6)) {
        let mut web = container("web", "172.17.0.2", "");
        web.labels.values.extend(labels.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let plan = plan("services: {}").with_found(&found(&[("docker", &[web])]), &Kinds::standard());
        for check in plan.checks() {
            let target = check.question.probe.target().shown;
            let address = target.strip_prefix("http://").unwrap_or(&target);
            let end = address.find([':', '/', '?', '#']).unwrap_or(address.len());
            prop_assert_eq!(&address[..end], "172.17.0.2", "{:?} asks {}", labels, target);
        }
    }
}
