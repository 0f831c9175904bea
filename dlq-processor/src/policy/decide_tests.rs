//! Decisions as tables: what failed how, of what is known what, and what is done.

use std::sync::LazyLock;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kit::config::{Cursor, Mistakes, Node};
use proptest::prelude::*;

use super::action::{Action, Alarm, Decision, Reason};
use super::class::Class;
use super::decide::{Letter, Past, Policy};
use super::error_facts::ErrorFacts;
use super::settings::decode_policy;

const JOBS: &str = "jobs:\n  - { name: 'sync*', idempotent: true }\n  - { name: payment-processing, critical: true, idempotent: false }\n  \
    - { name: ledger-sync, critical: true, idempotent: true }\n";

static POLICY: LazyLock<Policy> = LazyLock::new(|| policy(JOBS));

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn ago(secs: i64) -> Timestamp {
    now().saturating_sub(SignedDuration::from_secs(secs)).unwrap()
}

fn policy(yaml: &str) -> Policy {
    let node = Node::parse("dlq.yml", yaml).unwrap();
    let mistakes = Mistakes::default();
    let policy = decode_policy(&Cursor::top(&node, &mistakes).fields().unwrap());
    assert!(mistakes.is_empty(), "{:?}", mistakes.into_sorted());
    policy
}

fn letter(name: &str, reason: Option<&str>) -> Letter {
    Letter {
        queue: "async-processing".to_owned(),
        name: name.to_owned(),
        error: ErrorFacts::read(reason, None),
        stalls: 0,
        is_in_flow: false,
        failed_at: ago(10),
        seen_at: ago(9),
    }
}

/// With the longest waits.
fn decide(letter: &Letter, redrives: u32) -> Decision {
    let past = Past { redrives, first_failed_at: letter.failed_at };
    POLICY.decide(letter, past, now(), 1.0)
}

/// Of `redrives`: how often it was redriven before.
fn check(name: &str, reason: &str, redrives: u32, class: Class, action: Action, alarm: Alarm) {
    let Decision { class: found, action: done, alarm: wakes, reason: why, .. } =
        decide(&letter(name, Some(reason)), redrives);
    assert_eq!((found, done, wakes), (class, action, alarm), "{name}: {reason} ({why:?})");
}

fn after(secs: u64) -> Action {
    Action::Redrive(Duration::from_secs(secs))
}

#[test]
fn what_was_surely_not_done_is_redriven_until_its_tries_are_spent() {
    let refused = "connect ECONNREFUSED 10.0.0.1:5432";
    for (redrives, wait) in [(0, 30), (1, 60), (4, 480)] {
        check("mail", refused, redrives, Class::Transient, after(wait), Alarm::None);
    }
    check("mail", refused, 5, Class::Transient, Action::Park, Alarm::Ticket);
    check("payment-processing", refused, 1, Class::Transient, after(60), Alarm::None);
    check("payment-processing", refused, 2, Class::Transient, after(120), Alarm::Ticket);
    check("payment-processing", refused, 5, Class::Transient, Action::Escalate, Alarm::Page);
}

#[test]
fn what_may_have_been_done_is_redriven_only_if_twice_does_no_harm() {
    let late = "timeout of 5000ms exceeded";
    check("mail", late, 0, Class::TransientAmbiguous, Action::Escalate, Alarm::Ticket);
    check("payment-processing", late, 0, Class::TransientAmbiguous, Action::Escalate, Alarm::Page);
    check("sync-base", late, 0, Class::TransientAmbiguous, after(30), Alarm::None);
    check("sync-base", late, 3, Class::TransientAmbiguous, Action::Park, Alarm::Ticket);
    check("ledger-sync", late, 0, Class::TransientAmbiguous, after(30), Alarm::Ticket);
    check("ledger-sync", late, 1, Class::TransientAmbiguous, Action::Escalate, Alarm::Page);
    assert_eq!(decide(&letter("mail", Some(late)), 0).reason, Reason::MayBeDone);
}

#[test]
fn a_sign_that_it_may_have_been_done_counts_more_where_twice_does_harm() {
    for reason in ["ECONNREFUSED from cache; charge request timed out", "timed out (rate limit 10/s)"] {
        check("mail", reason, 0, Class::TransientAmbiguous, Action::Escalate, Alarm::Ticket);
    }
    check("sync-base", "ECONNREFUSED from cache; request timed out", 0, Class::Transient, after(30), Alarm::None);
    check("mail", "invalid address, timed out", 0, Class::Malformed, Action::Park, Alarm::Ticket);
}

#[test]
fn every_other_class_waits_for_somebody() {
    check("mail", "Request failed with status code 401", 0, Class::Auth, Action::Park, Alarm::Ticket);
    check("payment-processing", "Forbidden", 0, Class::Auth, Action::Park, Alarm::Page);
    check("mail", "ValidationError: no address", 0, Class::Malformed, Action::Park, Alarm::Ticket);
    check("payment-processing", "timeout: card token INVALID", 0, Class::Malformed, Action::Escalate, Alarm::Page);
    check("mail", "job stalled more than allowable limit", 0, Class::Poison, Action::Quarantine, Alarm::Ticket);
    check("mail", "something odd", 0, Class::Unknown, Action::Park, Alarm::Ticket);
    check("payment-processing", "something odd", 0, Class::Unknown, Action::Escalate, Alarm::Page);
    assert_eq!(decide(&letter("mail", Some("null")), 0).class, Class::Unknown);
    assert_eq!(decide(&letter("mail", None), 0).class, Class::Unknown);
    let stalled = Letter { stalls: 2, ..letter("mail", Some("connect ECONNREFUSED")) };
    assert_eq!(decide(&stalled, 0).action, Action::Quarantine);
}

