//! Incidents and messages as tables: what happens in the world, and what a person is told.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use uuid::Uuid;

use super::matcher::Matcher;
use super::route::{Hours, Route, Step};
use super::silence::Silence;
use super::world::{Truth, World};
use super::world_receiver::Receiver;
use crate::supervise::{Event, Who};

pub(super) fn silence(world: &World, matcher: &str, secs: i64) -> Silence {
    let now = world.stamp().wall;
    Silence {
        id: Uuid::from_u128(9),
        matchers: vec![Matcher::parse(matcher).unwrap()],
        from: now,
        until: now.checked_add(SignedDuration::from_secs(secs)).unwrap(),
        by: "ada".to_owned(),
        comment: String::new(),
    }
}

#[test]
fn an_outage_is_one_page_and_one_end() {
    let mut world = World::new("web");
    world.pass(60);
    world.set("web", Truth::Down);
    world.pass(300);
    world.set("web", Truth::Up);
    world.pass(120);
    assert_eq!(world.said("ops"), ["page web", "resolved web"]);
}

#[test]
fn a_blip_is_told_to_nobody_and_a_restart_of_the_monitor_is_no_news() {
    let mut world = World::new("web api");
    world.pass(60);
    world.set("web", Truth::Down);
    world.pass(3);
    world.set("web", Truth::Up);
    world.set("api", Truth::Down);
    world.pass(60);
    world.restart();
    world.pass(60);
    world.restart();
    world.set("api", Truth::Up);
    world.pass(60);
    world.restart();
    world.pass(60);
    assert_eq!(world.said("ops"), ["page api", "resolved api"]);
}

#[test]
fn being_slow_is_a_ticket_when_it_lasts_and_becomes_a_page_when_it_fails() {
    let mut world = World::new("web");
    world.pass(30);
    world.set("web", Truth::Slow);
    world.pass(40);
    world.set("web", Truth::Up);
    world.pass(60);
    assert!(world.said("ops").is_empty());
    world.set("web", Truth::Slow);
    world.pass(120);
    assert_eq!(world.said("ops"), ["ticket web"]);
    world.set("web", Truth::Down);
    world.pass(60);
    world.set("web", Truth::Up);
    world.pass(60);
    assert_eq!(world.said("ops"), ["ticket web", "worsened web", "resolved web"]);
}

#[test]
fn the_database_is_named_and_fifty_dependants_are_listed_not_paged() {
    let needing: String = (0..50).map(|number| format!(" app{number}:db@5")).collect();
    let mut world = World::new(&format!("db@60{needing}"));
    world.pass(62);
    // Just after its probe: its dependants notice first.
    let everything: Vec<String> = world.services.iter().map(|service| service.name.to_string()).collect();
    everything.iter().for_each(|name| world.set(name, Truth::Down));
    world.pass(180);
    let ops = world.ops();
    assert_eq!(ops.messages.len(), 1, "{:?}", world.said("ops"));
    let part = &world.ops().messages[0].alerts[0];
    assert_eq!((part.service.as_deref(), part.impacted.len()), (Some("db"), 50));
    everything.iter().for_each(|name| world.set(name, Truth::Up));
    world.pass(180);
    assert_eq!(world.said("ops"), ["page db", "resolved db"]);
}

#[test]
fn a_dependant_that_stays_broken_after_its_root_recovered_is_paged_by_itself() {
    let mut world = World::new("db web:db");
    world.pass(30);
    world.set("db", Truth::Down);
    world.set("web", Truth::Down);
    world.pass(120);
    world.set("db", Truth::Up);
    world.pass(120);
    assert_eq!(world.said("ops"), ["page db", "resolved db", "page web"]);
}

#[test]
fn a_dependant_whose_needs_answer_is_paged_without_waiting_for_the_whole_hold() {
    let mut world = World::new("db web:db");
    world.pass(30);
    world.set("web", Truth::Down);
    world.pass(18);
    assert_eq!(world.said("ops"), ["page web"]);
}

