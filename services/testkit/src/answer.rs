//! An answer as a browser gets it.

use http::HeaderMap;
use serde_json::Value;

/// What a page or an API answered, whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub text: String,
}

impl Answer {
    /// Returns a header; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ours are text"))
    }

    /// Reads its body.
    ///
    /// # Panics
    /// It is no JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let read = serde_json::from_str(&self.text);
        assert!(read.is_ok(), "{read:?}: {}", self.text);
        read.unwrap_or_default()
    }

    /// Returns the session in `Set-Cookie`, as it is sent back.
    pub fn cookie(&self) -> String {
        self.header("set-cookie").split(';').next().unwrap_or_default().to_owned()
    }

    /// Returns the token that forms of this page carry.
    ///
    /// # Panics
    /// The page has none.
    #[track_caller]
    pub fn form_token(&self) -> &str {
        let field = self.text.split("name=\"csrf\" value=\"").nth(1);
        assert!(field.is_some(), "no token in {}", self.text);
        field.and_then(|field| field.split('"').next()).unwrap_or_default()
    }

    /// # Panics
    /// `wanted` is not in the body.
    #[track_caller]
    pub fn assert_has(&self, wanted: &str) {
        assert!(self.text.contains(wanted), "no {wanted:?} in {}", self.text);
    }
}
