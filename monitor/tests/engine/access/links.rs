//! Links in messages: who sees what behind them, and who acts by them.

use http::Method;
use testkit::{Answer, Target, eventually};
use uuid::Uuid;

use super::visitor::{FORM, HTML, OPERATOR, VIEWER, access, get, open_incident, send, service, sign_in, until_audited};
use crate::harness::{LIMIT, Running};

const PROXIED: [(&str, &str); 3] =
    [("x-forwarded-for", "192.0.2.7"), ("host", "status.example.com"), ("origin", "https://status.example.com")];

/// An open incident, and the link by which it is taken.
struct Link {
    target: Target,
    running: Running,
    id: Uuid,
    token: String,
    path: String,
}

impl Link {
    async fn to_an_incident() -> Self {
        let target = Target::ok("");
        let head = "public_url: https://status.example.com\n";
        let running = Running::start(&format!("{head}{}{}", access("  public: details\n"), service(&target))).await;
        running.until("web", "up").await;
        target.set_status(503);
        let id = open_incident(&running).await;
        let token = running.shared.alerts.link_token(id);
        Self { target, running, id, token, path: format!("/incidents/{id}/acknowledge") }
    }

    fn whole(&self) -> String {
        format!("{}?token={}", self.path, self.token)
    }

    /// The form as a person sends it who says her name.
    fn signed(&self) -> String {
        format!("token={}&name=Ada+Lovelace&note=on+it", self.token)
    }

    async fn post(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        send(&self.running, Method::POST, &self.path, &[&[FORM], headers].concat(), body).await
    }

    async fn taken_by(&self) -> Option<String> {
        let found = get(&self.running, &format!("/api/v1/incidents/{}", self.id), &[]).await.json();
        found["acknowledged"]["by"].as_str().map(ToOwned::to_owned)
    }
}

#[tokio::test]
async fn a_link_shows_to_whoever_looks_and_a_wrong_one_shows_nothing() {
    let link = Link::to_an_incident().await;
    // Mail scanners look at every link, also through proxies and more than once.
    for headers in [&[][..], &[HTML], &PROXIED[..2]] {
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(send(&link.running, method, &link.whole(), headers, "").await.status, 200);
        }
    }
    let page = get(&link.running, &link.whole(), &[HTML]).await;
    assert!(page.text.contains("web is down") && page.text.contains("name=\"name\""), "{}", page.text);
    assert!(page.text.contains(&format!("name=\"token\" value=\"{}\"", link.token)), "{}", page.text);
    let other = format!("/incidents/{}/acknowledge?token={}", Uuid::nil(), link.token);
    for wrong in [link.path.clone(), format!("{}?token=guess", link.path), other] {
        let page = get(&link.running, &wrong, &[HTML]).await;
        assert_eq!(page.status, 403, "{wrong}");
        assert!(!page.text.contains("web is down") && page.text.contains("This link is not right"), "{}", page.text);
    }
    assert_eq!(link.taken_by().await, None, "nobody has pressed the button");
    link.running.stop().await;
}

#[tokio::test]
async fn a_form_without_the_links_token_or_a_name_or_from_elsewhere_changes_nothing() {
    let link = Link::to_an_incident().await;
    let signed = link.signed();
    // A POST through a proxy without a token is refused, and so is whatever another site sends.
    assert_eq!(link.post(&PROXIED, "name=ada").await.status, 403);
    assert_eq!(link.post(&[], "name=ada").await.status, 401);
    assert_eq!(link.post(&[], "token=guess&name=ada").await.status, 401);
    assert_eq!(link.post(&[("host", "evil.example")], &signed).await.status, 403);
    assert_eq!(link.post(&[("origin", "http://evil.example")], &signed).await.status, 403);
    assert_eq!(link.post(&[("sec-fetch-site", "cross-site")], &signed).await.status, 403);
    let nameless = link.post(&[], &format!("token={}&name=+", link.token)).await;
    assert!(nameless.status == 400 && nameless.text.contains("Say who you are."), "{}", nameless.text);
    assert_eq!(link.taken_by().await, None);
    link.running.stop().await;
}

#[tokio::test]
async fn a_link_acts_for_whoever_says_her_name_until_it_is_over_and_an_operator_needs_none() {
    let link = Link::to_an_incident().await;
    let (running, whole, signed) = (&link.running, link.whole(), link.signed());
    // A person's acknowledgement is in the audit with her name.
    let answer = link.post(&PROXIED, &signed).await;
    assert!(answer.status == 200 && answer.text.contains("Ada Lovelace (link)"), "{}", answer.text);
    assert_eq!(link.taken_by().await.as_deref(), Some("Ada Lovelace (link)"));
    assert_eq!(until_audited(running, "Ada Lovelace (link)", "incident.acknowledge").await, "on it");
    let again = get(running, &whole, &[HTML]).await;
    assert!(again.text.contains("Ada Lovelace (link) has taken it"), "{}", again.text);

    // An operator acts as herself, and goes on at the incident's page.
    let cookie = sign_in(running, OPERATOR).await;
    let page = get(running, &link.path, &[("cookie", &cookie)]).await;
    assert!(page.text.contains("As olga.") && !page.text.contains("name=\"name\""), "{}", page.text);
    let form = format!("csrf={}&note=mine", page.form_token());
    let answer = link.post(&[("cookie", &cookie), ("origin", &running.url)], &form).await;
    assert_eq!((answer.status, answer.header("location")), (303, format!("/incidents/{}", link.id).as_str()));
    assert_eq!(link.taken_by().await.as_deref(), Some("olga"));
    let cookie = sign_in(running, VIEWER).await;
    assert_eq!(get(running, &link.path, &[("cookie", &cookie)]).await.status, 403, "a viewer needs the link");

    link.target.set_status(200);
    running.until("web", "up").await;
    let over = eventually("the incident to be over", LIMIT, async || {
        let page = get(running, &whole, &[HTML]).await;
        (page.status == 410).then_some(page.text)
    });
    assert!(over.await.contains("It is over: works again, "));
    let late = link.post(&[], &signed).await;
    assert!(late.status == 410 && late.text.contains("nothing left to do"), "{}", late.text);
    link.running.stop().await;
}