#[test]
fn a_silenced_or_undeliverable_root_suppresses_nobody() {
    let mut world = World::new("db web:db");
    world.pass(30);
    world.suppression.silences.push(silence(&world, "service=db", 3600));
    world.set("db", Truth::Down);
    world.set("web", Truth::Down);
    world.pass(120);
    assert_eq!(world.said("ops"), ["page web"]);

    let mut world = World::new("db web:db");
    let for_db =
        Route { matchers: vec![Matcher::equal("service", "db")], to: vec!["pager".to_owned()], ..Route::default() };
    world.routes.0.insert(0, for_db);
    world.receivers.insert("pager".to_owned(), Receiver::that_refuses());
    world.pass(30);
    world.set("db", Truth::Down);
    world.set("web", Truth::Down);
    world.pass(120);
    assert_eq!(world.said("ops"), ["page web"]);
}

#[test]
fn what_is_silenced_is_told_when_the_silence_ends_if_it_is_still_true() {
    let mut world = World::new("web api");
    world.pass(30);
    world.suppression.silences.push(silence(&world, "service=~\"web|api\"", 300));
    world.set("web", Truth::Down);
    world.set("api", Truth::Down);
    world.pass(100);
    world.set("api", Truth::Up);
    world.pass(150);
    assert!(world.said("ops").is_empty());
    world.pass(100);
    assert_eq!(world.said("ops"), ["page web"]);
}

#[test]
fn what_worsens_during_a_silence_while_a_message_is_on_its_way_is_told_when_the_silence_ends() {
    let mut world = World::new("web");
    world.ops().is_away = true;
    world.set("web", Truth::Slow);
    world.pass(90);
    world.suppression.silences.push(silence(&world, "service=web", 120));
    world.set("web", Truth::Down);
    world.pass(30);
    world.ops().is_away = false;
    world.pass(300);
    assert_eq!(world.said("ops"), ["ticket web", "page web"]);
}

#[test]
fn an_end_is_told_even_during_a_silence_to_whoever_knows_of_the_beginning() {
    let mut world = World::new("web");
    world.pass(30);
    world.set("web", Truth::Down);
    world.pass(60);
    world.suppression.silences.push(silence(&world, "service=web", 3600));
    world.set("web", Truth::Up);
    world.pass(60);
    assert_eq!(world.said("ops"), ["page web", "resolved web"]);
}

#[test]
fn what_went_out_from_memory_and_was_forgotten_in_a_crash_does_not_hide_the_end() {
    let mut world = World::new("web");
    world.set("web", Truth::Down);
    world.pass(60);
    world.acknowledge(0);
    world.disk.breaks();
    world.set("web", Truth::Wrong);
    world.pass(60);
    world.set("web", Truth::Up);
    world.restart();
    world.mend_disk();
    world.pass(60);
    assert_eq!(world.said("ops"), ["page web", "worsened web", "resolved web"]);
}

#[test]
fn a_receiver_that_was_away_hears_beginning_and_end_in_order() {
    let mut world = World::new("web");
    world.pass(30);
    world.ops().is_away = true;
    world.set("web", Truth::Down);
    world.pass(300);
    world.set("web", Truth::Up);
    world.pass(300);
    world.restart();
    world.pass(30);
    world.ops().is_away = false;
    world.pass(90);
    assert_eq!(world.said("ops"), ["page web", "resolved web"]);
    let late = &world.ops().messages[0];
    assert!(late.late_secs.is_some_and(|secs| secs > 500), "{late:?}");
    assert!(late.title.contains("(meanwhile: works again after"), "{}", late.title);
}

#[test]
fn after_an_outage_of_the_receiver_many_pages_are_one_digest_and_old_news_is_a_notice() {
    let mut world = World::new("a b c d e f g");
    let all = ["a", "b", "c", "d", "e", "f", "g"];
    world.pass(30);
    world.ops().is_away = true;
    all.iter().for_each(|name| world.set(name, Truth::Down));
    world.pass(120);
    all.iter().for_each(|name| world.set(name, Truth::Up));
    world.pass(1200);
    world.ops().is_away = false;
    world.pass(120);
    let messages = world.ops().messages.clone();
    assert!(messages.len() <= 3, "{:?}", world.said("ops"));
    assert!(messages.iter().all(|message| message.severity == super::message::Severity::Notice), "{messages:?}");
    assert!(world.ops().open.is_empty());
}

