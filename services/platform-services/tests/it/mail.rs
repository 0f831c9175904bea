//! Mails that people get, and the links in them: whose an address is, and a new password.

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::{Mail, eventually};

use crate::second_factor::{Account, account};
use crate::{Answer, KEY, LIMIT, PASSWORD, Platform, send, text};

#[tokio::test(flavor = "multi_thread")]
async fn people_get_mails_and_follow_their_links() {
    all(&Platform::over_sqlite().await).await;
}

pub(crate) async fn all(platform: &Platform) {
    an_address_is_confirmed_by_a_link_once(platform).await;
    a_new_password_is_chosen_by_a_link_once(platform).await;
    a_link_is_over_after_a_while_and_after_a_change(platform).await;
    nobody_learns_whether_there_is_an_account(platform).await;
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
    let tokens: Vec<&str> = content.split(&start).skip(1).map(|rest| &rest[..64]).collect();
    assert!(tokens.len() == 3 && tokens.iter().all(|token| *token == tokens[0]), "{content}");
    tokens[0].to_owned()
}

pub(crate) const CONFIRM: &str = "Confirm your e-mail address";
pub(crate) const CHOOSE: &str = "Choose a new password";
pub(crate) const CHANGED: &str = "Your password was changed";

pub(crate) async fn post(platform: &Platform, path: &str, body: Value) -> Answer {
    platform.ask("POST", path, None, Some(body)).await
}

async fn forgot(platform: &Platform, email: &str) -> Answer {
    post(platform, "/auth/forgot-password", json!({ "email": email })).await
}

async fn reset(platform: &Platform, token: &str, password: &str) -> Answer {
    post(platform, "/auth/reset-password", json!({ "token": token, "new_password": password })).await
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
    verify(&"x".repeat(64)).await.error(400, "bad_token");
    reset(platform, &first, "another good one").await.error(400, "bad_token");
    verify(&first).await.good(200);
    for used in [&first, &second] {
        verify(used).await.error(400, "bad_token");
    }
    assert_eq!(platform.ask("GET", "/auth/me", Some(&access), None).await.good(200)["email_verified"], true);
    resend().await.error(409, "already_verified");
}

async fn a_new_password_is_chosen_by_a_link_once(platform: &Platform) {
    let access = text(&platform.register("forgot@example.com").await.good(201), "access_token");
    for _until_it_is_locked in 0..5 {
        platform.login("forgot@example.com", "a wrong password").await.error(401, "bad_credentials");
    }
    platform.login("forgot@example.com", PASSWORD).await.error(429, "locked");
    let asked = forgot(platform, " Forgot@Example.com").await;
    let first = token(&mail(platform, "forgot@example.com", CHOOSE, 1).await, "reset-password");
    assert_eq!(asked.good(202), forgot(platform, "forgot@example.com").await.good(202));
    let second = token(&mail(platform, "forgot@example.com", CHOOSE, 2).await, "reset-password");

    reset(platform, &first, "short").await.error(400, "password_too_short");
    reset(platform, &first, "iloveyou1").await.error(400, "password_too_common");
    reset(platform, &first, "forgot@example.com").await.error(400, "password_is_name");
    post(platform, "/auth/verify-email", json!({ "token": first })).await.error(400, "bad_token");
    assert_eq!(platform.profile(&access).await, 200, "nothing has happened yet");
    let answers = join_all((0..4).map(|_| reset(platform, &first, "another good one"))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "of several at once one wins");
    assert_eq!(platform.profile(&access).await, 401, "every session has ended");
    for used in [&first, &second] {
        reset(platform, used, "yet another one").await.error(400, "bad_token");
    }
    let login = platform.login("forgot@example.com", "another good one").await.good(200);
    assert_eq!(login["user"]["email_verified"], true, "the link came to the address");
    mail(platform, "forgot@example.com", CHANGED, 1).await;

    let kinds = platform.kinds("forgot@example.com").await;
    assert_eq!(kinds[7..], ["reset_requested", "reset_requested", "password_reset", "login"]);
}

