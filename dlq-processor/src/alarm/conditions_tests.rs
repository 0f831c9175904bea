//! What holds, and what is over, as tables of what is so when.

use super::*;
use crate::engine::QueueCounts;
use crate::ledger::{Numbers, StateCount};
use crate::source::{Peril, PerilKind};

/// Ten seconds for everything but what was missed, which is told for a minute.
const PATIENCE: Patience = {
    let ten = Duration::from_secs(10);
    let minute = Duration::from_secs(60);
    Patience { down: ten, disarmed: ten, unclosed: ten, missed: minute, many: ten, recur: minute, old: minute }
};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn source() -> SourceFacts {
    SourceFacts { name: "jobs".to_owned(), ..SourceFacts::default() }
}

fn counted(queue: &str, counts: QueueCounts) -> SourceFacts {
    SourceFacts { counts: [(queue.to_owned(), counts)].into(), ..source() }
}

fn of(source: SourceFacts) -> Facts {
    of_all(&[source])
}

fn of_all(sources: &[SourceFacts]) -> Facts {
    Facts { sources: sources.to_vec(), ..Facts::default() }
}

/// Looks at each time, and says of each whether the one condition that there may be holds (`+`), is known to be over (`-`), or
/// stays as it was told before (`?`).
fn check(subject: &Subject, looks: &[(u64, Facts)], expected: &str) {
    let mut conditions = Conditions::new(PATIENCE);
    let said = looks.iter().map(|(at, facts)| {
        let found = conditions.look(facts, secs(*at));
        assert!(found.iter().all(|condition| condition.subject == *subject), "{found:?}");
        match (found.is_empty(), conditions.is_over(subject, facts, secs(*at))) {
            (false, false) => '+',
            (true, true) => '-',
            (true, false) => '?',
            (false, true) => '!',
        }
    });
    assert_eq!(said.collect::<String>(), expected, "{subject:?}");
}

#[test]
fn a_source_that_has_not_been_asked_is_neither_down_nor_up() {
    let subject = Subject::SourceDown { source: "jobs".to_owned() };
    let answers = |answers: Option<Result<(), &str>>| {
        of(SourceFacts { answers: answers.map(|it| it.map_err(str::to_owned)), ..source() })
    };
    let (unasked, up, down) = (answers(None), answers(Some(Ok(()))), answers(Some(Err("refused"))));
    let looks = [(0, &unasked), (60, &unasked), (61, &down), (70, &down), (71, &down), (90, &down), (91, &up)];
    check(&subject, &looks.map(|(at, facts)| (at, facts.clone())), "????++-");
    let comes_and_goes = [(0, &up), (1, &down), (9, &up), (10, &down), (19, &down), (20, &down), (21, &up)];
    check(&subject, &comes_and_goes.map(|(at, facts)| (at, facts.clone())), "-?-??+-");
    let unmade = of(SourceFacts { waits: Some("there are no job tables".to_owned()), ..source() });
    check(&subject, &[(0, down.clone()), (20, down.clone()), (21, unmade), (22, unasked)], "?+-?");
    check(&subject, &[(0, down), (20, Facts::default())], "?-");
}

#[test]
fn a_source_that_is_down_says_why_in_its_words_without_secrets() {
    let answers = Some(Err("redis://:hunter2hunter2@10.0.0.1 does not answer".to_owned()));
    let facts = of(SourceFacts { answers, ..source() });
    let mut conditions = Conditions::new(PATIENCE);
    conditions.look(&facts, secs(0));
    let found = conditions.look(&facts, secs(10)).remove(0);
    assert_eq!((found.severity, found.since), (Severity::Ticket, secs(0)));
    assert_eq!(found.summary, "cannot read failed jobs of jobs");
    assert!(found.description.starts_with("jobs has not answered for 10s (redis://"), "{}", found.description);
    assert!(!found.description.contains("hunter2"), "{}", found.description);
}

#[test]
fn what_nobody_wants_to_redrive_is_not_disarmed_for_ever() {
    let subject = Subject::SourceDisarmed { source: "jobs".to_owned() };
    let armed = |is_armed: Option<Result<(), &str>>| {
        of(SourceFacts { is_armed: is_armed.map(|it| it.map_err(str::to_owned)), ..source() })
    };
    let (unknown, is, is_not) = (armed(None), armed(Some(Ok(()))), armed(Some(Err("it evicts"))));
    let looks = [(0, &unknown), (9, &unknown), (10, &unknown), (11, &is_not), (20, &is_not), (21, &is_not), (22, &is)];
    check(&subject, &looks.map(|(at, facts)| (at, facts.clone())), "??-??+-");
}

