//! Somebody who reads pages, with a token or without one.

use serde_json::{Value, json};
use testkit::eventually;

use crate::daemon::machine::{LIMIT, Machine, TOKEN};

/// What nobody may have run in a browser.
pub(crate) const HOSTILE: &str = "<script>alert('x')</script>";

impl Machine {
    /// A page as everybody sees it: status and text.
    pub(crate) async fn page(&self, path: &str) -> (u16, String) {
        self.ask(self.request("GET", path, &[("accept", "text/html")]), &Value::Null).await.unwrap()
    }

    /// A page as an operator sees it.
    pub(crate) async fn operators_page(&self, path: &str) -> (u16, String) {
        let token = format!("Bearer {TOKEN}");
        self.ask(self.request("GET", path, &[("authorization", &token)]), &Value::Null).await.unwrap()
    }

    /// Asks as an operator, and returns what is answered.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let token = format!("Bearer {TOKEN}");
        let request = self.request("POST", path, &[("authorization", &token), ("idempotency-key", path)]);
        let (status, answer) = self.ask(request, body).await.unwrap();
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// Has a job of this queue and name fail in these words.
    pub(crate) async fn fails(&self, queue: &str, name: &str, data: Value, why: &str) {
        self.bull.set(&format!("does:{queue}:{name}"), &json!({ "throws": why }).to_string()).await;
        self.bull.add(queue, json!({ "name": name, "data": data })).await;
        self.bull.work(queue).await;
    }

    /// Waits until so many letters are taken in, and returns the page that shows them.
    pub(crate) async fn overview_of(&self, letters: f64) -> String {
        eventually("all to be taken in", LIMIT, async || {
            self.metric("dlq_captured_total", "").await.filter(|taken| *taken >= letters)?;
            let (status, page) = self.page("/").await;
            (status == 200).then_some(page)
        })
        .await
    }
}

/// Asserts that a page loads nothing from elsewhere, and holds no markup that a job brought along.
pub(crate) fn is_harmless(path: &str, page: &str) {
    for attribute in ["src=\"", "href=\"", "action=\"", "content=\"http"] {
        for target in page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
            let is_own = target.starts_with(['/', '#', '?']) && !target.starts_with("//");
            assert!(is_own, "{path} refers to {target}");
        }
    }
    assert!(!page.contains("<script>") && !page.contains("<style") && !page.contains(" style="), "{path}: {page}");
    assert_eq!(page.matches("<script ").count(), page.matches("<script src=\"/assets/").count(), "{path}");
}
