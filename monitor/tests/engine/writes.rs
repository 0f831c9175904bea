//! Who may write, and what a push leaves behind.

use monitor::Kinds;
use testkit::eventually;

use crate::harness::{LIMIT, Running, TOKEN};

const JOB: &str = "defaults: { every: 1s }\nservices:\n  job:\n    checks:\n      nightly: { heartbeat: { period: 1h, token: \"${TOKEN}-of-the-job\" } }\n";

#[tokio::test]
async fn only_the_operator_or_the_jobs_own_token_may_push() {
    let engine = Running::start(JOB).await;
    let path = "/api/v1/heartbeat/job/nightly";
    let (operator, job) = (format!("Bearer {TOKEN}"), format!("Bearer {TOKEN}-of-the-job"));
    assert_eq!(engine.post(path, &[]).await.0, 401);
    assert_eq!(engine.post(path, &[("authorization", "Bearer wrong")]).await.0, 401);
    assert_eq!(engine.post(path, &[("authorization", &operator), ("host", "evil.example")]).await.0, 403);
    assert_eq!(engine.post(path, &[("authorization", &operator), ("origin", "http://evil.example")]).await.0, 403);
    assert_eq!(engine.post(path, &[("authorization", &operator), ("x-forwarded-for", "1.2.3.4")]).await.0, 403);
    assert_eq!(engine.post(path, &[("authorization", &operator)]).await.0, 204);
    assert_eq!(engine.post(path, &[("authorization", &job), ("host", "monitor.example")]).await.0, 204, "a remote job");
    assert_eq!(engine.post("/api/v1/reload", &[("authorization", &job)]).await.0, 401, "a job is no operator");
    let (status, answer) = engine.post("/api/v1/heartbeat/job/nightli", &[("authorization", &operator)]).await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (404, Some("there is no heartbeat \"job/nightli\"; did you mean \"job/nightly\"?"))
    );
    let (status, answer) = engine.post(&format!("{path}?state=done"), &[("authorization", &operator)]).await;
    assert_eq!((status, answer["error"].as_str()), (400, Some("state is \"done\"; write start, success or fail")));
}

#[tokio::test]
async fn a_push_decides_at_once_and_survives_a_restart() {
    let engine = Running::start(JOB).await;
    let operator = [("authorization", &*format!("Bearer {TOKEN}"))];
    let first = eventually("the first look", LIMIT, async || {
        let (_, job) = engine.get("/api/v1/services/job").await;
        (job["why"] == "nightly: waiting for its first push").then_some(job)
    });
    assert_eq!(first.await["verdict"], "unknown");
    engine.post("/api/v1/heartbeat/job/nightly", &operator).await;
    engine.until("job", "up").await;
    engine.post("/api/v1/heartbeat/job/nightly?exit_code=3", &operator).await;
    let down = engine.until("job", "down").await;
    assert!(down["why"].as_str().unwrap().starts_with("nightly: the job failed with exit code 3"), "{down}");
    // A reload in between must not take it for new.
    engine.reload.send(()).await.unwrap();
    let mut changes = engine.shared.changes.subscribe();
    engine.post("/api/v1/reload", &operator).await;
    assert!(changes.recv().await.is_ok());
    let folder = engine.stop().await;
    let engine = Running::start_in(folder, JOB, Kinds::standard()).await;
    let again = eventually("the restarted monitor to look", LIMIT, async || {
        let (_, job) = engine.get("/api/v1/services/job").await;
        job["checks"][0]["last"].is_object().then_some(job)
    });
    assert_eq!(again.await["verdict"], "down");
    let (_, transitions) = engine.get("/api/v1/transitions?service=job").await;
    assert_eq!(transitions.as_array().unwrap().len(), 2, "a restart is no news: {transitions}");
}