async fn a_link_is_over_after_a_while_and_after_a_change(platform: &Platform) {
    let access = text(&platform.register("over@example.com").await.good(201), "access_token");
    forgot(platform, "over@example.com").await.good(202);
    let late = token(&mail(platform, "over@example.com", CHOOSE, 1).await, "reset-password");
    platform.change("UPDATE {schema}mailed_tokens SET expires_ms = 0 WHERE used_ms IS NULL").await;
    reset(platform, &late, "another good one").await.error(400, "bad_token");
    forgot(platform, "over@example.com").await.good(202);
    let before = token(&mail(platform, "over@example.com", CHOOSE, 2).await, "reset-password");
    let body = json!({ "current_password": PASSWORD, "new_password": "a change of mind" });
    platform.ask("POST", "/auth/change-password", Some(&access), Some(body)).await.good(200);
    reset(platform, &before, "another good one").await.error(400, "bad_token");
    platform.login("over@example.com", "a change of mind").await.good(200);
}

async fn nobody_learns_whether_there_is_an_account(platform: &Platform) {
    platform.register("there@example.com").await.good(201);
    let there = forgot(platform, "there@example.com").await.good(202);
    assert_eq!(there, forgot(platform, "nowhere@example.com").await.good(202));
    mail(platform, "there@example.com", CHOOSE, 1).await;
    is_counted(platform, r#"platform_mails_total{kind="reset_password",result="dropped"}"#).await;
    assert_eq!(mails(platform, "nowhere@example.com", CHOOSE), []);
    forgot(platform, "no address").await.error(400, "invalid_email");
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
    // Whether there is such an account or not.
    for email in ["flooded@example.com", "unknown@example.net"] {
        for _free in 0..3 {
            forgot(platform, email).await.good(202);
        }
        let refused = forgot(platform, email).await;
        refused.error(429, "locked");
        let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1100..=1200).contains(&wait), "{wait}");
    }
    let access = text(&platform.register("resent@example.com").await.good(201), "access_token");
    let resend = async || platform.ask("POST", "/auth/verify-email/resend", Some(&access), None).await;
    for _after_the_first in 0..2 {
        resend().await.good(202);
    }
    resend().await.error(429, "locked");
    let from = async |number: u32| {
        let body = json!({ "email": format!("flood-{number}@example.net") });
        platform.ask_from("192.0.2.90", "POST", "/auth/forgot-password", None, Some(body)).await
    };
    for number in 0..20 {
        from(number).await.good(202);
    }
    from(20).await.error(429, "locked");
}

async fn what_changes_is_told(platform: &Platform) {
    let access = text(&platform.register("told@example.com").await.good(201), "access_token");
    let body = json!({ "current_password": PASSWORD, "new_password": "a change of mind" });
    platform.ask("POST", "/auth/change-password", Some(&access), Some(body)).await.good(200);
    let sent = mail(platform, "told@example.com", CHANGED, 1).await;
    assert!(!sent.content.contains("token="), "{}", sent.content);
    let Account { token: access, recovery, .. } = account(platform, "told-too@example.com").await;
    mail(platform, "told-too@example.com", "Your second factor is on", 1).await;
    // A link by mail does not stand in for it.
    forgot(platform, "told-too@example.com").await.good(202);
    let link = token(&mail(platform, "told-too@example.com", CHOOSE, 1).await, "reset-password");
    reset(platform, &link, PASSWORD).await.good(200);
    assert_eq!(platform.profile(&access).await, 401);
    platform.login("told-too@example.com", PASSWORD).await.error(401, "second_factor_required");
    let body = json!({ "email": "told-too@example.com", "password": PASSWORD, "code": recovery[0] });
    let access = text(&post(platform, "/auth/login", body).await.good(200), "access_token");
    let body = json!({ "current_password": PASSWORD, "code": recovery[1] });
    platform.ask("POST", "/auth/totp/disable", Some(&access), Some(body)).await.good(200);
    mail(platform, "told-too@example.com", "Your second factor is off", 1).await;
}

async fn monitors_get_none(platform: &Platform) {
    let request = platform.request("POST", "/auth/register").header("x-api-key", KEY).header("x-monitor-probe", "x");
    let body = json!({ "name": "Canary", "email": "canary@monitor.example", "password": PASSWORD });
    let registered = send(request.header("content-type", "application/json"), body.to_string()).await.good(201);
    forgot(platform, "canary@monitor.example").await.good(202);
    let access = text(&registered, "access_token");
    platform.ask("POST", "/auth/verify-email/resend", Some(&access), None).await.good(202);
    // What was put in after it has come, of either kind.
    platform.register("after@example.com").await.good(201);
    forgot(platform, "after@example.com").await.good(202);
    mail(platform, "after@example.com", CONFIRM, 1).await;
    mail(platform, "after@example.com", CHOOSE, 1).await;
    assert!(platform.mail.mails().iter().all(|mail| mail.to != ["canary@monitor.example"]));
}
