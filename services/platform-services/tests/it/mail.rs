//! Mails that people get, and the links in them: whose an address is, and a new password.

use serde_json::{Value, json};
use testkit::{Mail, eventually};

use crate::{Answer, KEY, LIMIT, PASSWORD, Platform, send, text};

#[tokio::test(flavor = "multi_thread")]
async fn people_get_mails_and_follow_their_links() {
    all(&Platform::over_sqlite().await).await;
}

pub(crate) async fn all(platform: &Platform) {
    an_address_is_confirmed_by_a_link_once(platform).await;
    nobody_gets_many_mails(platform).await;
    what_changes_is_told(platform).await;
    monitors_get_none(platform).await;
}

/// Undoes the encoding of bodies (RFC 2045 section 6.7).
pub(crate) fn legible(mail: &Mail) -> String {
    mail.content.replace("=\r\n", "").replace("=3D", "=")
}

/// Returns the mails to somebody that have this subject.
pub(crate) fn mails(platform: &Platform, email: &str, subject: &str) -> Vec<Mail> {
    let is_it = |mail: &Mail| mail.to == [email] && mail.content.contains(&format!("Subject: {subject}\r\n"));
    platform.mail.mails().into_iter().filter(is_it).collect()
}

/// Waits for so many of them, and returns the last.
pub(crate) async fn mail(platform: &Platform, email: &str, subject: &str, count: usize) -> Mail {
    eventually(&format!("{subject:?} to come to {email}"), LIMIT, async || {
        mails(platform, email, subject).get(count - 1).cloned()
    })
    .await
}

/// Returns the token of the link in a mail: the same in its text and in its HTML.
#[track_caller]
pub(crate) fn token(mail: &Mail, page: &str) -> String {
    let (content, start) = (legible(mail), format!("https://platform.example/app/auth/{page}?token="));
    let tokens: Vec<&str> = content.split(&start).skip(1).map(|rest| &rest[..43]).collect();
    assert!(tokens.len() == 3 && tokens.iter().all(|token| *token == tokens[0]), "{content}");
    tokens[0].to_owned()
}

pub(crate) const CONFIRM: &str = "Confirm your e-mail address";
const CHANGED: &str = "Your password was changed";

pub(crate) async fn post(platform: &Platform, path: &str, body: Value) -> Answer {
    platform.ask("POST", path, None, Some(body)).await
}

async fn an_address_is_confirmed_by_a_link_once(platform: &Platform) {
    let registered = platform.register("confirm@example.com").await.good(201);
    assert_eq!(registered["email_verified"], false);
    let access = text(&registered, "access_token");
    let sent = mail(platform, "confirm@example.com", CONFIRM, 1).await;
    assert_eq!(sent.from, "no-reply@platform.example");
    for header in ["From: Platform <no-reply@platform.example>\r\n", "Auto-Submitted: auto-generated\r\n"] {
        assert!(sent.content.contains(header), "{header} in {}", sent.content);
    }
    assert!(!sent.content.contains("Ada"), "no word of a person is sent to an address that may be another's");
    let resend = async || platform.ask("POST", "/auth/verify-email/resend", Some(&access), None).await;
    resend().await.good(202);
    let again = mail(platform, "confirm@example.com", CONFIRM, 2).await;
    let (first, second) = (token(&sent, "verify-email"), token(&again, "verify-email"));
    assert_ne!(first, second);
    let verify = async |token: &str| post(platform, "/auth/verify-email", json!({ "token": token })).await;
    verify("").await.error(400, "bad_token");
    verify(&"x".repeat(43)).await.error(400, "bad_token");
    verify(&first).await.good(200);
    for used in [&first, &second] {
        verify(used).await.error(400, "bad_token");
    }
    assert_eq!(platform.ask("GET", "/auth/me", Some(&access), None).await.good(200)["email_verified"], true);
    resend().await.error(409, "already_verified");
}

/// Waits until a metric is there.
pub(crate) async fn is_counted(platform: &Platform, series: &str) {
    eventually(&format!("{series} to be there"), LIMIT, async || {
        let metrics = platform.ask("GET", "/metrics", None, None).await;
        String::from_utf8_lossy(&metrics.body).contains(series).then_some(())
    })
    .await;
}

async fn nobody_gets_many_mails(platform: &Platform) {
    let access = text(&platform.register("resent@example.com").await.good(201), "access_token");
    let resend = async || platform.ask("POST", "/auth/verify-email/resend", Some(&access), None).await;
    for _after_the_first in 0..2 {
        resend().await.good(202);
    }
    resend().await.error(429, "locked");
}

async fn what_changes_is_told(platform: &Platform) {
    let access = text(&platform.register("told@example.com").await.good(201), "access_token");
    let body = json!({ "current_password": PASSWORD, "new_password": "a change of mind" });
    platform.ask("POST", "/auth/change-password", Some(&access), Some(body)).await.good(200);
    let sent = mail(platform, "told@example.com", CHANGED, 1).await;
    assert!(!sent.content.contains("token="), "{}", sent.content);
    crate::second_factor::account(platform, "told-too@example.com").await;
    mail(platform, "told-too@example.com", "Your second factor is on", 1).await;
}

async fn monitors_get_none(platform: &Platform) {
    let request = platform.request("POST", "/auth/register").header("x-api-key", KEY).header("x-monitor-probe", "x");
    let body = json!({ "name": "Canary", "email": "canary@monitor.example", "password": PASSWORD });
    let registered = send(request.header("content-type", "application/json"), body.to_string()).await.good(201);
    let access = text(&registered, "access_token");
    platform.ask("POST", "/auth/verify-email/resend", Some(&access), None).await.good(202);
    // What was put in after it has come.
    platform.register("after@example.com").await.good(201);
    mail(platform, "after@example.com", CONFIRM, 1).await;
    assert!(platform.mail.mails().iter().all(|mail| mail.to != ["canary@monitor.example"]));
}
