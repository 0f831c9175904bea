//! Links in messages: who sees what behind them, and who acts by them.

use http::Method;
use testkit::{Target, eventually};
use uuid::Uuid;

use super::visitor::{FORM, HTML, OPERATOR, VIEWER, access, get, open_incident, send, service, sign_in, until_audited};
use crate::harness::{LIMIT, Running};

#[tokio::test]
async fn a_link_shows_to_whoever_looks_and_acts_for_whoever_says_her_name() {
    let target = Target::ok("");
    let running =
        Running::start(&format!("public_url: https://status.example.com\n{}{}", access(""), service(&target))).await;
    running.until("web", "up").await;
    target.set_status(503);
    let id = open_incident(&running).await;
    let token = running.shared.alerts.link_token(id);
    let path = format!("/incidents/{id}/acknowledge");
    let link = format!("{path}?token={token}");
    let taken = async || {
        let found = get(&running, &format!("/api/v1/incidents/{id}"), &[]).await.json();
        found["acknowledged"]["by"].as_str().map(ToOwned::to_owned)
    };
    // Mail scanners look at every link, also through proxies and more than once.
    for headers in [&[][..], &[HTML], &[("x-forwarded-for", "192.0.2.7"), ("host", "status.example.com")]] {
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(send(&running, method, &link, headers, "").await.status, 200);
        }
    }
    let page = get(&running, &link, &[HTML]).await;
    assert!(page.text.contains("web is down") && page.text.contains("name=\"name\""), "{}", page.text);
    assert!(page.text.contains(&format!("name=\"token\" value=\"{token}\"")), "{}", page.text);
    for wrong in
        [path.clone(), format!("{path}?token=guess"), format!("/incidents/{}/acknowledge?token={token}", Uuid::nil())]
    {
        let page = get(&running, &wrong, &[HTML]).await;
        assert_eq!(page.status, 403, "{wrong}");
        assert!(!page.text.contains("web is down") && page.text.contains("This link is not right"), "{}", page.text);
    }
    assert_eq!(taken().await, None, "nobody has pressed the button");

    let post = async |headers: &[(&str, &str)], body: &str| {
        send(&running, Method::POST, &path, &[&[FORM], headers].concat(), body).await
    };
    let proxied =
        [("x-forwarded-for", "192.0.2.7"), ("host", "status.example.com"), ("origin", "https://status.example.com")];
    let signed = format!("token={token}&name=Ada+Lovelace&note=on+it");
    // A POST through a proxy without a token is refused, and so is whatever another site sends.
    assert_eq!(post(&proxied, "name=ada").await.status, 403);
    assert_eq!(post(&[], "name=ada").await.status, 401);
    assert_eq!(post(&[], "token=guess&name=ada").await.status, 401);
    assert_eq!(post(&[("host", "evil.example")], &signed).await.status, 403);
    assert_eq!(post(&[("origin", "http://evil.example")], &signed).await.status, 403);
    assert_eq!(post(&[("sec-fetch-site", "cross-site")], &signed).await.status, 403);
    let nameless = post(&[], &format!("token={token}&name=+")).await;
    assert!(nameless.status == 400 && nameless.text.contains("Say who you are."), "{}", nameless.text);
    assert_eq!(taken().await, None);

    // A person's acknowledgement is in the audit with her name.
    let answer = post(&proxied, &signed).await;
    assert!(answer.status == 200 && answer.text.contains("Ada Lovelace (link)"), "{}", answer.text);
    assert_eq!(taken().await.as_deref(), Some("Ada Lovelace (link)"));
    assert_eq!(until_audited(&running, "Ada Lovelace (link)", "incident.acknowledge").await, "on it");
    let again = get(&running, &link, &[HTML]).await;
    assert!(again.text.contains("Ada Lovelace (link) has taken it"), "{}", again.text);

    // An operator needs no link, acts as herself, and goes on at the incident's page.
    let cookie = sign_in(&running, OPERATOR).await;
    let page = get(&running, &path, &[("cookie", &cookie)]).await;
    assert!(page.text.contains("As olga.") && !page.text.contains("name=\"name\""), "{}", page.text);
    let form = format!("csrf={}&note=mine", page.form_token());
    let answer = post(&[("cookie", &cookie), ("origin", &running.url)], &form).await;
    assert_eq!((answer.status, answer.header("location")), (303, format!("/incidents/{id}").as_str()));
    assert_eq!(taken().await.as_deref(), Some("olga"));
    let cookie = sign_in(&running, VIEWER).await;
    assert_eq!(get(&running, &path, &[("cookie", &cookie)]).await.status, 403, "a viewer needs the link");

    target.set_status(200);
    running.until("web", "up").await;
    let over = eventually("the incident to be over", LIMIT, async || {
        let page = get(&running, &link, &[HTML]).await;
        (page.status == 410).then_some(page.text)
    });
    assert!(over.await.contains("It is over: works again, "));
    let late = post(&[], &signed).await;
    assert!(late.status == 410 && late.text.contains("nothing left to do"), "{}", late.text);
    running.stop().await;
}
