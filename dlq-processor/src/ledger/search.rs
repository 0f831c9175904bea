//! Looks through the words of letters for a regular expression: on threads of their own, and on few of them, whoever asks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::{Filter, LedgerError};

/// Parts of searches that are looked through at once, at most: each keeps a processor busy.
const AT_ONCE: usize = 2;
/// How long a part may wait for its turn: those before it take 2 s each at most.
const TURN_WITHIN: Duration = Duration::from_secs(5);
/// How long one search may take in all: less than the longest time of a handler.
const WITHIN: Duration = Duration::from_secs(20);

/// Where searches wait for their turn. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Searches(Arc<Semaphore>);

/// One that is under way.
pub(super) struct Search {
    turns: Arc<Semaphore>,
    turn_within: Duration,
    until: Instant,
}

impl Searches {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }

    /// Begins one.
    pub(super) fn begin(&self) -> Search {
        Search { turns: self.0.clone(), turn_within: TURN_WITHIN, until: Instant::now() + WITHIN }
    }
}

impl Search {
    /// Returns those of some letters whose messages have the words that no condition of a database asks for.
    ///
    /// # Errors
    /// [`LedgerError::TooSlow`], and [`LedgerError::Crowded`] if others are looked for all the time.
    pub(super) async fn find<T: Send + 'static>(
        &self,
        filter: &Filter,
        letters: Vec<T>,
        message: fn(&T) -> &String,
    ) -> Result<Vec<T>, LedgerError> {
        let Some(expression) = filter.message_re.clone() else { return Ok(letters) };
        if Instant::now() >= self.until {
            return Err(LedgerError::TooSlow);
        }
        let turn = timeout(self.turn_within, self.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_elapsed| LedgerError::Crowded)?;
        // Whoever asked may wait no longer; the turn is over when the thread is.
        let finding = move || {
            let _turn = turn;
            expression.find(letters, message)
        };
        tokio::task::spawn_blocking(finding).await.unwrap_or(Err(LedgerError::Late))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Expression;
    use super::*;

    async fn find(search: &Search, expression: Option<&str>) -> Result<Vec<String>, LedgerError> {
        let message_re = expression.map(|text| Expression::parse(text).unwrap());
        let filter = Filter { message_re, ..Filter::default() };
        search.find(&filter, vec!["a bee".to_owned(), "a wasp".to_owned()], |text| text).await
    }

    #[tokio::test]
    async fn a_search_waits_for_its_turn_and_has_so_much_time_and_no_more() {
        let searches = Searches::new();
        let hasty = Search { turn_within: Duration::ZERO, ..searches.begin() };
        assert_eq!(find(&hasty, Some("be+")).await.unwrap(), ["a bee"]);
        let turns = searches.0.clone().acquire_many_owned(2).await.unwrap();
        assert!(matches!(find(&hasty, Some("be+")).await, Err(LedgerError::Crowded)));
        assert_eq!(find(&hasty, None).await.unwrap().len(), 2, "what looks for no words waits for nobody");
        let patient = searches.begin();
        let both = async { tokio::join!(find(&patient, Some("be+")), async { drop(turns) }).0 };
        assert_eq!(both.await.unwrap(), ["a bee"]);
        let late = Search { until: Instant::now(), ..searches.begin() };
        assert!(matches!(find(&late, Some("be+")).await, Err(LedgerError::TooSlow)));
    }
}
