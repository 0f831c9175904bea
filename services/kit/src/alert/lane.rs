//! What is kept of one alert: whether it is open, and its news that the monitor has not accepted, in order. Pure.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::MAX_NEWS;
use super::kinds::Posting;
use crate::queue::Draft;

/// Names of the job of a lane: one with news, one that only repeats.
pub(super) const DELIVER: &str = "deliver";
pub(super) const REPEAT: &str = "repeat";

/// Everything about one alert.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Lane {
    /// As it fires now.
    pub(super) open: Option<Posting>,
    /// The oldest first.
    pub(super) news: VecDeque<News>,
    /// How often in a row the monitor could not take just this one.
    pub(super) failures: u32,
}

/// Something the monitor must hear.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct News {
    /// The same over all repeats.
    pub(super) id: Uuid,
    pub(super) posting: Posting,
    /// When it happened.
    pub(super) since: Timestamp,
    /// Whether the fallback has heard of it, or refused to.
    pub(super) told_fallback: bool,
}

impl Lane {
    /// Reads what [`Lane::into_draft`] wrote; a new alert has an empty lane.
    pub(super) fn read(payload: Option<&str>) -> Self {
        payload.and_then(|payload| serde_json::from_str(payload).ok()).unwrap_or_default()
    }

    /// Notes that the alert fires; returns whether that changed anything.
    pub(super) fn fire(&mut self, mut posting: Posting, now: Timestamp) -> bool {
        let Some(open) = self.open.take() else {
            self.push(posting.clone(), now);
            self.open = Some(posting);
            return true;
        };
        if open.labels == posting.labels {
            posting.starts_at = posting.starts_at.min(open.starts_at);
            let is_changed = open != posting;
            // It has not been heard of yet: then let it be heard as it is now.
            if let Some(news) = self.news.back_mut().filter(|news| news.posting.labels == posting.labels) {
                news.posting = posting.clone();
            }
            self.open = Some(posting);
            return is_changed;
        }
        // Another service or severity is another alert for the monitor. The new one first: there is no moment without.
        self.push(posting.clone(), now);
        self.push(open.over(now), now);
        self.open = Some(posting);
        true
    }

    /// Notes that the alert is over; returns whether it was open.
    pub(super) fn resolve(&mut self, now: Timestamp) -> bool {
        let Some(open) = self.open.take() else { return false };
        self.push(open.over(now), now);
        true
    }

    /// Notes that the monitor accepted this news, or if none a repeat.
    pub(super) fn accepted(&mut self, id: Option<Uuid>) {
        self.failures = 0;
        if id.is_some() && self.news.front().map(|news| news.id) == id {
            self.news.pop_front();
        }
    }

    /// Notes that the fallback need not hear this news again.
    pub(super) fn told_fallback(&mut self, id: Uuid) {
        if let Some(news) = self.news.iter_mut().find(|news| news.id == id) {
            news.told_fallback = true;
        }
    }

    /// Returns what the monitor must hear next: the oldest news, or that it is still open.
    pub(super) fn next(&self) -> Option<(Option<Uuid>, &Posting)> {
        let news = self.news.front().map(|news| (Some(news.id), &news.posting));
        news.or_else(|| self.open.as_ref().map(|open| (None, open)))
    }

    /// Returns the job that this lane is, due at `run_at`; none if there is nothing left to do. News go before repeats.
    pub(super) fn into_draft(self, run_at: Timestamp) -> Option<Draft> {
        let has_news = !self.news.is_empty();
        if !has_news && self.open.is_none() {
            return None;
        }
        let (name, priority) = if has_news { (DELIVER, 1) } else { (REPEAT, 0) };
        let payload = serde_json::to_string(&self).expect("texts and times can be written as JSON");
        Some(Draft { name, payload, run_at, priority })
    }

