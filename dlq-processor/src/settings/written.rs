//! What a configuration says, kept so that it is known later which of its keys has changed.

use std::fmt;

use kit::config::Node;

use super::{KEYS, POLICY_KEYS};

/// Every value of a configuration, also what came from the environment; it shows none of them.
#[derive(Clone)]
pub(crate) struct Written(Node);

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written").finish_non_exhaustive()
    }
}

impl Written {
    pub(super) fn new(root: Node) -> Self {
        Self(root)
    }

    /// Returns the keys, besides those of the policy, that say something else than here in `other`.
    pub(crate) fn changed(&self, other: &Self) -> Vec<&'static str> {
        let differs = |key: &&str| self.0.child(key) != other.0.child(key);
        KEYS.into_iter().filter(|key| !POLICY_KEYS.contains(key)).filter(differs).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_named_unless_it_decides_and_wherever_it_stands() {
        let written = |yaml: &str| Written::new(Node::parse("dlq.yml", yaml).unwrap());
        let before = written("listen: a\nrate: 5/s\nqueues: [{ queue: a }]\njobs: []\n");
        let after = written("# moved\nqueues: [{ queue: b }]\n\nrate: 5/s\nmax_age: 2h\nlisten: a\nredact: []\n");
        assert_eq!(before.changed(&after), ["queues", "redact"]);
        assert_eq!(before.changed(&before.clone()), Vec::<&str>::new());
    }
}