#[test]
fn flapping_pages_at_once_keeps_the_incident_open_and_says_so() {
    let mut world = World::new("web");
    world.pass(30);
    for _ in 0..12 {
        world.set("web", Truth::Down);
        world.pass(40);
        world.set("web", Truth::Up);
        world.pass(60);
    }
    let said = world.said("ops");
    assert_eq!(said.first().map(String::as_str), Some("page web"));
    assert!(said.len() <= 7, "{said:?}");
    assert!(!world.ops().open.is_empty(), "still open while it comes and goes");
    world.pass(1200);
    assert_eq!(world.said("ops").last().map(String::as_str), Some("resolved web"));
    assert!(world.ops().open.is_empty());
}

#[test]
fn an_open_incident_is_said_again_after_four_hours_and_then_every_twelve_until_somebody_takes_it() {
    let mut world = World::new("web");
    world.pass(30);
    world.set("web", Truth::Down);
    world.pass_quickly(4 * 3600 + 60);
    assert_eq!(world.said("ops"), ["page web", "reminder web"]);
    world.pass_quickly(12 * 3600 + 60);
    assert_eq!(world.said("ops").len(), 3);
    let id = world.desk.open().next().unwrap().id;
    let now = world.stamp().wall;
    world.desk.acknowledge(id, "ada", "on it", now).unwrap();
    world.pass_quickly(24 * 3600);
    assert_eq!(world.said("ops").len(), 3);
}

#[test]
fn nobody_took_it_so_more_people_are_told_and_all_of_them_hear_the_end() {
    let mut world = World::new("web");
    world.routes.0[0].escalate = vec![Step { after: Duration::from_secs(900), to: vec!["boss".to_owned()] }];
    world.receivers.insert("boss".to_owned(), Receiver::default());
    world.pass(30);
    world.set("web", Truth::Down);
    world.pass_quickly(880);
    assert!(world.said("boss").is_empty());
    world.pass_quickly(60);
    assert_eq!(world.said("boss"), ["escalated web"]);
    world.set("web", Truth::Up);
    world.pass(60);
    assert_eq!(world.said("boss"), ["escalated web", "resolved web"]);
    assert_eq!(world.said("ops"), ["page web", "resolved web"]);
}

#[test]
fn out_of_hours_a_message_waits_until_people_work() {
    let mut world = World::new("web");
    // The world begins on Friday 15 January 2027 at 08:00 UTC.
    let nine =
        super::calendar::Recurrence::parse("Mon-Fri 09:00", Duration::from_secs(8 * 3600), jiff::tz::TimeZone::UTC);
    world.routes.0[0].hours = Some(Hours { name: "office".to_owned(), times: vec![nine.unwrap()] });
    world.set("web", Truth::Down);
    world.pass_quickly(3500);
    assert!(world.said("ops").is_empty());
    world.pass_quickly(200);
    assert_eq!(world.said("ops"), ["page web"]);
}

#[test]
fn what_cannot_be_seen_is_one_page_and_never_moves_a_service() {
    let mut world = World::new("a b c");
    world.pass(30);
    ["a", "b", "c"].iter().for_each(|name| world.set(name, Truth::Hidden));
    world.pass(600);
    assert_eq!(world.said("ops"), ["page MonitorBlind"]);
    ["a", "b", "c"].iter().for_each(|name| world.set(name, Truth::Up));
    world.pass(60);
    assert_eq!(world.said("ops"), ["page MonitorBlind", "resolved MonitorBlind"]);
}

#[test]
fn what_else_goes_out_of_sight_is_told_though_somebody_has_taken_the_first() {
    let mut world = World::new("a b c");
    world.pass(30);
    world.set("a", Truth::Hidden);
    world.pass(600);
    let id = world.desk.open().next().unwrap().id;
    let now = world.stamp().wall;
    world.desk.acknowledge(id, "ada", "", now).unwrap();
    world.set("b", Truth::Hidden);
    world.pass(600);
    let incident = world.desk.open().next().unwrap();
    assert_eq!((incident.id, &incident.acknowledged, &incident.service), (id, &None, &None));
    assert!(incident.title.starts_with("the monitor cannot see 2 services"), "{}", incident.title);
    assert!(!incident.labels.contains_key("service"), "a silence of a is none of b: {:?}", incident.labels);
    // As long as it was about one service, it could be routed to whoever looks after that.
    assert_eq!(world.said("ops"), ["page a", "worsened MonitorBlind"]);
}

