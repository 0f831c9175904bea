//! What one visitor carries from step to step, and forgets at the end.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;

use crate::probe::http::Cookies;

/// Shorter values are not hidden: they stand everywhere by chance.
const HIDDEN_FROM_BYTES: usize = 6;

/// Cookies and values of one run.
pub(super) struct Travel {
    pub(super) cookies: Cookies,
    /// 16 hexadecimal digits that no other run has.
    pub(super) random: String,
    extracted: BTreeMap<String, String>,
}

impl Travel {
    /// Begins with nothing.
    pub(super) fn begin() -> Self {
        let random = HEXLOWER.encode(&rand::random::<[u8; 8]>());
        Self { cookies: Cookies::default(), random, extracted: BTreeMap::new() }
    }

    /// Keeps a value for later steps.
    pub(super) fn keep(&mut self, name: &str, value: String) {
        self.extracted.insert(name.to_owned(), value);
    }

    /// Returns what was extracted so far.
    pub(super) fn extracted(&self) -> BTreeMap<&str, &str> {
        self.extracted.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Replaces every extracted value in a text by its name: sessions and tokens are nobody's to read.
    pub(super) fn hide(&self, text: String) -> String {
        let hidden = self.extracted.iter().filter(|(_, value)| value.len() >= HIDDEN_FROM_BYTES);
        hidden.fold(text, |text, (name, value)| text.replace(value.as_str(), &format!("<{name}>")))
    }
}
