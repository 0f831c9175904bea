//! What a registry said, kept so that it is not asked with every probe.

use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use super::registration::Registration;
use crate::probe::observation::Outcome;

/// How long an answer is taken for new: registries limit clients to some questions a minute, and nothing changes faster
/// than people renew.
const FRESH: Duration = Duration::from_secs(3600);
/// How long a refusal or silence is not tried again.
const REST: Duration = Duration::from_secs(60);
/// How long an answer stands in for a registry that does not answer.
const STANDS_IN: Duration = Duration::from_secs(3 * 86_400);
/// How long the list of registries holds; IANA changes it some times a week.
const LIST_HOLDS: Duration = Duration::from_secs(86_400);

/// Answers and when they came.
#[derive(Debug, Default)]
pub(super) struct Memory {
    last: Option<(Instant, Result<Registration, Outcome>)>,
    good: Option<(Instant, Registration)>,
    server: Option<(Instant, Url)>,
}

impl Memory {
    /// Returns what is known, if it need not be asked for again.
    ///
    /// A refusal that was told once is not told again as a new one: only the registry's next word confirms it.
    pub(super) fn recall(&self, now: Instant) -> Option<Result<Registration, Outcome>> {
        let (at, last) = self.last.as_ref()?;
        let holds = if last.as_ref().is_ok_and(|found| found.stale.is_none()) { FRESH } else { REST };
        let repeated = match last {
            Err(Outcome::Fail(why)) => {
                Err(Outcome::local(format!("the registry is asked once a minute; it said: {}", why.text)))
            }
            other => other.clone(),
        };
        (now.duration_since(*at) < holds).then_some(repeated)
    }

    /// Keeps an answer, and returns what is to be said: where we could not ask, what was known before.
    pub(super) fn keep(&mut self, now: Instant, asked: Result<Registration, Outcome>) -> Result<Registration, Outcome> {
        if let Ok(found) = &asked {
            self.good = Some((now, found.clone()));
        }
        let said = match (asked, &self.good) {
            (Err(Outcome::Unknown(why)), Some((at, known))) if now.duration_since(*at) < STANDS_IN => {
                Ok(Registration { stale: Some(why.text), ..known.clone() })
            }
            (asked, _) => asked,
        };
        self.last = Some((now, said.clone()));
        said
    }

    /// Returns where the registry is, if that is known.
    pub(super) fn server(&self, now: Instant) -> Option<Url> {
        let (at, url) = self.server.as_ref()?;
        (now.duration_since(*at) < LIST_HOLDS).then(|| url.clone())
    }

    /// Keeps where the registry is.
    pub(super) fn keep_server(&mut self, now: Instant, url: Url) {
        self.server = Some((now, url));
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_registry_is_asked_once_an_hour_and_an_answer_stands_in_for_silence() {
        let found = Registration { expires: Timestamp::UNIX_EPOCH, status: Vec::new(), registrar: None, stale: None };
        let silence = || Err(Outcome::local("silent"));
        let begin = Instant::now();
        let at = |secs: u64| begin + Duration::from_secs(secs);
        let mut memory = Memory::default();
        assert_eq!(memory.recall(begin), None);
        assert_eq!(memory.keep(begin, silence()), silence());
        assert_eq!((memory.recall(at(59)), memory.recall(at(60))), (Some(silence()), None));
        assert_eq!(memory.keep(at(60), Ok(found.clone())), Ok(found.clone()));
        assert_eq!((memory.recall(at(3_659)), memory.recall(at(3_660))), (Some(Ok(found.clone())), None));
        let stale = Registration { stale: Some("silent".to_owned()), ..found.clone() };
        assert_eq!(memory.keep(at(3_660), silence()), Ok(stale.clone()));
        assert_eq!((memory.recall(at(3_719)), memory.recall(at(3_720))), (Some(Ok(stale)), None));
        assert_eq!(memory.keep(at(4 * 86_400), silence()), silence());
        let gone = Err(Outcome::fail(crate::probe::ReasonCode::Rejected, "not registered"));
        assert_eq!(memory.keep(at(3_720), gone.clone()), gone, "a word of the registry counts at once");
        let repeated = memory.recall(at(3_730));
        assert!(matches!(repeated, Some(Err(Outcome::Unknown(_)))), "and once: {repeated:?}");
    }
}