#[test]
fn who_asks_too_much_waits_as_long_as_he_is_told_to() {
    let wait = |reason| decide(&letter("mail", Some(reason)), 0).action;
    assert_eq!(wait("429 Too Many Requests, Retry-After: 900"), after(900));
    assert_eq!(wait("429 Too Many Requests, Retry-After: 999999999"), after(86_400));
    assert_eq!(wait("429 Too Many Requests, Retry-After: 1"), after(30));
}

#[test]
fn canaries_are_sent_where_that_is_written_and_can_do_no_harm() {
    let jobs = "jobs: [{ name: 'once*', idempotent: false }, { name: 'again*', idempotent: true }]\n";
    let policy = policy(&format!("{jobs}canaries: {{ auth: {{ first: 5m }}, unknown: {{}} }}\n"));
    let sends =
        |class, name| policy.canary(class, "mails", name).map(|canary| (canary.wait(0).as_secs(), canary.tries));
    for (name, of_auth, of_unknown) in
        [("mail", Some((300, None)), None), ("again", Some((300, None)), Some((60, Some(1)))), ("once", None, None)]
    {
        assert_eq!((sends(Class::Auth, name), sends(Class::Unknown, name)), (of_auth, of_unknown), "{name}");
    }
    assert_eq!(sends(Class::Transient, "again"), None);
    assert_eq!(POLICY.canary(Class::Auth, "mails", "mail"), None, "nobody asked for them");
    let in_flow = Letter { is_in_flow: true, ..letter("mail", Some("status code 401")) };
    assert_eq!((decide(&in_flow, 0).action, decide(&in_flow, 0).reason), (Action::Park, Reason::Flow));
}

#[test]
fn what_is_old_or_in_a_flow_is_redriven_only_when_somebody_asks() {
    let refused = letter("mail", Some("connect ECONNREFUSED"));
    for (letter, reason) in [
        (Letter { failed_at: ago(3700), seen_at: ago(9), ..refused.clone() }, Reason::Old),
        (Letter { failed_at: ago(90_000), seen_at: ago(89_999), ..refused.clone() }, Reason::TimeSpent),
        (Letter { is_in_flow: true, ..refused.clone() }, Reason::Flow),
    ] {
        let decision = decide(&letter, 0);
        assert_eq!((decision.action, decision.reason), (Action::Park, reason));
    }
}

#[test]
fn own_rules_come_first_and_stand_in_for_the_builtin_ones_of_their_id() {
    let yaml = "rules:\n  - { id: quota, queue: 'async-*', when: { contains: [Quota Exceeded] }, class: throttled }\n  \
        - { id: auth, when: { http: [401] }, class: transient }\n";
    let past = Past { redrives: 0, first_failed_at: ago(10) };
    let class_of = |reason| {
        let decision = policy(yaml).decide(&letter("mail", Some(reason)), past, now(), 0.0);
        (decision.rule, decision.class)
    };
    assert_eq!(class_of("invalid: quota exceeded"), (Some("quota".to_owned()), Class::Throttled));
    assert_eq!(class_of("status 401"), (Some("auth".to_owned()), Class::Transient));
    assert_eq!(class_of("status 403"), (None, Class::Unknown));
}

proptest! {
    #[test]
    fn nothing_is_ever_redriven_that_may_not_be(
        reason in "[ -~]{0,40}(ECONNREFUSED|timeout|429|invalid|401|stalled|)[ -~]{0,40}",
        name in "(mail|sync-base|payment-processing|ledger-sync)",
        redrives in 0..8u32,
        stalls in 0..4u32,
        age in 0..200_000i64,
        unseen in 0..10_000i64,
        is_in_flow: bool,
        random in 0.0..=1.0f64,
    ) {
        let letter = Letter { stalls, is_in_flow, failed_at: ago(age), seen_at: ago(age - unseen.min(age)), ..letter(&name, Some(&reason)) };
        let past = Past { redrives, first_failed_at: letter.failed_at };
        let decision = POLICY.decide(&letter, past, now(), random);
        let is_redriven = matches!(decision.action, Action::Redrive(_));
        if is_redriven {
            prop_assert!(redrives < 5 && stalls < 2 && !is_in_flow && age <= 86_400 && unseen.min(age) <= 3600);
            prop_assert!(decision.class != Class::TransientAmbiguous || name.contains("sync"));
            prop_assert!(matches!(decision.class, Class::Transient | Class::TransientAmbiguous | Class::Throttled));
        } else {
            prop_assert!(decision.alarm > Alarm::None, "nobody hears of what waits for somebody");
        }
        prop_assert!(name != "payment-processing" || is_redriven || decision.alarm == Alarm::Page);
    }
}
