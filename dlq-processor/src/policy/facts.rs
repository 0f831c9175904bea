//! What people know of jobs and no failure says: apart from rules, so that no order of rules can lose it.

use super::pattern::Pattern;

/// What is known of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// A person must hear of it.
    pub critical: bool,
    /// Whether doing it twice does no harm; not known unless somebody says so.
    pub idempotent: Option<bool>,
    /// JSON pointer (RFC 6901) into the data: letters with the same value there are redriven one after another.
    pub order_key: Option<String>,
    /// Whether one waits also for those before it that wait for a person; otherwise these are passed over.
    pub waits_for_stuck: bool,
}

/// Facts of all jobs that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFacts {
    /// Their queues.
    pub queue: Pattern,
    /// Their names.
    pub name: Pattern,
    /// Whether they are critical, if that is said.
    pub critical: Option<bool>,
    /// Whether they are idempotent, if that is said.
    pub idempotent: Option<bool>,
    /// Their order, if that is said.
    pub order_key: Option<String>,
    /// What becomes of those behind one that waits for a person, if that is said. Default: they wait, too.
    pub waits_for_stuck: Option<bool>,
}

impl JobFacts {
    /// Joins what is said of a job. Of what is said twice the later counts, so that exceptions stand below what they except.
    pub fn of(all: &[Self], queue: &str, name: &str) -> Facts {
        let mut facts = Facts { waits_for_stuck: true, ..Facts::default() };
        for said in all.iter().filter(|said| said.queue.matches(queue) && said.name.matches(name)) {
            facts.critical = said.critical.unwrap_or(facts.critical);
            facts.idempotent = said.idempotent.or(facts.idempotent);
            facts.order_key = said.order_key.clone().or(facts.order_key);
            facts.waits_for_stuck = said.waits_for_stuck.unwrap_or(facts.waits_for_stuck);
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_some_jobs_excepts_them_from_what_is_said_of_all() {
        let said = |queue: &str, name: &str, critical, idempotent| JobFacts {
            queue: Pattern::new(queue),
            name: Pattern::new(name),
            critical,
            idempotent,
            order_key: None,
            waits_for_stuck: None,
        };
        let all = [said("*", "*", None, Some(true)), said("*", "payment*", Some(true), Some(false))];
        let of = |name| JobFacts::of(&all, "jobs", name);
        assert_eq!((of("mail").critical, of("mail").idempotent), (false, Some(true)));
        assert_eq!((of("payment-7").critical, of("payment-7").idempotent), (true, Some(false)));
        assert_eq!(JobFacts::of(&[], "jobs", "mail"), Facts { waits_for_stuck: true, ..Facts::default() });
    }
}
