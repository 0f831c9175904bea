//! What a stranger learns who may see names only.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use testkit::{Target, eventually};
use uuid::Uuid;

use super::visitor::{HTML, VIEWER, access, bearer, get, open_incident};
use crate::harness::{LIMIT, Running};

/// What no stranger may find in anything that she can ask for, beside the target's port.
const SECRETS: [&str; 7] =
    ["path-secret", "log-secret", "label-secret", "127.0.0.1:9", "status 503", "refused", "exit code"];

fn yaml(target: &Target) -> String {
    format!(
        "{}defaults: {{ every: 1s, every_when_failing: 100ms, fail_after: 2, timeout: 500ms }}\nservices:\n  web:\n    about: the shop's front\n    labels: {{ team: label-secret }}\n    checks: {{ home: {{ http: {{ url: \"{}\" }} }} }}\n  job:\n    workload: {{ process: {{ command: [sh, -c, \"echo log-secret; exit 3\"], restart: on-failure }} }}\n    checks: {{ port: {{ tcp: {{ address: \"127.0.0.1:9\" }} }} }}\n",
        access("  public: names\n"),
        target.url("/path-secret")
    )
}

/// Every path of the document and of the pages, filled in, but the one that does not end.
async fn paths(running: &Running, incident: Uuid) -> Vec<String> {
    let document = get(running, "/api/v1/openapi.json", &[]).await.json();
    let mut paths: Vec<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
    let pages =
        ["/", "/services", "/services/web", "/services/job", "/audit", "/login", "/metrics", "/health", "/readyz"];
    paths.extend(pages.map(str::to_owned));
    paths.push(format!("/incidents/{incident}"));
    paths.push(format!("/incidents/{incident}/acknowledge?token=guess"));
    paths.retain(|path| path != "/api/v1/events");
    let incident = incident.to_string();
    let of = |path: &str, service: &str| {
        let path = path.replace("{id}", &incident).replace("{incident}", &incident);
        path.replace("{service}", service).replace("{name}", service).replace("{file}", &format!("{service}.json"))
    };
    paths.iter().flat_map(|path| [of(path, "web"), of(path, "job")]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_names_only_learns_no_address_no_log_line_and_no_label() {
    let target = Target::ok("");
    target.set_status(503);
    let running = Running::start(&yaml(&target)).await;
    let mut events = {
        let client = kit::http::client::<Full<Bytes>>(LIMIT);
        let request = Request::get(format!("{}/api/v1/events", running.url)).body(Full::default()).unwrap();
        client.request(request).await.unwrap().into_body()
    };
    running.until("web", "down").await;
    let incident = open_incident(&running).await;
    let token = bearer(VIEWER);
    let known = eventually("the process to have written its line", LIMIT, async || {
        let text = get(&running, "/api/v1/status", &[("authorization", &token)]).await.text;
        text.contains("log-secret").then_some(text)
    })
    .await;
    let port = target.addr().port().to_string();
    assert!(known.contains(&port) && known.contains("path-secret") && known.contains("status 503"), "{known}");
    let hides = |what: &str, text: &str| {
        for secret in SECRETS.into_iter().chain([port.as_str()]) {
            assert!(!text.contains(secret), "{what} shows {secret:?}: {text}");
        }
    };

    let mut seen = 0;
    for path in paths(&running, incident).await {
        for accept in ["application/json", "text/html"] {
            let answer = get(&running, &path, &[("accept", accept)]).await;
            seen += usize::from(answer.status == 200);
            hides(&path, &answer.text);
        }
    }
    assert!(seen >= 20, "{seen} answers were looked at");
    let page = get(&running, "/", &[HTML]).await.text;
    for told in ["web", "job", "the shop&#39;s front", "down"] {
        assert!(page.contains(told), "no {told:?} in {page}");
    }
    let status = get(&running, "/api/v1/status", &[]).await.json();
    assert_eq!((&status["services"][0]["verdict"], &status["services"][0]["why"]), (&"down".into(), &"".into()));
    // Everything that was told live until now, and the change that follows.
    target.set_status(200);
    running.until("web", "up").await;
    let mut told = String::new();
    while !told.contains("\"up\"") {
        let frame = tokio::time::timeout(LIMIT, events.frame()).await.unwrap().unwrap().unwrap();
        told.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
    assert!(told.contains("\"verdict\":\"down\""), "{told}");
    hides("the event stream", &told);
    running.stop().await;
}
