//! What is wrong in a configuration, where, and what to write instead: all of it at once.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use super::tree::Place;

/// One thing to mend, as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where the value (or, for an unknown key, the key) stands.
    pub place: Place,
    /// Dotted key path from the top of the file; empty at the top.
    pub path: String,
    /// What is wrong and what to write instead. Never shows a secret or a substituted value.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// A collector that many cursors write into while a tree is decoded.
#[derive(Debug, Default)]
pub struct Mistakes {
    found: RefCell<Vec<Mistake>>,
}

impl Mistakes {
    /// Adds one mistake.
    pub fn add(&self, place: &Place, path: &str, message: impl Into<String>) {
        self.found.borrow_mut().push(Mistake { place: place.clone(), path: path.to_owned(), message: message.into() });
    }

    /// Returns how many were found so far, repeats included.
    pub(super) fn len(&self) -> usize {
        self.found.borrow().len()
    }

    /// Returns true if nothing was found so far.
    pub fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// Returns everything found, in file order and without repeats: what is written once and read as several things (an
    /// alias, a matrix) is wrong once.
    pub fn into_sorted(self) -> Vec<Mistake> {
        let mut found = self.found.into_inner();
        found.sort();
        let mut known = HashSet::new();
        found.retain(|mistake| known.insert((mistake.place.clone(), mistake.message.clone())));
        found
    }
}

/// Returns ` (did you mean "…"?)` for the known word nearest to `word`, or nothing if none is near.
pub fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let nearest = known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .max_by(|left, right| left.0.total_cmp(&right.0));
    match nearest {
        // Below this likeness suggestions become guesses: "retries" must not suggest "every".
        Some((likeness, candidate)) if likeness > 0.8 => format!("; did you mean {candidate:?}?"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        assert_eq!(suggest("timout", ["every", "timeout"]), "; did you mean \"timeout\"?");
        assert_eq!(suggest("retries", ["every", "timeout"]), "");
        assert_eq!(suggest("x", []), "");
    }
}
