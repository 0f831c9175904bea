//! What is found by itself and not watched as it wants to be, as conditions: one ticket for each discovery, not repeated.
//! Pure.

use std::time::Duration;

use super::condition::Condition;
use super::message::{Evidence, Severity};
use crate::supervise::discovery::Finds;
use crate::supervise::redact;

/// A mistake must last this long: while one container takes another's place both may want one name, or neither has an
/// address. As long as for disagreements.
const WRONG_FOR: Duration = Duration::from_secs(120);
/// Of what is wrong so much is written down; the rest is on the page.
const MAX_SAID: usize = 20;
/// What tickets of discoveries are caused by.
const CAUSE: &str = "discovery_mistakes";

/// Returns what is wrong with finds: mistakes in labels, what is left out.
pub(super) fn mistakes(finds: &[Finds]) -> impl Iterator<Item = Condition> {
    finds.iter().filter_map(of)
}

fn of(finds: &Finds) -> Option<Condition> {
    let (since, wrong): (_, Vec<&String>) = (finds.wrong_since?, finds.wrong().collect());
    let (first, name) = (redact(wrong.first()?), &finds.discovery);
    let title = match wrong.len() {
        1 => format!("what discover.{name} finds is not watched as wanted: {first}"),
        several => format!("what discover.{name} finds is not watched as wanted, in {several} ways: {first}"),
    };
    let mut condition = Condition::new(format!("discovery:{name}"), "DiscoveryMistakes", Severity::Ticket, title);
    condition.description =
        redact(&wrong.iter().take(MAX_SAID).map(|text| text.as_str()).collect::<Vec<_>>().join("\n"));
    CAUSE.clone_into(&mut condition.cause);
    (condition.since, condition.after, condition.reminded) = (since, WRONG_FOR, false);
    condition.evidence = Evidence { reason: first, ..Evidence::default() };
    // A check that goes because of a new mistake is news, though there is a ticket.
    condition.joined = finds.mistakes.keys().map(ToString::to_string).collect();
    condition.tells_of_joins = true;
    Some(condition)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use jiff::Timestamp;
    use kit::clock::{Moment, Stamp};

    use super::super::condition::Holds;
    use super::super::verdicts::{ServicesAlerts, conditions};
    use super::*;
    use crate::judge::Board;

    /// A discovery that is blind, or wrong in these ways, each `service text`, since the tenth second.
    fn finds(blind: Option<&str>, problems: &[&str], mistakes: &[(&str, &str)]) -> Finds {
        let since = Moment::from_ms(10_000);
        let mut finds = Finds {
            discovery: "docker".into(),
            address: "unix:///var/run/docker.sock".to_owned(),
            looks_for: "containers".to_owned(),
            services: 2,
            left_out: 0,
            blind: blind.map(str::to_owned),
            blind_since: blind.map(|_| since),
            problems: problems.iter().map(|text| (*text).to_owned()).collect(),
            mistakes: mistakes.iter().map(|(name, text)| ((*name).into(), vec![(*text).to_owned()])).collect(),
            wrong_since: None,
        };
        finds.wrong_since = finds.is_wrong().then_some(since);
        finds
    }

    fn found(finds: &[Finds], secs: i64) -> Vec<Condition> {
        let now = Stamp { at: Moment::from_ms(secs * 1000), wall: Timestamp::UNIX_EPOCH };
        conditions(&Board::default(), &ServicesAlerts::new(), finds, &HashMap::new(), now)
    }

    #[test]
    fn whatever_is_wrong_with_one_discovery_is_one_ticket_that_tells_of_further_services() {
        let problem = "3 more are there than the limit of 2 and are not watched; raise discover.docker.limit";
        let mistake = "container \"web\", label monitor.check.a.htp: no such label";
        let one = &found(&[finds(None, &[], &[("web", mistake)])], 20)[0];
        assert_eq!(one.title, format!("what discover.docker finds is not watched as wanted: {mistake}"));
        let found = found(&[finds(None, &[problem], &[("web", mistake)]), finds(None, &[], &[])], 20);
        let [both] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            (both.key.as_str(), both.name.as_str(), both.severity),
            ("discovery:docker", "DiscoveryMistakes", Severity::Ticket)
        );
        assert_eq!(both.title, format!("what discover.docker finds is not watched as wanted, in 2 ways: {problem}"));
        assert_eq!(both.description, format!("{problem}\n{mistake}"));
        assert_eq!(
            (both.joined.iter().map(String::as_str).collect::<Vec<_>>(), both.tells_of_joins, both.reminded),
            (vec!["web"], true, false)
        );
        assert_eq!((both.since, both.after), (Moment::from_ms(10_000), WRONG_FOR));
    }

    #[test]
    fn a_discovery_that_cannot_look_for_three_minutes_is_the_monitors_blindness() {
        let blind = [finds(Some("the container engine cannot be asked"), &[], &[])];
        let early = found(&blind, 190);
        assert_eq!(
            early.iter().map(|early| early.holds).collect::<Vec<_>>(),
            [Holds::Unclear],
            "what is open stays so"
        );
        let found = found(&blind, 191);
        let [page] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            (page.key.as_str(), page.severity, page.since),
            ("monitor_blind", Severity::Page, Moment::from_ms(10_000))
        );
        assert_eq!(
            page.title,
            "the monitor cannot look for services (discover.docker): the container engine cannot be asked"
        );
        assert!(page.impacted.is_empty() && page.joined.contains("discover.docker"), "{page:?}");
    }
}
