//! Services that are several workloads, on the board.

use std::sync::Arc;

use crate::judge::announcement::Announcement;
use crate::judge::board::Board;
use crate::judge::board::tests::{at, board, check, ended, feed, observation, spec, started};
use crate::judge::entry::ServiceSpec;
use crate::judge::policy::Severity;
use crate::judge::replicas::{ReplicaOf, Replicas};
use crate::judge::verdict::Verdict;
use crate::probe::CheckId;

/// A service that is two replicas; its check asks it as a whole, and one of them must work.
fn replicated() -> Board {
    let names: Vec<Arc<str>> = ["web.1", "web.2"].map(Into::into).to_vec();
    let whole = ServiceSpec {
        replicas: Some(Replicas { names: names.clone(), quorum: 1, are_checked: false }),
        ..spec("web", &[], None)
    };
    let one_of = ReplicaOf { whole: "web".into(), asked_with: Some(vec!["web".into()]) };
    let replica = |name: &Arc<str>| ServiceSpec {
        checks: Vec::new(),
        replica_of: Some(one_of.clone()),
        ..spec(name, &[], Some(60))
    };
    let dependant = spec("front", &["web"], None);
    board([whole].into_iter().chain(names.iter().map(replica)).chain([dependant]).collect())
}

#[test]
fn replicas_that_only_their_service_is_asked_for_have_their_start_too() {
    let mut board = replicated();
    for name in ["web.1", "web.2"] {
        board.runtime(&started(name, at(0)), at(0));
    }
    // Nine fails in a row are no outage of what starts; the first pass ends that, and the next fails are one.
    let changes = feed(&mut board, "web", "xxxx..", 1);
    assert_eq!(changes, ["unknown@4", "unknown@4", "up@4"], "that they run is all that is known of each");
    assert!(board.service("web.1").unwrap().is_ready());
    assert_eq!(feed(&mut board, "web", "xx", 61), ["down@1"]);
    feed(&mut board, "web", "..", 81);
    // One of two that starts anew takes nothing away; both do.
    board.runtime(&ended("web.1", at(0), at(100), true), at(100));
    board.runtime(&started("web.1", at(101)), at(101));
    assert_eq!(feed(&mut board, "web", "xx", 102), ["down@1"], "the other one ran on, and fails");
    feed(&mut board, "web", "..", 122);
    for (name, run_of) in [("web.1", 101), ("web.2", 0)] {
        board.runtime(&ended(name, at(run_of), at(150), true), at(150));
        board.runtime(&started(name, at(151)), at(151));
    }
    assert_eq!(board.service("web").unwrap().verdict, Verdict::Starting);
    assert_eq!(feed(&mut board, "web", "xxx", 152), Vec::<String>::new());
    board.tick(at(212));
    assert_eq!(feed(&mut board, "web", "xx", 213), ["down@1"], "in the end its time is over");
}

#[test]
fn what_is_announced_of_a_service_holds_for_its_replicas_and_for_those_that_come_later() {
    let mut board = replicated();
    let announcement = |secs: i64| Announcement {
        at: at(secs).wall,
        until: at(secs + 600).wall,
        by: "ops".to_owned(),
        why: String::new(),
    };
    assert!(board.announce("web", Some(announcement(0))));
    let until = |board: &Board, name: &str| board.service(name).unwrap().announced.as_ref().map(|known| known.until);
    assert_eq!(until(&board, "web.2"), Some(at(600).wall));
    let mut specs: Vec<ServiceSpec> = board.services().iter().map(|service| service.spec.clone()).collect();
    let third = ServiceSpec { name: "web.3".into(), ..specs[1].clone() };
    specs[0].replicas.as_mut().unwrap().names.push("web.3".into());
    specs.push(third);
    board.configure(specs, at(10), |_| None);
    assert_eq!(until(&board, "web.3"), Some(at(600).wall));
    board.announce("web", None);
    assert_eq!(until(&board, "web.3"), None);
}

#[test]
fn replicas_that_die_together_are_one_services_trouble_and_no_host_event() {
    let names: Vec<Arc<str>> = ["web.1", "web.2", "web.3"].map(Into::into).to_vec();
    let whole = ServiceSpec {
        checks: Vec::new(),
        replicas: Some(Replicas { names: names.clone(), quorum: 1, are_checked: true }),
        ..spec("web", &[], None)
    };
    let one_of = ReplicaOf { whole: "web".into(), asked_with: None };
    let replica = |name: &Arc<str>| ServiceSpec { replica_of: Some(one_of.clone()), ..spec(name, &[], Some(60)) };
    let others = ["a", "b"].map(|name| spec(name, &[], Some(60)));
    let mut board = board([whole].into_iter().chain(names.iter().map(replica)).chain(others).collect());
    for (second, name) in (0..).zip(["web.1", "web.2", "web.3", "a", "b"]) {
        board.runtime(&started(name, at(second)), at(second));
    }
    let mut excused = Vec::new();
    for (second, name) in (0..).zip(["web.1", "web.2", "web.3"]) {
        excused.extend(board.runtime(&ended(name, at(second), at(100 + second), false), at(100 + second)).excused);
    }
    assert_eq!(excused, []);
}

#[test]
fn what_is_asked_of_replicas_alone_decides_about_their_service() {
    let mut board = replicated();
    let asked = |board: &Board, name: &str| {
        let service = board.service(name).unwrap();
        board.deciding(service).iter().map(|check| check.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(asked(&board, "web"), ["web/web"]);
    let mut specs: Vec<ServiceSpec> = board.services().iter().map(|service| service.spec.clone()).collect();
    specs[0].checks.clear();
    specs[0].replicas.as_mut().unwrap().are_checked = true;
    for replica in &mut specs[1..3] {
        replica.checks = vec![check("web", Severity::Critical)];
        replica.replica_of.as_mut().unwrap().asked_with = None;
    }
    board.configure(specs, at(0), |_| None);
    assert_eq!(asked(&board, "web"), ["web.1/web", "web.2/web"]);
    // The first fail of who needs it asks them at once.
    let id = CheckId::new("front", "web");
    let started = board.next_sequence();
    let effects = board.observe(observation(&id, 'x', at(1)), started, at(1));
    let forced: Vec<String> = effects.force.iter().map(ToString::to_string).collect();
    assert_eq!(forced, ["web.1/web", "web.2/web"]);
}
