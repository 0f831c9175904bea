//! Tables of what each reader takes and of the exact words it says otherwise.

use secrecy::ExposeSecret;

use super::*;

/// Reads `value` as the variable `X` and returns the result with the mistakes.
fn read<T>(value: &str, reader: impl Fn(&Variables<'_>) -> T) -> (T, Vec<String>) {
    let environment = Environment::of([("X", value)]);
    let variables = Variables::new(&environment);
    let result = reader(&variables);
    (result, variables.finish(()).err().unwrap_or_default())
}

#[test]
fn durations_are_seconds_or_carry_a_unit() {
    let default = Duration::from_secs(9);
    for (text, ms) in [("5", 5_000), ("0.5", 500), ("500ms", 500), ("2m", 120_000), ("", 9_000), ("  ", 9_000)] {
        let (length, mistakes) = read(text, |variables| variables.duration("X", default));
        assert_eq!((length.as_millis(), mistakes), (ms, vec![]), "{text:?}");
    }
    for text in ["0", "-1", "inf", "NaN", "soon", "0s"] {
        let expected = format!(
            "X: {text:?} is not a duration above zero; write seconds or a number with a unit, like 5, 500ms or 2m"
        );
        assert_eq!(read(text, |variables| variables.duration("X", default)), (default, vec![expected]));
    }
}

#[test]
fn urls_are_bases_of_http_servers_and_mistakes_never_show_them() {
    for text in ["http://127.0.0.1:8002", "https://user:pass@example.com/base/"] {
        assert_eq!(read(text, |variables| variables.base_url("X")), (Some(Url::parse(text).unwrap()), vec![]));
    }
    for (text, why) in [
        ("secret", "relative URL without a base"),
        ("ftp://secret@example.com", "ftp is not http or https"),
        ("http://secret@", "empty host"),
        ("http://example.com/?key=secret", "a base has no query or fragment"),
    ] {
        let expected = format!("X: not the URL of a server ({why}); write it like http://127.0.0.1:8000");
        assert_eq!(read(text, |variables| variables.base_url("X")), (None, vec![expected]));
    }
}

#[test]
fn other_values_say_what_was_wanted() {
    let port = |variables: &Variables<'_>| variables.parsed::<u16>("X", 80, "a port from 1 to 65535");
    assert_eq!(read("8000", port), (8000, vec![]));
    assert_eq!(read("", port), (80, vec![]));
    assert_eq!(read("80a", port), (80, vec!["X: \"80a\" is not a port from 1 to 65535".to_owned()]));
}

#[test]
fn a_secret_comes_from_its_variable_or_its_file_but_not_from_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (full, empty, none) = (path("full"), path("empty"), path("none"));
    std::fs::write(&full, "  s3cret\n").unwrap();
    std::fs::write(&empty, "\n").unwrap();
    let missing = format!("KEY_FILE: cannot read {none}: No such file or directory (os error 2)");
    let not_set = "KEY: not set; set KEY, or KEY_FILE to the path of a file that holds it (to let clients in)";
    for (variable, file, expected) in [
        ("s3cret", "", Ok("s3cret")),
        ("", full.as_str(), Ok("s3cret")),
        ("", "", Err(not_set.to_owned())),
        ("s3cret", &full, Err("KEY: KEY and KEY_FILE are both set; keep one of the two".to_owned())),
        ("", &empty, Err(format!("KEY_FILE: {empty} is empty; write the secret into it"))),
        ("", &none, Err(missing)),
    ] {
        let environment = Environment::of([("KEY", variable), ("KEY_FILE", file)]);
        let variables = Variables::new(&environment);
        let secret = variables.required_secret("KEY", "to let clients in");
        let result = variables.finish(()).map(|()| secret.expose_secret().to_owned());
        assert_eq!(result, expected.map(str::to_owned).map_err(|mistake| vec![mistake]));
    }
}

#[test]
fn every_mistake_is_reported_in_the_order_of_reading() {
    let environment = Environment::of([("A", "x"), ("B", "y")]);
    let variables = Variables::new(&environment);
    variables.parsed::<u16>("A", 1, "a number");
    variables.duration("B", Duration::from_secs(1));
    variables.mistake("C", "is odd");
    let mistakes = variables.finish(()).unwrap_err();
    let names: Vec<&str> = mistakes.iter().filter_map(|mistake| mistake.split(':').next()).collect();
    assert_eq!(names, ["A", "B", "C"]);
}

#[test]
fn the_own_url_is_on_loopback_for_every_address() {
    for (host, expected) in [
        ("", "http://127.0.0.1:81/livez"),
        ("0.0.0.0", "http://127.0.0.1:81/livez"),
        ("::", "http://[::1]:81/livez"),
        ("10.1.2.3", "http://10.1.2.3:81/livez"),
    ] {
        let environment = Environment::of([("HOST", host), ("PORT", "81")]);
        let variables = Variables::new(&environment);
        let url = variables.own_url(NonZeroU16::MIN, "/livez");
        assert_eq!(variables.finish(url).as_deref(), Ok(expected), "{host}");
    }
}
