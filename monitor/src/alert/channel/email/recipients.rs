//! Who of several recipients has a mail already. Those whom the server puts off (450, as greylisting does) are asked for
//! again under the same key; the others do not get it twice, unless the monitor restarts in between.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kit::clock::Moment;

use super::super::{Accepted, SendError};

/// A mail that some recipients have waits so long for those that are put off, and what comes after it waits too. RFC 6647
/// section 4.2 has greylisting ask for a minute or more; Postgrey asks for five (`--delay=300`).
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Mails that are remembered, at most; of one that is forgotten, everybody gets a copy at the next try.
const MAX_MAILS: usize = 1000;

/// What came of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handed {
    /// What the server said when it took the mail; nothing if it took no recipient.
    pub(super) answer: Option<String>,
    /// Whom it took.
    pub(super) taken: Vec<String>,
    /// Whom it did not take.
    pub(super) refused: Vec<Refusal>,
}

/// A recipient that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) address: String,
    /// What the server said.
    pub(super) said: String,
    /// Whether another try can help.
    pub(super) can_pass: bool,
}

/// A mail that is on its way to some.
#[derive(Debug, Clone)]
struct Progress {
    since: Moment,
    has_it: BTreeSet<String>,
    lost: Vec<Refusal>,
    put_off: Vec<Refusal>,
    answer: String,
}

/// Mails that are on their way to some, by their key.
#[derive(Debug, Default)]
pub(super) struct Recipients {
    mails: Mutex<HashMap<String, Progress>>,
}

impl Recipients {
    /// Returns those of `all` that are still to be asked for.
    pub(super) fn missing<'a>(&self, key: &str, all: &[&'a str]) -> Vec<&'a str> {
        let mails = self.mails();
        let Some(progress) = mails.get(key) else { return all.to_vec() };
        let is_done = |address: &&str| {
            progress.has_it.contains(*address) || progress.lost.iter().any(|refusal| refusal.address == *address)
        };
        all.iter().filter(|address| !is_done(address)).copied().collect()
    }

    /// Takes what came of a try; returns what that makes of the whole mail.
    ///
    /// # Errors
    /// As the try, or [`SendError::Partly`] while somebody has it and somebody else is put off.
    pub(super) fn conclude(
        &self,
        key: &str,
        tried: Result<Handed, SendError>,
        now: Moment,
    ) -> Result<Accepted, SendError> {
        let mut mails = self.mails();
        let before = mails.remove(key);
        let progress = match (tried, before) {
            (Ok(handed), before) => Progress::of(before, handed, now)?,
            (Err(error), None) => return Err(error),
            // The mail itself, or we, are refused by now: whoever has it has it.
            (Err(SendError::Refused(_)), Some(before)) => return Ok(before.over()),
            (Err(error), Some(before)) if now.since(before.since) <= PATIENCE => {
                let why = SendError::Partly(format!("{}; {error}", before.told()));
                mails.insert(key.to_owned(), before);
                return Err(why);
            }
            (Err(_), Some(before)) => before,
        };
        if progress.put_off.is_empty() || now.since(progress.since) > PATIENCE {
            return Ok(progress.over());
        }
        let why = format!("{}; not yet for {}", progress.told(), list(&progress.put_off));
        if mails.len() >= MAX_MAILS {
            let oldest = mails.iter().min_by_key(|(_, progress)| progress.since).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| mails.remove(&oldest));
        }
        mails.insert(key.to_owned(), progress);
        Err(SendError::Partly(why))
    }

    fn mails(&self) -> MutexGuard<'_, HashMap<String, Progress>> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Nobody else gets it any more.
    fn over(self) -> Accepted {
        let partly = list(self.lost.iter().chain(&self.put_off));
        let partly = Some(format!("not delivered to {partly}")).filter(|_| !partly.is_empty());
        Accepted { answer: self.answer, partly }
    }

    fn told(&self) -> String {
        format!("taken for {}", self.has_it.iter().cloned().collect::<Vec<_>>().join(", "))
    }

    /// Adds a try to what was known. If nobody has the mail yet, the try as a whole has failed.
    fn of(before: Option<Self>, handed: Handed, now: Moment) -> Result<Self, SendError> {
        let (put_off, lost): (Vec<Refusal>, Vec<Refusal>) =
            handed.refused.iter().cloned().partition(|refusal| refusal.can_pass);
        if before.is_none() && handed.taken.is_empty() {
            let all = list(&handed.refused);
            return Err(if put_off.is_empty() { SendError::Refused(all) } else { SendError::Failed(all) });
        }
        let mut progress = before.unwrap_or_else(|| Self {
            since: now,
            has_it: BTreeSet::new(),
            lost: Vec::new(),
            put_off: Vec::new(),
            answer: String::new(),
        });
        progress.has_it.extend(handed.taken);
        progress.lost.extend(lost);
        progress.put_off = put_off;
        progress.answer = handed.answer.unwrap_or(progress.answer);
        Ok(progress)
    }
}