#[test]
fn a_breaker_says_how_it_is_closed_and_two_of_a_name_are_two() {
    let unclosed = |name: &str| {
        let unclosed = vec![("mails".to_owned(), "send it's".to_owned())];
        SourceFacts { name: name.to_owned(), unclosed, ..SourceFacts::default() }
    };
    let both = Facts { sources: vec![unclosed("a"), unclosed("b")], ..Facts::default() };
    let one = Facts { sources: vec![source(), unclosed("b")], ..Facts::default() };
    let of = |source: Option<&str>| {
        let source = source.map(str::to_owned);
        Subject::BreakerOpen { source, queue: "mails".to_owned(), name: "send it's".to_owned() }
    };
    let looks = [(0, &one), (9, &one), (10, &one), (11, &Facts::default()), (12, &one)];
    check(&of(Some("b")), &looks.map(|(at, facts)| (at, facts.clone())), "??+-?");
    let mut conditions = Conditions::new(PATIENCE);
    conditions.look(&both, secs(0));
    let found = conditions.look(&both, secs(10));
    assert_eq!(found.iter().map(|found| &found.subject).collect::<Vec<_>>(), [&of(Some("a")), &of(Some("b"))]);
    let close = r"dlq-processor breaker close --source a --queue mails --name 'send it'\''s' --reason '…'";
    assert!(found[0].description.ends_with(close), "{found:?}");
    conditions.look(&one, secs(11));
    let is_over = |source| conditions.is_over(&of(source), &one, secs(11));
    assert_eq!([is_over(Some("a")), is_over(Some("b")), is_over(None)], [true, false, true]);
}

#[test]
fn what_was_missed_is_told_with_how_many_until_it_is_long_ago() {
    let missed = |missed| of(counted("mails", QueueCounts { missed, ..QueueCounts::default() }));
    let subject = Subject::Missed { source: "jobs".to_owned(), queue: "mails".to_owned() };
    let looks = [(0, of(source())), (1, missed(2)), (30, missed(5)), (60, missed(5)), (89, missed(5)), (90, missed(5))];
    check(&subject, &looks, "?++++-");
    // It was told by a process before this one: it is not known when the last was missed.
    check(&subject, &[(0, of(source())), (59, of(source())), (60, of(source()))], "??-");
    let mut conditions = Conditions::new(PATIENCE);
    conditions.look(&missed(2), secs(1));
    let at = |conditions: &mut Conditions, at, count| conditions.look(&missed(count), secs(at)).remove(0);
    let found = at(&mut conditions, 30, 5);
    assert_eq!((found.severity, found.since), (Severity::Page, secs(1)));
    assert!(
        found.description.starts_with("5 failed jobs of mails (jobs) were removed within 1m before they could"),
        "{found:?}"
    );
    assert!(at(&mut conditions, 61, 5).description.starts_with("3 failed jobs"));
    conditions.look(&missed(5), secs(200));
    assert!(at(&mut conditions, 201, 6).description.starts_with("1 failed job of mails (jobs) was removed"));
}

#[test]
fn that_many_jobs_die_is_told_until_few_have() {
    let died = |died| of(counted("mails", QueueCounts { died, ..QueueCounts::default() }));
    let subject = Subject::Many { source: "jobs".to_owned(), queue: "mails".to_owned() };
    let looks = [(0, died(50)), (5, died(51)), (9, died(52)), (10, died(52)), (11, died(103)), (22, died(103))];
    check(&subject, &looks, "?++-+-");
    // What comes and goes at the bound is told once, until it is half of that.
    let looks = [(0, 25), (5, 51), (10, 51), (14, 76), (15, 76), (16, 101), (17, 102), (27, 102)];
    check(&subject, &looks.map(|(at, count)| (at, died(count))), "?+++--+-");
    let mut conditions = Conditions::new(PATIENCE);
    let found = conditions.look(&died(60), secs(0)).remove(0);
    assert_eq!((found.severity, found.summary.as_str()), (Severity::Ticket, "jobs of mails die in great numbers"));
    assert_eq!(found.description, "60 jobs of mails (jobs) have died within 10s.");
}

#[test]
fn that_trying_again_does_not_help_is_told_of_more_than_two_letters_and_more_than_half_of_them() {
    let ended = |done, recurred| of(counted("mails", QueueCounts { done, recurred, ..QueueCounts::default() }));
    let subject = Subject::Recur { source: "jobs".to_owned(), queue: "mails".to_owned() };
    let looks =
        [(0, ended(0, 2)), (1, ended(1, 2)), (2, ended(2, 2)), (3, ended(2, 3)), (62, ended(2, 3)), (63, ended(2, 3))];
    check(&subject, &looks, "?++++-");
    // Until a quarter of them have, and from more than half of them on again.
    let looks = [(0, 1, 2), (1, 4, 2), (2, 6, 2), (3, 6, 3), (4, 6, 6), (5, 6, 7)];
    check(&subject, &looks.map(|(at, done, recurred)| (at, ended(done, recurred))), "++???+");
    let mut conditions = Conditions::new(PATIENCE);
    let found = conditions.look(&ended(1, 3), secs(0)).remove(0);
    assert!(found.description.starts_with("3 of 4 letters of mails (jobs) that were put back within 1m"), "{found:?}");
}

