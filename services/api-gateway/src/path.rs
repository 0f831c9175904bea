//! Which paths may be handed on, and what they are called there.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// How often a path is decoded, at most: what is escaped deeper is refused. No server that we know of decodes more than twice,
/// and each round costs as much as the path is long.
const ROUNDS: usize = 4;

/// Returns the path that `target` means for a request of `path`, which `pattern` matches; none if it would not stay below
/// the service's root. `{name}` in `target` stands for the part of `path` where `pattern` has the same, byte for byte, and
/// `{*name}` for all that is left.
pub(crate) fn translated(pattern: &str, path: &str, target: &str) -> Option<String> {
    let (mut parts, mut rest) = (Vec::new(), path);
    for place in pattern.split('/').skip(1) {
        rest = rest.strip_prefix('/')?;
        let end = if place.starts_with("{*") { rest.len() } else { rest.find('/').unwrap_or(rest.len()) };
        let (part, after) = rest.split_at_checked(end)?;
        parts.push((place, part));
        rest = after;
    }
    let named = parts.iter().filter(|(place, _)| place.starts_with('{'));
    // In one pass: what a client wrote is not looked at again.
    let mut translated = String::with_capacity(target.len() + path.len());
    for (number, place) in target.split('/').enumerate() {
        if number > 0 {
            translated.push('/');
        }
        let part = named.clone().find(|(name, _)| *name == place).map_or(place, |(_, part)| *part);
        translated.push_str(part);
    }
    stays_below(&translated).then_some(translated)
}

/// Decides whether every server that we know of would look for `path`, which starts with a slash, below its root.
///
/// Servers differ in how often they decode and in what parts segments, so `path` must be harmless as it is and after
/// each round of decoding, with backslashes taken for slashes and parameters (`;x`) cut off. An encoded slash inside a
/// segment is allowed: names of Airtable's tables contain it.
fn stays_below(path: &str) -> bool {
    let mut form = path.as_bytes().to_vec();
    for _round in 0..=ROUNDS {
        if !is_harmless(&form) {
            return false;
        }
        match Cow::from(percent_decode(&form)) {
            Cow::Borrowed(_) => return true,
            Cow::Owned(decoded) => form = decoded,
        }
    }
    false
}

fn is_harmless(form: &[u8]) -> bool {
    let parts_segments = |byte: &u8| matches!(byte, b'/' | b'\\');
    let has_dots = form.split(parts_segments).any(|segment| {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        matches!(name, b"." | b"..")
    });
    // "//host/path" is a reference to another host (RFC 3986 section 4.2).
    let leaves_root = form.get(1).is_some_and(parts_segments);
    let is_text = std::str::from_utf8(form).is_ok() && !form.iter().any(u8::is_ascii_control);
    is_text && !has_dots && !leaves_root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_are_taken_over_byte_for_byte_and_lead_nowhere_else() {
        for (pattern, path, target, expected) in [
            ("/api/tools", "/api/tools", "/tools", Some("/tools")),
            (
                "/api/sessions/{id}/history",
                "/api/sessions/a%20b/history",
                "/sessions/{id}/history",
                Some("/sessions/a%20b/history"),
            ),
            ("/api/sessions/{id}", "/api/sessions/{id}", "/sessions/{id}", Some("/sessions/{id}")),
            ("/api/sessions/{id}", "/api/sessions/..", "/sessions/{id}", None),
            ("/api/sessions/{id}", "/api/sessions/..%2f..%2fadmin", "/sessions/{id}", None),
            ("/api/airtable/{*path}", "/api/airtable/v0/app1/a%2Fb", "/{*path}", Some("/v0/app1/a%2Fb")),
            ("/api/airtable/{*path}", "/api/airtable//evil.example", "/{*path}", None),
        ] {
            assert_eq!(translated(pattern, path, target).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn paths_that_leave_their_place_are_refused_in_every_disguise() {
        for path in [
            "/..",
            "/../admin",
            "/a/../../b",
            "/a/..",
            "/./a",
            "/%2e%2e/admin",
            "/%2E./a",
            "/.%2e/a",
            "/a/%2e%2e%2fb",
            "/..%2fadmin",
            "/a%2f..%2fb",
            "/..%5cadmin",
            "/..\\admin",
            "/%252e%252e/a",
            "/%25252e%25252e/a",
            "/..;x/a",
            "/..%3bx/a",
            "//host/a",
            "/%2fhost",
            "/\\host",
            "/%5chost",
            "/a%00b",
            "/a%0d%0ab",
            "/%c0%ae%c0%ae/a",
        ] {
            assert!(!stays_below(path), "{path}");
        }
    }

    #[test]
    fn what_is_escaped_again_and_again_is_refused_at_once() {
        let nested = |depth: usize| format!("/%{}61", "25".repeat(depth));
        assert!(stays_below(&nested(ROUNDS - 1)), "the last round finds nothing more");
        assert!(!stays_below(&nested(ROUNDS)));
        assert!(!stays_below(&nested(30_000)));
    }

    #[test]
    fn ordinary_paths_pass() {
        for path in [
            "/",
            "/bases",
            "/bases/",
            "/v0/app1/Table%20One",
            "/v0/app1/Sales%20%2F%20Marketing",
            "/a..b/...",
            "/a.b",
            "/100%25",
            "/a;v=1/b",
            "/%C3%A9t%C3%A9",
            "/a//b",
        ] {
            assert!(stays_below(path), "{path}");
        }
    }
}
