//! Forms of the pages that are refused.

use http::Method;
use testkit::Target;
use uuid::Uuid;

use super::visitor::{FORM, HTML, OPERATOR, get, send, sign_in, start};

#[tokio::test]
async fn a_browser_reads_on_a_page_why_its_form_was_refused_and_a_program_in_json() {
    let target = Target::ok("");
    let running = start(&target, "").await;
    let cookie = sign_in(&running, OPERATOR).await;
    let page = get(&running, "/", &[("cookie", &cookie)]).await;
    let ours = format!("for=1h&csrf={}", page.form_token());
    let (none, origin) = (Uuid::nil(), ("origin", &*running.url));
    let known = [("cookie", &*cookie), origin, FORM];
    let silence = format!("/incidents/{none}/silence");
    let missing = format!("there is no incident {none}");
    for (headers, path, form, status, said) in [
        (&known[..], silence.as_str(), ours.as_str(), 404, missing.as_str()),
        (&known, &silence, "for=1h&csrf=guess", 403, "the form is not of this session; load the page again"),
        (&known, "/incidents/nonsense/close", &ours, 400, "The form could not be read; load its page again."),
        (&[origin, FORM], &silence, &ours, 401, "You are not signed in, or not any more."),
    ] {
        let browser: Vec<(&str, &str)> = headers.iter().copied().chain([HTML]).collect();
        let answer = send(&running, Method::POST, path, &browser, form).await;
        assert_eq!(answer.status, status, "{path} {form}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{}", answer.text);
        assert!(answer.text.contains(&format!("<p role=\"alert\">{said}</p>")), "no {said:?} in {}", answer.text);
        assert_eq!(answer.text.contains("signed in as olga (operator)"), status != 401, "{}", answer.text);
        let program = send(&running, Method::POST, path, headers, form).await;
        assert_eq!(program.status, status, "{path} {form}: {}", program.text);
        assert!(program.json()["error"].is_string(), "{}", program.text);
    }
    let api = [("cookie", &*cookie), origin, FORM, HTML];
    let answer = send(&running, Method::POST, &format!("/api/v1/incidents/{none}/close"), &api, &ours).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (404, Some("no_incident")), "the API has no pages");
    running.stop().await;
}
