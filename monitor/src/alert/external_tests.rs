//! Alerts from elsewhere as tables: what is posted, what follows.

use kit::clock::Moment;

use super::super::condition::{Condition, Holds};
use super::super::external_conditions::GRACE;
use super::super::verdicts::ServiceAlerts;
use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + secs).unwrap()
}

fn stamp(secs: i64) -> Stamp {
    Stamp { at: Moment::from_ms(secs * 1000), wall: at(secs) }
}

fn posted(labels: &[(&str, &str)], ends: Option<i64>) -> Posted {
    Posted {
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        annotations: [("summary".to_owned(), "it smells".to_owned())].into(),
        starts_at: Some(at(0)),
        ends_at: ends.map(at),
        generator_url: Some("javascript:alert(1)".to_owned()),
    }
}

fn services() -> ServicesAlerts {
    [("web".into(), ServiceAlerts::standard(true))].into()
}

#[test]
fn an_alert_is_over_when_its_source_says_so_and_unclear_when_that_is_silent() {
    let mut externals = Externals::default();
    let labels = [("alertname", "Smell"), ("severity", "critical")];
    let Taken::Changed(alert) = externals.take(posted(&labels, Some(240)), at(0)).unwrap() else { panic!("new") };
    assert_eq!((alert.severity(), alert.generator_url.as_deref()), (Severity::Page, None));
    assert_eq!(externals.take(posted(&labels, Some(300)), at(60)).unwrap(), Taken::Repeated);
    let holds = |externals: &Externals, secs| {
        let mut conditions = Vec::new();
        externals.join(&mut conditions, &services(), stamp(secs));
        conditions.first().map(|condition| condition.holds)
    };
    assert_eq!(holds(&externals, 299), Some(Holds::Yes));
    assert_eq!(holds(&externals, 301), Some(Holds::Unclear));
    assert!(externals.give_up(stamp(300 + 86_000)).is_empty());
    assert!(externals.seen().is_empty());
    assert_eq!(externals.take(posted(&labels, Some(400)), at(500)).unwrap(), Taken::Over(alert.fingerprint));
    assert_eq!(holds(&externals, 501), None);
}

#[test]
fn what_begins_and_ends_between_two_looks_is_looked_at_once_whatever_restarts() {
    let mut externals = Externals::default();
    let labels = [("alertname", "Smell")];
    externals.take(posted(&labels, None), at(1)).unwrap();
    let Taken::Changed(alert) = externals.take(posted(&labels, Some(2)), at(2)).unwrap() else { panic!("news") };
    assert_eq!(externals.take(posted(&labels, Some(2)), at(2)).unwrap(), Taken::Repeated);
    let stored = serde_json::to_string(&alert).unwrap();
    let mut restarted = Externals::default();
    restarted.adopt(vec![serde_json::from_str(&stored).unwrap()], at(3));
    for mut externals in [externals, restarted] {
        let mut conditions = Vec::new();
        externals.join(&mut conditions, &services(), stamp(3));
        assert_eq!(conditions.len(), 1);
        assert_eq!(externals.seen(), std::slice::from_ref(&alert.fingerprint));
        assert_eq!((externals.all().count(), externals.seen().len()), (0, 0));
    }
}

#[test]
fn alerts_about_a_watched_service_are_one_condition_with_its_own() {
    let mut externals = Externals::default();
    externals.take(posted(&[("alertname", "Slow"), ("service", "web"), ("severity", "warning")], None), at(0)).unwrap();
    externals
        .take(posted(&[("alertname", "Gone"), ("service", "web"), ("severity", "critical")], None), at(1))
        .unwrap();
    externals.take(posted(&[("alertname", "Other"), ("service", "unknown")], None), at(1)).unwrap();
    let mut conditions = Vec::new();
    externals.join(&mut conditions, &services(), stamp(2));
    let keys: Vec<(&str, &str, Severity)> =
        conditions.iter().map(|c| (&c.key[..6], c.name.as_str(), c.severity)).collect();
    assert_eq!(keys, [("alert:", "Other", Severity::Ticket), ("servic", "Gone", Severity::Page)]);
    assert_eq!(conditions[1].description, "Also firing: Slow: it smells");
    let mut own = vec![Condition::new("service:web", "ServiceDown", Severity::Page, "web is down")];
    externals.join(&mut own, &services(), stamp(2));
    assert_eq!((own.len(), own[0].name.as_str()), (2, "ServiceDown"));
    assert_eq!(own[0].description, "Also firing: Gone: it smells; Slow: it smells.");
}

