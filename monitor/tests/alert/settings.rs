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

#[test]
fn a_secret_must_be_there_and_must_not_stand_in_the_file() {
    check("telegram: { chat_id: 1 }", &["m.yml:2:13: ops.telegram: \"bot_token_file\" is missing"]);
    check("pagerduty: {}", &["m.yml:2:14: ops.pagerduty: \"routing_key_file\" is missing"]);
    check(
        "opsgenie: { region: mars }",
        &[
            "m.yml:2:13: ops.opsgenie: \"api_key_file\" is missing",
            "m.yml:2:23: ops.opsgenie.region: expected one of us, eu, found \"mars\"",
        ],
    );
    for (kind, key) in
        [("telegram: { chat_id: 1, ", "bot_token"), ("pagerduty: { ", "routing_key"), ("opsgenie: { ", "api_key")]
    {
        let mistakes = decode(&format!("{kind}{key}: hunter2 }}")).unwrap_err();
        assert!(mistakes[0].ends_with(&format!(
            "a secret does not belong in this file; write {key}_file: /path/to/file or {key}: ${{VARIABLE}}"
        )));
        assert!(!mistakes.concat().contains("hunter2"), "{mistakes:?}");
    }
}

#[test]
fn settings_of_chats_are_checked_at_load() {
    for kind in ["slack", "discord", "teams"] {
        let mistakes = decode(&format!("{kind}: {{ hook: 'https://x/' }}")).unwrap_err();
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(
            mistakes[0].ends_with("\"url\" is missing") && mistakes[1].contains("unknown key \"hook\""),
            "{mistakes:?}"
        );
    }
    check(
        "ntfy: { topc: x }",
        &[
            "m.yml:2:9: ops.ntfy: \"topic\" is missing",
            "m.yml:2:11: ops.ntfy: unknown key \"topc\"; did you mean \"topic\"?",
        ],
    );
    check(
        "alertmanager: { urls: [] }",
        &["m.yml:2:25: ops.alertmanager.urls: there is no peer; write [http://alertmanager:9093]"],
    );
    check(
        "alertmanager: { urls: ['alertmanager:9093'] }",
        &["m.yml:2:26: ops.alertmanager.urls[0]: the URL must begin with http:// or https:// and name a host"],
    );
}
