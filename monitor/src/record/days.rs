//! How long services had which verdict, day by day, in little memory: ninety days of a thousand services are a hundred
//! thousand entries.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How long a service had a verdict within a day (UTC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictDay {
    /// Start of the day, milliseconds since the epoch.
    pub day_ms: i64,
    /// The verdict's word.
    pub verdict: Arc<str>,
    /// How long, in milliseconds.
    pub ms: i64,
}

/// By service, oldest day first. Whoever asks shares the list; it is copied only if it changes meanwhile.
#[derive(Debug, Default)]
pub(super) struct Days {
    services: HashMap<String, Arc<Vec<VerdictDay>>>,
    /// Each word once.
    words: HashSet<Arc<str>>,
}

impl Days {
    /// Adds time to a verdict's day.
    pub(super) fn add(&mut self, service: &str, verdict: &str, day_ms: i64, ms: i64) {
        if !self.services.contains_key(service) {
            self.services.insert(service.to_owned(), Arc::default());
        }
        let Some(days) = self.services.get_mut(service).map(Arc::make_mut) else { return };
        let mut newest = days.iter_mut().rev().take_while(|day| day.day_ms >= day_ms);
        if let Some(day) = newest.find(|day| day.day_ms == day_ms && *day.verdict == *verdict) {
            day.ms += ms;
            return;
        }
        let word = self.words.get(verdict).cloned().unwrap_or_else(|| {
            let word: Arc<str> = verdict.into();
            self.words.insert(word.clone());
            word
        });
        let place = days.partition_point(|day| day.day_ms <= day_ms);
        days.insert(place, VerdictDay { day_ms, verdict: word, ms });
    }

    /// Returns a service's days.
    pub(super) fn of(&self, service: &str) -> Arc<Vec<VerdictDay>> {
        self.services.get(service).cloned().unwrap_or_default()
    }

    /// Gives a service's days to another name. A day on which the service had either is the sum of both.
    pub(super) fn rename(&mut self, old: &str, new: &str) {
        for day in self.services.remove(old).iter().flat_map(|days| days.iter()) {
            self.add(new, &day.verdict, day.day_ms, day.ms);
        }
    }

    /// Forgets days that begin before `oldest_ms`.
    pub(super) fn forget_before(&mut self, oldest_ms: i64) {
        self.services.retain(|_, days| {
            if days.first().is_some_and(|day| day.day_ms < oldest_ms) {
                Arc::make_mut(days).retain(|day| day.day_ms >= oldest_ms);
            }
            !days.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_adds_up_by_day_and_verdict_whatever_order_it_comes_in() {
        let mut days = Days::default();
        for (verdict, day_ms, ms) in [("up", 2, 10), ("down", 2, 1), ("up", 1, 5), ("up", 2, 10), ("up", 1, 5)] {
            days.add("web", verdict, day_ms, ms);
        }
        let shared = days.of("web");
        days.add("web", "up", 2, 7);
        let told = |days: &[VerdictDay]| {
            days.iter().map(|day| format!("{} {} {}", day.day_ms, day.verdict, day.ms)).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(told(&shared), "1 up 10, 2 up 20, 2 down 1");
        assert_eq!(told(&days.of("web")), "1 up 10, 2 up 27, 2 down 1");
        days.forget_before(2);
        assert_eq!(told(&days.of("web")), "2 up 27, 2 down 1");
        days.forget_before(3);
        assert_eq!((told(&days.of("web")), days.services.len()), (String::new(), 0));
    }

    #[test]
    fn a_new_name_takes_the_days_over_and_adds_to_those_it_has() {
        let mut days = Days::default();
        days.add("shop", "up", 0, 1);
        days.add("shop", "up", 1, 1);
        days.add("store", "up", 1, 3);
        days.rename("shop", "store");
        assert_eq!(days.of("shop").len(), 0);
        assert_eq!(days.of("store").iter().map(|day| (day.day_ms, day.ms)).collect::<Vec<_>>(), [(0, 1), (1, 4)]);
    }
}