    fn push(&mut self, posting: Posting, now: Timestamp) {
        self.news.push_back(News { id: Uuid::now_v7(), posting, since: now, told_fallback: false });
        if self.news.len() <= MAX_NEWS {
            return;
        }
        // Resolved and at once firing again, and not the front, which may be on its way.
        let again = self.news.iter().zip(self.news.iter().skip(1)).skip(1).position(|(left, right)| {
            left.posting.status() == "resolved"
                && right.posting.status() == "firing"
                && left.posting.labels == right.posting.labels
        });
        if let Some(position) = again {
            self.news.drain(position + 1..position + 3);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn posting(severity: &str, summary: &str, second: i64) -> Posting {
        let map = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        Posting {
            labels: map("severity", severity),
            annotations: map("summary", summary),
            starts_at: at(second),
            ends_at: None,
            generator_url: None,
        }
    }

    /// News in order: the severity, `+` firing or `-` resolved, the summary.
    fn told(lane: &Lane) -> String {
        let one = |news: &News| {
            let sign = if news.posting.ends_at.is_some() { '-' } else { '+' };
            format!("{sign}{}:{}", news.posting.labels["severity"], news.posting.annotations["summary"])
        };
        lane.news.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// What happens: `f` fire, `p` fire as a page, `r` resolve, `a` the monitor accepts what is next.
    fn check(events: &str, expected: &str) {
        let mut lane = Lane::default();
        for (second, event) in (1..).zip(events.chars()) {
            match event {
                'f' => drop(lane.fire(posting("ticket", &second.to_string(), second), at(second))),
                'p' => drop(lane.fire(posting("page", &second.to_string(), second), at(second))),
                'r' => drop(lane.resolve(at(second))),
                _ => lane.accepted(lane.next().unwrap().0),
            }
        }
        assert_eq!(told(&lane), expected, "{events}");
    }

    #[test]
    fn news_stay_in_order_until_they_are_accepted() {
        check("f", "+ticket:1");
        check("ff", "+ticket:2");
        check("fr", "+ticket:1 -ticket:1");
        check("frf", "+ticket:1 -ticket:1 +ticket:3");
        check("fafr", "-ticket:3");
        check("frar", "-ticket:1");
        check("faa", "");
        check("rr", "");
        check("faff", "");
    }

    #[test]
    fn another_severity_is_told_before_the_old_one_is_over() {
        check("fap", "+page:3 -ticket:1");
        check("fpr", "+ticket:1 +page:2 -ticket:1 -page:2");
    }

    #[test]
    fn an_alert_that_flaps_for_long_keeps_its_first_news_and_its_last() {
        let mut lane = Lane::default();
        for second in 1..=101 {
            lane.fire(posting("ticket", "x", 2 * second), at(2 * second));
            lane.resolve(at(2 * second + 1));
        }
        assert!(lane.news.len() <= MAX_NEWS, "{}", lane.news.len());
        assert_eq!(lane.news.front().unwrap().since, at(2));
        let statuses: Vec<&str> = lane.news.iter().map(|news| news.posting.status()).collect();
        assert!(statuses.chunks(2).all(|pair| pair == ["firing", "resolved"]), "{statuses:?}");
        assert_eq!(lane.news.back().unwrap().since, at(203));
    }

    #[test]
    fn firing_again_changes_nothing_unless_the_words_do_and_keeps_the_first_start() {
        let mut lane = Lane::default();
        assert!(lane.fire(posting("page", "x", 1), at(1)));
        assert!(!lane.fire(posting("page", "x", 2), at(2)));
        assert!(lane.fire(posting("page", "y", 3), at(3)));
        assert_eq!(lane.open.as_ref().unwrap().starts_at, at(1));
        assert!(lane.resolve(at(4)) && !lane.resolve(at(5)));
    }

    #[test]
    fn a_lane_is_a_job_that_delivers_then_one_that_repeats_and_then_none() {
        let mut lane = Lane::default();
        lane.fire(posting("page", "x", 1), at(1));
        let draft = lane.clone().into_draft(at(9)).unwrap();
        assert_eq!((draft.name, draft.run_at, draft.priority), (DELIVER, at(9), 1));
        assert_eq!(Lane::read(Some(&draft.payload)).next(), lane.next());
        lane.accepted(lane.next().unwrap().0);
        let draft = lane.clone().into_draft(at(9)).unwrap();
        assert_eq!((draft.name, draft.priority), (REPEAT, 0));
        lane.resolve(at(10));
        lane.accepted(lane.next().unwrap().0);
        assert_eq!(lane.into_draft(at(9)), None);
    }
}
