//! Mails that cannot be sent at once are kept, come later and once; and what happens where there is no mail at all.

use kit::queue::{Options, Queues};
use serde_json::json;
use testkit::{Postgres, Smtp, eventually, free_port};
use tokio::net::{TcpListener, TcpStream};

use crate::mail::{CHANGED, CHOOSE, CONFIRM, is_counted, mail, mails, post, token};
use crate::{LIMIT, PASSWORD, Platform, text};

/// Starts one over a file, with one more variable.
async fn platform(more: (&str, &str)) -> Platform {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("platform.db").display());
    Platform::ready(Platform::start_with(folder, &url, more).await).await
}

fn series(kind: &str, result: &str) -> String {
    format!(r#"platform_mails_total{{kind="{kind}",result="{result}"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_waits_for_a_server_that_is_away_and_comes_once() {
    let port = free_port();
    let platform = platform(("SMTP_URL", &format!("smtp://127.0.0.1:{port}"))).await;
    platform.register("ada@example.com").await.good(201);
    is_counted(&platform, &series("verify_email", "retried")).await;
    is_counted(&platform, "platform_mails_waiting 1").await;
    // The server is back.
    let (listener, onward) = (TcpListener::bind(("127.0.0.1", port)).await.unwrap(), platform.mail.target().addr());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut onward = TcpStream::connect(onward).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut onward).await });
        }
    });
    let sent = mail(&platform, "ada@example.com", CONFIRM, 1).await;
    is_counted(&platform, &format!("{} 1", series("verify_email", "sent"))).await;
    post(&platform, "/auth/verify-email", json!({ "token": token(&sent, "verify-email") })).await.good(200);
    let platform = platform.again(("REQUIRE_API_KEY", "true")).await;
    platform.register("eve@example.com").await.good(201);
    mail(&platform, "eve@example.com", CONFIRM, 1).await;
    assert_eq!(mails(&platform, "ada@example.com", CONFIRM), [], "no second time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_was_put_in_is_sent_by_the_next_program() {
    let platform = platform(("SMTP_URL", &format!("smtp://127.0.0.1:{}", free_port()))).await;
    platform.register("ada@example.com").await.good(201);
    post(&platform, "/auth/forgot-password", json!({ "email": "ada@example.com" })).await.good(202);
    let platform = platform.again(("REQUIRE_API_KEY", "true")).await;
    mail(&platform, "ada@example.com", CONFIRM, 1).await;
    let sent = mail(&platform, "ada@example.com", CHOOSE, 1).await;
    let body = json!({ "token": token(&sent, "reset-password"), "new_password": "another good one" });
    post(&platform, "/auth/reset-password", body).await.good(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_holds_nothing_that_opens_an_account() {
    let stalled = Smtp::default().reply(".", "451 disk full").start();
    let platform = platform(("SMTP_URL", &format!("smtp://{}", stalled.target().addr()))).await;
    platform.register("ada@example.com").await.good(201);
    is_counted(&platform, &series("verify_email", "retried")).await;
    let said = stalled.target().received().concat();
    let said = String::from_utf8_lossy(&said).replace("=\r\n", "").replace("=3D", "=");
    let token = said.split("token=").nth(1).map(|rest| &rest[..64]).unwrap();
    for name in ["jobs.db", "jobs.db-wal", "platform.db", "platform.db-wal"] {
        let bytes = std::fs::read(platform.folder.path().join(name)).unwrap();
        let is_in = bytes.windows(token.len()).any(|piece| piece == token.as_bytes());
        assert!(!is_in, "{name}");
    }
    post(&platform, "/auth/verify-email", json!({ "token": token })).await.good(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_refused_for_good_is_not_tried_again() {
    let refusing = Smtp::default().reply("RCPT", "550 no such user").start();
    let platform = platform(("SMTP_URL", &format!("smtp://{}", refusing.target().addr()))).await;
    platform.register("ada@example.com").await.good(201);
    is_counted(&platform, &format!("{} 1", series("verify_email", "refused"))).await;
    let url = format!("sqlite:{}", platform.folder.path().join("jobs.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let reason = eventually("the dead letter to be there", LIMIT, async || {
        let select = sqlx::query_scalar::<_, String>("SELECT reason FROM dead_jobs WHERE queue = 'mail'");
        select.fetch_optional(&pool).await.unwrap()
    });
    assert_eq!(reason.await, "the mail server refuses it: permanent error (550): no such user");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_means_no_mail_is_counted() {
    let platform = platform(("REQUIRE_API_KEY", "true")).await;
    let queues = Queues::sqlite(&platform.folder.path().join("jobs.db")).await.unwrap();
    queues.enqueue("mail", "of_tomorrow", &json!({ "kind": "of_tomorrow" }), Options::default()).await.unwrap();
    is_counted(&platform, &format!("{} 1", series("unknown", "refused"))).await;
    queues.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_cannot_be_written_keeps_nobody_from_registering() {
    let platform = platform(("JOBS_DATABASE_URL", "sqlite:/dev/null/jobs.db")).await;
    platform.register("ada@example.com").await.good(201);
    is_counted(&platform, &series("verify_email", "lost")).await;
    post(&platform, "/auth/forgot-password", json!({ "email": "ada@example.com" }))
        .await
        .error(503, "mail_unavailable");
    let health = platform.ask("GET", "/health", None, None).await.good(200);
    assert_eq!((&health["status"], &health["checks"]["jobs"]["status"]), (&json!("degraded"), &json!("unhealthy")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_mail_server_what_needs_it_says_so_and_the_rest_goes_on() {
    let platform = platform(("SMTP_URL", "")).await;
    let access = text(&platform.register("ada@example.com").await.good(201), "access_token");
    let resent = platform.ask("POST", "/auth/verify-email/resend", Some(&access), None).await;
    let forgot = post(&platform, "/auth/forgot-password", json!({ "email": "ada@example.com" })).await;
    for answer in [resent, forgot] {
        let said = answer.error(503, "mail_not_configured");
        assert_eq!(said, "this server sends no mail; whoever runs it can set SMTP_URL and MAIL_FROM");
    }
    let body = json!({ "current_password": PASSWORD, "new_password": "a change of mind" });
    platform.ask("POST", "/auth/change-password", Some(&access), Some(body)).await.good(200);
    assert_eq!(platform.ask("GET", "/health", None, None).await.good(200)["status"], "healthy");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hangs_up_is_told_what_he_changed() {
    let postgres = Postgres::start().await;
    let platform = Platform::over(&postgres).await;
    let access = text(&platform.register("ada@example.com").await.good(201), "access_token");
    // Whatever happens waits to be noted until this ends.
    let pool = sqlx::PgPool::connect(&postgres.url()).await.unwrap();
    let mut noting = pool.begin().await.unwrap();
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('platform-services auth_events', 0))";
    sqlx::raw_sql(lock).execute(&mut *noting).await.unwrap();
    let body = json!({ "current_password": PASSWORD, "new_password": "a change of mind" });
    let change = platform.ask("POST", "/auth/change-password", Some(&access), Some(body));
    let waits = eventually("the change to wait", LIMIT, async || {
        (postgres.sql("SELECT count(*) FROM pg_locks WHERE NOT granted") == "1").then_some(())
    });
    tokio::select! {
        answer = change => panic!("{answer:?}"),
        () = waits => {}
    }
    is_counted(&platform, "active_connections{service=\"platform-services\"} 1\n").await;
    noting.rollback().await.unwrap();
    mail(&platform, "ada@example.com", CHANGED, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_addresses_must_be_confirmed_nobody_signs_in_before() {
    let platform = platform(("REQUIRE_VERIFIED_EMAIL", "true")).await;
    let registered = platform.register("ada@example.com").await.good(201);
    assert!(registered.get("access_token").is_none(), "{registered}");
    assert_eq!(registered["user"]["email_verified"], false);
    mail(&platform, "ada@example.com", CONFIRM, 1).await;
    platform.login("ada@example.com", "a wrong password").await.error(401, "bad_credentials");
    platform.login("ada@example.com", PASSWORD).await.error(403, "email_not_verified");
    // The first may be lost: each try sends another, up to the bound.
    let again = mail(&platform, "ada@example.com", CONFIRM, 2).await;
    post(&platform, "/auth/verify-email", json!({ "token": token(&again, "verify-email") })).await.good(200);
    platform.login("ada@example.com", PASSWORD).await.good(200);
}
