//! Settings that are wrong, and exactly what a person is told.

use crate::decode;

#[track_caller]
fn check(text: &str, mistakes: &[&str]) {
    assert_eq!(decode(text).unwrap_err(), mistakes, "{text}");
}

#[test]
fn webhook_settings_are_checked_at_load() {
    check("webhook: {}", &["m.yml:2:12: ops.webhook: \"url\" is missing"]);
    check(
        "webhook: { url: 'ftp://x/', secret: hunter2 }",
        &[
            "m.yml:2:19: ops.webhook.url: the URL must begin with http:// or https:// and name a host",
            "m.yml:2:39: ops.webhook.secret: a secret does not belong in this file; write secret_file: /path/to/file or \
             secret: ${VARIABLE}",
        ],
    );
    check(
        "webhook: { preset: gotfy, url: 'http://x/' }",
        &[
            "m.yml:2:22: ops.webhook.preset: there is no preset \"gotfy\"; did you mean \"gotify\"?; there are pushover, \
           gotify, matrix, mattermost, google_chat, twilio, signal, rocket_chat",
        ],
    );
    check(
        "webhook: { preset: matrix, url: 'http://x/', values: { rom: a }, secrets: { token: /no/such } }",
        &[
            "m.yml:2:12: ops.webhook: the preset needs \"room\" under \"values\"",
            "m.yml:2:63: ops.webhook.values.rom: the preset knows no \"rom\"; did you mean \"room\"?",
            "m.yml:2:86: ops.webhook.secrets.token: cannot read the secret file: No such file or directory (os error 2); \
             write a path or ${VARIABLE}",
        ],
    );
}