#[test]
fn letters_that_wait_too_long_or_may_have_been_done_are_told_once_they_were_counted() {
    let count = |state: &str, class: &str, letters, oldest_ms| StateCount {
        state: state.to_owned(),
        class: class.to_owned(),
        letters,
        oldest_ms,
    };
    let numbers = |counts: &[StateCount]| {
        let waiting = Some(WaitingFacts::of(&Numbers(counts.to_vec()), 100_000));
        Facts { waiting, ..Facts::default() }
    };
    let old =
        [count("parked", "auth", 2, 39_999), count("resolved", "auth", 9, 0), count("parked", "unknown", 1, 40_000)];
    let looks = [(0, Facts::default()), (1, numbers(&old)), (2, Facts::default()), (3, numbers(&old[1..]))];
    check(&Subject::Old { class: "auth".to_owned() }, &looks, "?+?-");
    let unknown = [count("uncertain", "transient", 2, 99_000), count("uncertain", "auth", 1, 99_000)];
    let looks = [(0, Facts::default()), (1, numbers(&unknown)), (2, numbers(&old[1..]))];
    check(&Subject::Uncertain, &looks, "?+-");
    let found = Conditions::new(PATIENCE).look(&numbers(&unknown), secs(0)).remove(0);
    assert!(found.description.starts_with("3 may have been put back or not"), "{found:?}");
    let hours_ago = 100_000 - 25 * 3_600_000;
    let found = Conditions::new(PATIENCE).look(&numbers(&[count("parked", "auth", 1, hours_ago)]), secs(0)).remove(0);
    let expected = "The oldest parked letter of the class auth was taken in 1d1h ago, and waits. They are shown by: ";
    assert!(found.description.starts_with(expected), "{found:?}");
}

#[test]
fn a_ledger_that_is_full_is_urgent_and_said_to_be_well_only_when_it_was_looked_at() {
    let of = |bytes| Facts { ledger: Some(LedgerFacts { bytes, most_bytes: 100 }), ..Facts::default() };
    let looks = [(0, Facts::default()), (1, of(77)), (2, of(80)), (3, of(100)), (4, of(96)), (5, of(76)), (6, of(74))];
    check(&Subject::LedgerFull, &looks, "??++++-");
    let mut conditions = Conditions::new(PATIENCE);
    let mut urgency = |bytes| conditions.look(&of(bytes), secs(0)).remove(0);
    let nearly = urgency(83);
    assert_eq!((nearly.severity, nearly.summary.as_str()), (Severity::Ticket, "the ledger is nearly full"));
    assert!(nearly.description.starts_with("It has 83 % of the size that it may have. Raise max_ledger"));
    let full = urgency(100);
    assert_eq!((full.severity, full.since), (Severity::Page, secs(0)));
}

#[test]
fn a_queue_is_safe_when_somebody_has_looked_and_one_of_another_source_says_nothing_of_it() {
    let of = |source: Option<&str>| {
        let source = source.map(str::to_owned);
        Subject::QueueUnsafe { source, kind: "workers".to_owned(), queue: "mails".to_owned() }
    };
    let looked = |queues: &[&str], perils: Vec<Peril>| {
        let looked_at = Some(queues.iter().map(|queue| (*queue).to_owned()).collect());
        SourceFacts { looked_at, perils, ..source() }
    };
    let peril = Peril { queue: "mails".to_owned(), kind: PerilKind::Workers, why: "others work there".to_owned() };
    let unsafe_queue = looked(&["mails"], vec![peril]);
    let both = |jobs: &SourceFacts| {
        let another = SourceFacts { name: "another".to_owned(), ..looked(&["mails"], Vec::new()) };
        Facts { sources: vec![another, jobs.clone()], ..Facts::default() }
    };
    let looks = [
        (0, both(&source())),
        (1, both(&unsafe_queue)),
        (2, both(&source())),
        (3, both(&looked(&["mails"], Vec::new()))),
        (4, both(&unsafe_queue)),
        (5, both(&looked(&[], Vec::new()))),
        (6, Facts::default()),
    ];
    check(&of(Some("jobs")), &looks, "?+?-+--");
    // Of which source it was told by releases before this one is not known.
    let is_over = |facts: Facts| Conditions::new(PATIENCE).is_over(&of(None), &facts, secs(0));
    assert!(is_over(both(&source())) && is_over(of_all(&[looked(&[], Vec::new())])));
    assert!(!is_over(of_all(&[source(), looked(&["bills"], Vec::new())])));
}

#[test]
fn what_is_too_much_to_be_told_at_once_is_not_said_to_be_over() {
    let missed = QueueCounts { missed: 1, ..QueueCounts::default() };
    let counts = (0..=MOST).map(|number| (format!("{number:03}"), missed)).collect();
    let facts = of(SourceFacts { counts, ..source() });
    let mut conditions = Conditions::new(PATIENCE);
    assert_eq!(conditions.look(&facts, secs(0)).len(), MOST);
    conditions.look(&facts, secs(59));
    let last = Subject::Missed { source: "jobs".to_owned(), queue: format!("{MOST}") };
    assert!(!conditions.is_over(&last, &facts, secs(60)));
}
