//! People who sign in: what they may send then, how long it lasts, and when the door shuts.

use std::sync::Arc;

use http::Method;
use kit::config::{Cursor, Mistakes, Node};
use kit::http::SecretDigest;
use monitor::Kinds;
use monitor::probe::{CheckId, Outcome, Vantage, Why, decode_question, observe};
use testkit::{Target, eventually};

use super::visitor::{FORM, HTML, OPERATOR, access, audit, bearer, get, send, service, sign_in, start};
use crate::harness::{LIMIT, Running, TOKEN, write_config};

#[tokio::test]
async fn a_person_signs_in_acts_and_signs_out() {
    let target = Target::ok("");
    let running = start(&target, "").await;
    let page = get(&running, "/", &[HTML]).await;
    assert!(page.text.contains("<a href=\"/login\">sign in</a>"), "{}", page.text);
    let form = get(&running, "/login?next=//evil.example", &[HTML]).await;
    assert!(
        form.text.contains("name=\"next\" value=\"/\"") && form.text.contains("type=\"password\""),
        "{}",
        form.text
    );
    let answer = send(&running, Method::POST, "/login", &[FORM], &format!("token={OPERATOR}&next=%2Faudit")).await;
    let set = answer.header("set-cookie");
    assert_eq!((answer.status, answer.header("location")), (303, "/audit"));
    assert!(
        set.starts_with("monitor_session=") && set.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"),
        "{set}"
    );
    let cookie = answer.cookie();
    assert!(!cookie.contains(OPERATOR) && cookie.len() == "monitor_session=".len() + 43, "256 bits: {cookie}");
    let page = get(&running, "/audit", &[("cookie", &cookie)]).await;
    assert!(
        page.text.contains("signed in as olga (operator)") && page.text.contains("<h1>Who did what</h1>"),
        "{}",
        page.text
    );
    assert!(page.text.contains("action=\"/logout\"") && page.text.contains("href=\"/audit\""), "{}", page.text);

    // A form of another session, no form token, another site: nothing happens.
    let (token, origin) = (page.form_token().to_owned(), running.url.clone());
    let ours = [FORM, ("cookie", &*cookie), ("origin", &*origin)];
    for (headers, body) in [
        (&ours[..], "".to_owned()),
        (&ours, "csrf=AAAA".to_owned()),
        (&[FORM, ("cookie", &cookie), ("origin", "http://evil.example")], format!("csrf={token}")),
        (&[FORM, ("cookie", &cookie), ("sec-fetch-site", "cross-site")], format!("csrf={token}")),
        (&[FORM, ("cookie", &cookie)], format!("csrf={token}")),
    ] {
        for path in ["/logout", "/api/v1/reload"] {
            let answer = send(&running, Method::POST, path, headers, &body).await;
            assert_eq!(answer.status, 403, "{path} {headers:?} {body}: {}", answer.text);
        }
    }
    // A script of ours sends JSON, which another site's form cannot.
    let json = [("content-type", "application/json"), ("cookie", &*cookie), ("origin", &*origin)];
    let silence = r#"{"matchers": ["service=web"], "for": "1h", "comment": "moving"}"#;
    assert_eq!(send(&running, Method::POST, "/api/v1/silences", &json, silence).await.status, 201);
    let answer = send(&running, Method::POST, "/api/v1/reload", &ours, &format!("csrf={token}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);

    let answer = send(&running, Method::POST, "/logout", &ours, &format!("csrf={token}")).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/"));
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(get(&running, "/audit", &[("cookie", &cookie)]).await.status, 401, "the cookie is worth nothing now");
    let who: Vec<String> = audit(&running).await.iter().map(|[who, what, _]| format!("{who} {what}")).collect();
    assert_eq!(who, ["olga login", "olga silence.create", "olga config.reload", "olga logout"]);
    running.stop().await;
}

/// The page of another monitor, as a visitor in a browser takes it: form, cookie, redirect, form token.
#[tokio::test]
async fn a_journey_signs_in_and_out_of_a_page_with_forms() {
    let target = Target::ok("");
    let running = start(&target, "").await;
    let form = |name: &str, path: &str, body: &str, more: &str| {
        let headers = format!("{{ content-type: application/x-www-form-urlencoded, origin: '{}' }}", running.url);
        let http = format!("{{ url: '{}{path}', method: POST, headers: {headers}, body: '{body}' }}", running.url);
        format!("{{ name: {name}, http: {http}{more} }}")
    };
    let page = |name: &str, status: u16| {
        let http = format!("{{ url: '{}/audit' }}", running.url);
        format!("{{ name: {name}, http: {http}, expect: {{ status: {status} }} }}")
    };
    let inside = ", expect: { body_contains: signed in as olga }, extract: { csrf: { body: 'name=\"csrf\" value=\"([^\"]+)\"' } }";
    let steps = [
        page("outside", 401),
        form("sign-in", "/login", "token={{ secrets.token }}&next=/audit", inside),
        page("inside", 200),
        form("sign-out", "/logout", "csrf={{ csrf }}", ", expect: { body_contains: sign in }"),
        page("outside-again", 401),
    ];
    let token = running.folder.path().join("token");
    std::fs::write(&token, OPERATOR).unwrap();
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let journey = format!("journey: {{ secrets: {{ token: '{}' }}, steps: [{}] }}", token.display(), steps.join(", "));
    let node = Node::parse("m.yml", &journey).unwrap();
    let mistakes = Mistakes::default();
    let fields = Cursor::top(&node, &mistakes).fields().unwrap();
    let question = decode_question(fields, CheckId::new("page", "sign-in"), LIMIT, &Kinds::standard(), &[]);
    assert!(mistakes.is_empty(), "{:?}", mistakes.into_sorted());
    let vantage = Arc::new(Vantage::of_system().unwrap());
    let observation = observe(vantage, &question.unwrap().0, Why::Asked, false).await;
    assert_eq!(observation.outcome, Outcome::Pass, "{observation:?}");
    assert_eq!((observation.seen.steps.len(), observation.seen.redirects), (5, 2));
    running.stop().await;
}

#[tokio::test]
async fn a_session_survives_a_restart_and_ends_with_its_token() {
    let target = Target::ok("");
    let yaml = format!("{}{}", access(""), service(&target));
    let running = Running::start(&yaml).await;
    let cookie = sign_in(&running, OPERATOR).await;
    let folder = running.stop().await;
    let stored = std::fs::read(folder.path().join("data/state.db")).unwrap();
    let secret = cookie.split_once('=').unwrap().1;
    let holds = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!holds(secret) && !holds(OPERATOR) && !holds(TOKEN), "only digests are kept");
    let running = Running::start_in(folder, &yaml, Kinds::standard()).await;
    assert_eq!(get(&running, "/audit", &[("cookie", &cookie)]).await.status, 200);
    assert_eq!(get(&running, "/audit", &[("authorization", &bearer(OPERATOR))]).await.status, 200);

    let changed = SecretDigest::of(b"another-token-0123456789").to_hex();
    let other = yaml.replace(&SecretDigest::of(OPERATOR.as_bytes()).to_hex(), &changed);
    write_config(running.folder.path(), &other);
    assert_eq!(running.post("/api/v1/reload", &[("authorization", &bearer(TOKEN))]).await.0, 200);
    assert_eq!(get(&running, "/audit", &[("cookie", &cookie)]).await.status, 401, "no restart is needed");
    assert_eq!(get(&running, "/audit", &[("authorization", &bearer(OPERATOR))]).await.status, 401);
    assert_eq!(get(&running, "/audit", &[("authorization", &bearer("another-token-0123456789"))]).await.status, 200);
    // Back to the old token: what has ended stays so.
    write_config(running.folder.path(), &yaml);
    assert_eq!(running.post("/api/v1/reload", &[("authorization", &bearer(TOKEN))]).await.0, 200);
    assert_eq!(get(&running, "/audit", &[("cookie", &cookie)]).await.status, 401);
    let folder = running.stop().await;
    let running = Running::start_in(folder, &yaml, Kinds::standard()).await;
    assert_eq!(get(&running, "/audit", &[("cookie", &cookie)]).await.status, 401, "also after a restart");
    running.stop().await;
}

#[tokio::test]
async fn five_failures_in_a_minute_shut_the_door_and_all_are_told_the_same() {
    let target = Target::ok("");
    let running = start(&target, "").await;
    let mut answers = Vec::new();
    for token in ["", "wrong", &OPERATOR[1..], &OPERATOR.to_uppercase(), &"x".repeat(2000)] {
        let answer = send(&running, Method::POST, "/login", &[FORM], &format!("token={token}")).await;
        assert_eq!(answer.status, 401, "{token}");
        let said = answer.text.split("role=\"alert\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
        answers.push(said);
    }
    assert!(answers.iter().all(|said| said == "This token is not known here."), "{answers:?}");
    let answer = send(&running, Method::POST, "/login", &[FORM], &format!("token={OPERATOR}")).await;
    assert_eq!(answer.status, 429, "not even the right one");
    let secs: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&secs) && answer.header("set-cookie").is_empty(), "{secs}");
    let refused = eventually("five failures in the audit", LIMIT, async || {
        let rows = audit(&running).await;
        (rows.len() >= 5).then_some(rows)
    });
    let row = ["somebody unknown", "login.refused", "from 127.0.0.1"].map(str::to_owned);
    assert_eq!(refused.await, [row.clone(), row.clone(), row.clone(), row.clone(), row]);
    running.stop().await;
}