#[test]
fn something_milder_that_is_said_elsewhere_ends_no_page_while_we_cannot_look() {
    let mut world = World::new("web");
    world.pass(30);
    world.set("web", Truth::Down);
    world.pass(60);
    world.post(&[("alertname", "Slow"), ("service", "web"), ("severity", "warning")], 100_000);
    world.set("web", Truth::Hidden);
    world.pass(100);
    assert_eq!(world.said("ops"), ["page web"]);
    world.set("web", Truth::Up);
    world.pass(60);
    assert_eq!(world.said("ops"), ["page web", "resolved web", "ticket web"]);
}

#[test]
fn a_service_that_is_not_watched_any_more_is_withdrawn() {
    let mut world = World::new("web api");
    world.pass(30);
    world.set("web", Truth::Down);
    world.pass(60);
    world.services.retain(|service| &*service.name != "web");
    world.configure();
    world.pass(10);
    assert_eq!(world.said("ops"), ["page web", "resolved web"]);
    assert!(world.ops().messages[1].title.starts_with("web: is not watched any more"));
}

#[test]
fn a_renamed_service_keeps_its_open_incident_and_its_end_is_told() {
    let mut world = World::new("db shop:db web:shop");
    world.pass(30);
    ["shop", "web"].iter().for_each(|name| world.set(name, Truth::Down));
    world.pass(120);
    let before = world.desk.open().next().unwrap().clone();
    world.services[2].needs = vec!["store".into()];
    world.rename("shop", "store");
    world.pass(60);
    let open: Vec<_> = world.desk.open().cloned().collect();
    assert_eq!((open.len(), open[0].id, open[0].service.as_deref()), (1, before.id, Some("store")));
    assert_eq!(open[0].labels["service"], "store");
    assert_eq!(open[0].title, before.title.replace("shop", "store"));
    world.restart();
    ["store", "web"].iter().for_each(|name| world.set(name, Truth::Up));
    world.pass(60);
    assert_eq!(world.said("ops"), ["page shop", "resolved store"]);
}

#[test]
fn whoever_sets_the_clock_makes_no_reminder_and_no_escalation_early_or_late() {
    for hours in [-5, 5] {
        let mut world = World::new("web");
        world.routes.0[0].escalate = vec![Step { after: Duration::from_secs(900), to: vec!["boss".to_owned()] }];
        world.receivers.insert("boss".to_owned(), Receiver::default());
        world.pass(30);
        world.set("web", Truth::Down);
        world.pass_quickly(600);
        world.clock_ahead = SignedDuration::from_hours(hours);
        world.pass_quickly(280);
        assert_eq!((world.said("ops").len(), world.said("boss").len()), (1, 0), "{hours}");
        world.pass_quickly(60);
        assert_eq!(world.said("boss"), ["escalated web"], "{hours}");
        world.pass_quickly(4 * 3600 - 1200);
        assert_eq!(world.said("ops"), ["page web"], "{hours}");
        world.pass_quickly(300);
        assert_eq!(world.said("ops"), ["page web", "reminder web"], "{hours}");
    }
}

#[test]
fn what_flapped_and_is_only_slow_now_is_no_page_any_more() {
    let mut world = World::new("web");
    for _ in 0..6 {
        world.set("web", Truth::Down);
        world.pass(11);
        world.set("web", Truth::Up);
        world.pass(21);
    }
    world.set("web", Truth::Slow);
    world.pass(2400);
    assert!(world.paged("ops").is_empty(), "{:?}", world.said("ops"));
    assert_eq!(world.said("ops").last().map(String::as_str), Some("ticket web"));
}

#[test]
fn what_is_given_up_for_six_hours_is_one_incident_with_one_page() {
    let mut world = World::new("web");
    world.start_grace = Some(Duration::from_secs(60));
    world.configure();
    let (web, run, by) = (Arc::<str>::from("web"), Uuid::now_v7(), Who::Us);
    let began = Event::Started { service: web.to_string(), run, pid: None, by, adopted: false, stamp: world.stamp() };
    world.board.runtime(&began, world.stamp());
    world.pass(60);
    world.set("web", Truth::Down);
    world.pass(200);
    world.board.give_up(&web, Some("two heals did not help".to_owned()), world.stamp());
    world.pass(6 * 3600);
    let told = ["page web", "worsened web", "reminder web"];
    assert_eq!(world.said("ops"), told, "what changed is told of the same incident");
    world.board.give_up(&web, None, world.stamp());
    world.set("web", Truth::Up);
    world.pass(600);
    assert_eq!(world.said("ops").last().map(String::as_str), Some("resolved web"));
}
