//! Who signs in by a URL (RFC 3986 section 3.2.1), as Go's client reads it.

use percent_encoding::percent_decode_str;
use url::Url;

/// Returns user and password as they are meant; none if the URL has neither.
pub(super) fn userinfo(url: &Url) -> Option<(String, String)> {
    let is_there = !url.username().is_empty() || url.password().is_some();
    is_there.then(|| (decoded(url.username()), decoded(url.password().unwrap_or_default())))
}

/// Undoes percent-encoding; what is none stays.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_in_a_url_is_sent_as_it_is_meant() {
        for (url, expected) in [
            ("http://me:a%40b%3A%2F@host", Some(("me", "a@b:/"))),
            ("http://m%65@host", Some(("me", ""))),
            ("http://:pw@host", Some(("", "pw"))),
            ("socks5://me:100%25+%zz@host:1", Some(("me", "100%+%zz"))),
            ("http://host", None),
        ] {
            let found = userinfo(&Url::parse(url).unwrap());
            assert_eq!(found.as_ref().map(|(user, password)| (user.as_str(), password.as_str())), expected, "{url}");
        }
    }
}
