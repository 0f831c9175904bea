//! What the audit keeps, and what it must not.

use http::Method;
use testkit::Target;

use super::visitor::{FORM, OPERATOR, audit, bearer, get, send, sign_in, start, until_audited};
use crate::harness::TOKEN;

#[tokio::test]
async fn every_change_leaves_a_row_and_no_row_holds_a_secret() {
    let target = Target::ok("");
    let running = start(&target, "").await;
    let operator = bearer(TOKEN);
    running.post("/api/v1/reload", &[("authorization", &operator)]).await;
    std::fs::write(running.folder.path().join("monitor.yml"), "services: [").unwrap();
    assert_eq!(running.post("/api/v1/reload?force=true", &[("authorization", &operator)]).await.0, 409);
    running.reload.send(()).await.unwrap();
    assert_eq!(until_audited(&running, "the file or a signal", "config.reload").await, "refused");
    sign_in(&running, OPERATOR).await;
    send(&running, Method::POST, "/login", &[FORM], "token=a-wrong-secret").await;
    until_audited(&running, "somebody unknown", "login.refused").await;
    let rows = audit(&running).await;
    let told: Vec<String> = rows.iter().map(|[who, action, detail]| format!("{who}: {action} {detail}")).collect();
    assert_eq!(
        told[..2],
        ["operator: config.reload 1 services are watched", "operator: config.reload by force: refused"]
    );
    let all = get(&running, "/api/v1/audit", &[("authorization", &operator)]).await.text;
    for secret in [TOKEN, OPERATOR, "a-wrong-secret", "monitor_session"] {
        assert!(!all.contains(secret), "{all}");
    }
    running.stop().await;
}