#[test]
fn the_trace_in_which_it_went_wrong_is_taken_over_if_it_is_one_and_we_have_none_of_our_own() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let zeros = "0".repeat(32);
    for (given, taken) in [(TRACE, TRACE), ("0AF7", ""), (&TRACE.to_uppercase(), ""), (&zeros, "")] {
        let mut externals = Externals::default();
        let mut told = posted(&[("alertname", "SignInFails"), ("service", "web")], None);
        told.annotations.insert("trace_id".to_owned(), given.to_owned());
        externals.take(told, at(0)).unwrap();
        externals
            .take(posted(&[("alertname", "Slow"), ("service", "web"), ("severity", "critical")], None), at(0))
            .unwrap();
        let joined = |own: Option<&str>| {
            let condition = |trace: &str| {
                let mut own = Condition::new("service:web", "ServiceDown", Severity::Page, "web is down");
                own.evidence.trace_id = trace.to_owned();
                own
            };
            let mut conditions: Vec<Condition> = own.map(condition).into_iter().collect();
            externals.join(&mut conditions, &services(), stamp(1));
            conditions.remove(0).evidence.trace_id
        };
        assert_eq!([joined(None), joined(Some("")), joined(Some("ours"))], [taken, taken, "ours"], "{given}");
    }
}

#[test]
fn what_fires_to_show_that_its_source_is_there_is_listed_and_no_trouble() {
    let mut externals = Externals::default();
    externals
        .take(posted(&[("alertname", "Watchdog"), ("severity", "none"), ("service", "web")], None), at(0))
        .unwrap();
    let mut conditions = Vec::new();
    externals.join(&mut conditions, &services(), stamp(1));
    assert!(conditions.is_empty(), "{conditions:?}");
    assert!(externals.told(&services(), stamp(1)).is_empty());
    assert_eq!(externals.all().count(), 1);
}

#[test]
fn a_source_whose_clock_is_a_little_ahead_can_end_its_alert_and_a_clock_that_is_set_ends_none() {
    let mut externals = Externals::default();
    let labels = [("alertname", "Smell")];
    externals.take(posted(&labels, None), at(0)).unwrap();
    externals.seen();
    assert!(matches!(externals.take(posted(&labels, Some(61)), at(60)).unwrap(), Taken::Over(_)));
    externals.take(posted(&labels, None), at(100)).unwrap();
    let set = |secs: i64, ahead: i64| Stamp { at: Moment::from_ms(secs * 1000), wall: at(secs + ahead) };
    assert!(externals.give_up(set(100, 0)).is_empty());
    assert!(externals.give_up(set(160, 10 * 86_400)).is_empty(), "ten days by the wall, a minute for us");
    assert_eq!(externals.give_up(set(160 + 86_500 + 300, 10 * 86_400)).len(), 1);
}

#[test]
fn what_is_said_of_a_service_by_its_old_name_is_said_of_it() {
    let mut externals = Externals::default();
    externals.take(posted(&[("alertname", "Slow"), ("service", "shop")], None), at(0)).unwrap();
    let keys = |externals: &Externals| -> Vec<String> { externals.all().map(|alert| alert.key(&services())).collect() };
    assert!(keys(&externals)[0].starts_with("alert:"));
    externals.rename("shop", "store");
    externals.rename("store", "web");
    assert_eq!(keys(&externals), ["service:web"]);
    externals.take(posted(&[("alertname", "Gone"), ("service", "store")], None), at(1)).unwrap();
    assert_eq!(keys(&externals), ["service:web"; 2]);
}

#[test]
fn what_is_said_of_a_service_that_looks_well_stands_where_the_service_stands() {
    let mut externals = Externals::default();
    externals.take(posted(&[("alertname", "Errors"), ("service", "web")], None), at(1)).unwrap();
    assert_eq!(externals.told(&services(), stamp(5)), [("web".into(), Moment::from_ms(0))].into());
    let placed = |key: &str| Condition {
        holds: Holds::No,
        needs: vec!["db".into()],
        roots: vec!["db".into()],
        vouched: false,
        impacted: vec!["shop".to_owned()],
        ..Condition::new(key, "", Severity::Notice, "")
    };
    let mut conditions = vec![placed("service:web"), placed("service:other")];
    externals.join(&mut conditions, &services(), stamp(5));
    let [web] = conditions.as_slice() else { panic!("only what is said: {conditions:?}") };
    assert_eq!((web.name.as_str(), web.holds, web.vouched), ("Errors", Holds::Yes, false));
    assert_eq!((&*web.roots[0], web.impacted.as_slice(), web.grace), ("db", &["shop".to_owned()][..], GRACE));
}

#[test]
fn what_is_wrong_with_an_alert_is_said() {
    let mut externals = Externals::default();
    let refused =
        |externals: &mut Externals, labels: &[(&str, &str)]| externals.take(posted(labels, None), at(0)).unwrap_err();
    assert_eq!(refused(&mut externals, &[]), "an alert needs at least one label with a value");
    assert_eq!(refused(&mut externals, &[("a", "")]), "an alert needs at least one label with a value");
    let long = "x".repeat(5000);
    assert_eq!(refused(&mut externals, &[("a", &long)]), "the label \"a\" has 5000 bytes, more than 4096");
}