fn list<'a>(refusals: impl IntoIterator<Item = &'a Refusal>) -> String {
    let named = refusals.into_iter().map(|refusal| format!("{}: {}", refusal.address, refusal.said));
    named.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 3] = ["ada@a", "bob@b", "eve@c"];

    /// One word a recipient that is asked for, in order: `ok`, or the code it is refused with.
    fn try_it(recipients: &Recipients, words: &str, secs: i64) -> String {
        let asked = recipients.missing("key", &ALL);
        assert_eq!(asked.len(), words.split(' ').count(), "{asked:?}");
        let mut handed = Handed { answer: None, taken: Vec::new(), refused: Vec::new() };
        for (address, word) in asked.into_iter().map(str::to_owned).zip(words.split(' ')) {
            match word {
                "ok" => handed.taken.push(address),
                code => {
                    handed.refused.push(Refusal { address, said: code.to_owned(), can_pass: code.starts_with('4') })
                }
            }
        }
        handed.answer = Some("250 taken".to_owned()).filter(|_| !handed.taken.is_empty());
        match recipients.conclude("key", Ok(handed), Moment::from_ms(secs * 1000)) {
            Ok(accepted) => format!("accepted {}", accepted.partly.unwrap_or_default()),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn who_is_put_off_is_asked_for_again_and_nobody_else() {
        let recipients = Recipients::default();
        assert_eq!(try_it(&recipients, "450 550 450", 0), r#"Failed("ada@a: 450; bob@b: 550; eve@c: 450")"#);
        assert_eq!(try_it(&recipients, "ok 550 450", 10), r#"Partly("taken for ada@a; not yet for eve@c: 450")"#);
        assert_eq!(try_it(&recipients, "450", 60), r#"Partly("taken for ada@a; not yet for eve@c: 450")"#);
        assert_eq!(try_it(&recipients, "ok", 310), "accepted not delivered to bob@b: 550");
        assert_eq!(recipients.missing("key", &ALL), ALL, "and then it is forgotten");
        assert_eq!(try_it(&recipients, "550 550 550", 320), r#"Refused("ada@a: 550; bob@b: 550; eve@c: 550")"#);
        assert_eq!(try_it(&recipients, "ok ok ok", 330), "accepted ");
    }

    #[test]
    fn the_others_do_not_wait_for_ever_for_one_that_is_put_off_again_and_again() {
        let recipients = Recipients::default();
        try_it(&recipients, "ok ok 451", 0);
        let ends = |error: SendError| recipients.conclude("key", Err(error), Moment::from_ms(500));
        let why = "taken for ada@a, bob@b; reset".to_owned();
        assert_eq!(ends(SendError::Failed("reset".to_owned())), Err(SendError::Partly(why)));
        assert_eq!(recipients.missing("key", &ALL), ["eve@c"]);
        assert_eq!(try_it(&recipients, "451", 901), "accepted not delivered to eve@c: 451");
        try_it(&recipients, "ok ok 451", 0);
        let accepted = ends(SendError::Refused("who are you".to_owned())).unwrap();
        assert_eq!(accepted.partly.as_deref(), Some("not delivered to eve@c: 451"), "two have it all the same");
    }
}
