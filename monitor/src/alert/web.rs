//! Addresses in what others wrote: what may become a link. Pure.

use url::Url;

/// Returns whether a text is an address of the web. A script's URL behind a button is a trap, not a link.
pub(crate) fn is_web_url(text: &str) -> bool {
    let begins_well = text.starts_with("https://") || text.starts_with("http://");
    begins_well && Url::parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_browser_opens_as_a_page_may_become_a_link() {
        for (text, expected) in [
            ("https://example.com/a?b=c", true),
            ("http://10.0.0.1:9090/graph", true),
            ("javascript:alert(1)", false),
            (" https://example.com", false),
            ("https://", false),
            ("ftp://example.com", false),
            ("runbook", false),
        ] {
            assert_eq!(is_web_url(text), expected, "{text:?}");
        }
    }
}
