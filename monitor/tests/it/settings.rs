//! Settings that are wrong, and exactly what a person is told.

use crate::{PATIENT, decode};

#[track_caller]
fn check(text: &str, mistakes: &[&str]) {
    assert_eq!(decode(text, PATIENT).unwrap_err(), mistakes, "{text}");
}

#[test]
fn http_settings_are_checked_at_load() {
    check("http: {}", &["m.yml:1:7: http: \"url\" is missing"]);
    check(
        "http: { url: 'ftp://x/' }",
        &["m.yml:1:14: http.url: \"ftp://x/\" is not an http URL; write it like https://example.com/health"],
    );
    check(
        "http: { url: 'http://me:pw@x/' }",
        &["m.yml:1:14: http.url: credentials do not belong in a URL; write basic: { username: …, password_file: … }"],
    );
    check(
        "http: { url: 'http://x/', methd: GET, redirects: many, http: 3 }",
        &[
            "m.yml:1:27: http: unknown key \"methd\"; did you mean \"method\"?",
            "m.yml:1:50: http.redirects: expected follow, none or a whole number from 1 to 20, found \"many\"",
            "m.yml:1:62: http.http: expected one of auto, 1.1, 2, found 3",
        ],
    );
    check(
        "http: { url: 'http://x/', bearer: hunter2 }",
        &[
            "m.yml:1:35: http.bearer: a secret does not belong in this file; write bearer_file: /path/to/file or bearer: \
           ${VARIABLE}",
        ],
    );
    check(
        "http: { url: 'http://x/', tls: { verify: false, ca_file: a.pem } }",
        &[
            "m.yml:1:32: http.tls: verify: false makes \"ca_file\" and \"pin_sha256\" useless; keep one of them",
            "m.yml:1:58: http.tls.ca_file: cannot read certificates from a.pem: I/O error: No such file or directory (os \
           error 2)",
        ],
    );
}

#[test]
fn a_probe_shows_no_secret() {
    let text = "http: { url: 'http://x/${SECRET}', headers: { X-Key: '${SECRET}' }, bearer: '${SECRET}' }";
    let question = decode(text, PATIENT).unwrap();
    assert_eq!(question.probe.target().shown, "http://x/…");
    assert!(!format!("{question:?}").contains("hunter2"), "{question:?}");
}
