//! Kind `journey`: what steps share, what they must not, and who is blamed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use monitor::probe::{Observation, ReasonCode, StepState};
use testkit::{Request, Response, Target};

use crate::{PATIENT, ask, ask_within, assert_fail, assert_pass, decode, fail, soft};

/// A service with accounts: sign-in gives a token and a cookie, which the profile wants both.
fn service() -> Target {
    Target::respond_with(|request| match request.path.as_str() {
        "/login" => sign_in(request),
        "/me" if request.header("authorization") != Some("Bearer t/o\"k e=n") => Response::new(401, "who are you?"),
        "/me" if request.header("cookie") != Some("sid=s1") => Response::new(401, "no session t/o\"k e=n"),
        "/me" => Response::new(200, r#"{"id": 7, "next": null}"#),
        "/items/7?q=t%2Fo%22k%20e%3Dn" => Response::new(200, "<input name='csrf' value='c-1234'>"),
        "/form" => Response::new(200, request.text()),
        other => Response::new(404, format!("no {other}")),
    })
}

fn sign_in(request: &Request) -> Response {
    let json: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
    if json["password"] != "hunter2" || json["user"] != "an\"na" {
        return Response::new(403, request.text());
    }
    Response::new(200, r#"{"token": "t/o\"k e=n", "deep": {"list": [1, 2]}}"#)
        .with_header("set-cookie", "sid=s1; HttpOnly")
        .with_header("x-next", "/me")
}

const LOGIN: &str = r#"{ name: login, http: { url: 'URL/login', method: POST, headers: { content-type: application/json },
  body: '{"user": "{{ values.user }}", "password": "{{ secrets.password }}"}' }, extract: { token: { json: token } } }"#;
const PROFILE: &str = r#"{ name: profile, http: { url: 'URL/me', bearer: '{{ token }}' }, expect: { json: { id: 7 } },
  extract: { id: { json: id } } }"#;

fn journey(target: &Target, steps: &[&str]) -> String {
    let steps = steps.join(", ").replace("URL", target.url("").trim_end_matches('/'));
    format!("journey: {{ values: {{ user: an\"na }}, secrets: {{ password: '${{SECRET}}' }}, steps: [{steps}] }}")
}

fn states(observation: &Observation) -> Vec<(&str, StepState)> {
    observation.seen.steps.iter().map(|step| (step.name.as_str(), step.state)).collect()
}

#[tokio::test]
async fn steps_share_cookies_and_what_answers_held_each_written_in_as_its_place_needs_it() {
    let target = service();
    let item = "{ name: item, http: { url: 'URL/items/{{ id }}?q={{ token }}' }, extract: { csrf: { body: \"value='([^']+)'\" } } }";
    let form = "{ name: form, http: { url: 'URL/form', method: POST, headers: { Content-Type: application/x-www-form-urlencoded, \
                x-run: '{{ random }}' }, body: 'csrf={{ csrf }}&t={{ token }}' }, expect: { body_contains: 'csrf=c-1234&t=t%2Fo%22k%20e%3Dn' } }";
    let observation = ask(&journey(&target, &[LOGIN, PROFILE, item, form])).await;
    assert_pass(&observation);
    let steps = ["login", "profile", "item", "form"];
    assert_eq!(states(&observation), steps.map(|name| (name, StepState::Passed)));
    let took: f64 = observation.seen.steps.iter().filter_map(|step| step.took_ms).sum();
    assert!(took > 0.0 && took <= observation.took.as_secs_f64() * 1000.0 + 1.0, "{observation:?}");
    let runs = || target.requests().into_iter().filter_map(|request| request.header("x-run").map(str::to_owned));
    assert_pass(&ask(&journey(&target, &[LOGIN, PROFILE, item, form])).await);
    let runs: Vec<String> = runs().collect();
    assert!(runs.len() == 2 && runs[0] != runs[1] && runs.iter().all(|run| run.len() == 16), "{runs:?}");
}

#[tokio::test]
async fn the_step_that_fails_is_named_and_what_comes_after_is_not_reached() {
    let target = service();
    let wrong = LOGIN.replace("secrets.password", "values.user");
    let observation = ask(&journey(&target, &[&wrong, PROFILE])).await;
    assert_fail(&observation, ReasonCode::Status, "step \"login\" (1 of 2): status 403, expected 2xx");
    assert_eq!(states(&observation), [("login", StepState::Failed), ("profile", StepState::NotReached)]);
    assert_eq!(target.requests().len(), 1, "nothing was asked after it");

    let gone = "{ name: gone, http: { url: 'URL/gone' } }";
    let tidy = "{ name: tidy, always: true, http: { url: 'URL/form', method: POST, body: '{{ token }}' } }";
    let never = "{ name: never, always: true, http: { url: 'URL/{{ id }}' } }";
    let observation = ask(&journey(&target, &[LOGIN, gone, PROFILE, tidy, never])).await;
    assert_fail(&observation, ReasonCode::Status, "step \"gone\" (2 of 5): status 404, expected 2xx");
    let expected = [
        ("login", StepState::Passed),
        ("gone", StepState::Failed),
        ("profile", StepState::NotReached),
        ("tidy", StepState::Passed),
        ("never", StepState::NotReached),
    ];
    assert_eq!(states(&observation), expected, "one that cannot be sent is not");
}

#[tokio::test]
async fn a_value_that_is_not_there_is_a_fail_and_one_that_is_stays_secret() {
    let target = service();
    for (extract, code, text) in [
        ("{ json: tokens }", ReasonCode::Json, "x cannot be taken: json tokens is missing; there are deep, token"),
        ("{ header: x-token }", ReasonCode::Header, "x cannot be taken: header x-token is missing"),
        ("{ cookie: session }", ReasonCode::Header, "x cannot be taken: there is no cookie session"),
        (
            "{ body: 'id=(.+)' }",
            ReasonCode::Body,
            "x cannot be taken: the answer of 49 bytes does not match \"id=(.+)\"",
        ),
    ] {
        let step = LOGIN.replace("{ json: token }", extract).replace("token:", "x:");
        let (found, said) = fail(&ask(&journey(&target, &[&step])).await);
        assert_eq!(found, code, "{said}");
        assert!(said.starts_with(&format!("step \"login\" (1 of 1): {text}")), "{said}");
    }
    let null = "{ name: nothing, http: { url: 'URL/me', bearer: '{{ token }}' }, extract: { next: { json: next } } }";
    let (_, said) = fail(&ask(&journey(&target, &[LOGIN, null])).await);
    assert!(said.ends_with("next cannot be taken: json next is null"), "{said}");
    let all = LOGIN.replace("{ json: token }", "{ cookie: sid }, next: { header: X-Next }, list: { json: deep.list }");
    let used = "{ name: used, http: { url: 'URL/form', method: POST, body: 'a {{ token }} {{ next }} {{ list }}' }, \
                expect: { body_contains: 'a s1 /me [1,2]' } }";
    assert_pass(&ask(&journey(&target, &[&all, used])).await);

    let echo =
        "{ name: echo, http: { url: 'URL/form', method: POST, body: 'x {{ token }}' }, expect: { body_contains: z9 } }";
    let (_, said) = fail(&ask(&journey(&target, &[LOGIN, echo])).await);
    assert_eq!(said, "step \"echo\" (2 of 2): \"z9\" is not in the answer: x <token>");
    let cut = "{ name: cut, http: { url: 'URL/form', headers: { x: \"a\\n{{ token }}\" } } }";
    assert!(decode(&journey(&target, &[LOGIN, cut]), PATIENT).is_err(), "a line break is no header");
}

#[tokio::test]
async fn a_value_that_no_header_carries_fails_where_it_is_used() {
    let target = Target::respond_with(|_| Response::new(200, "{\"token\": \"a\\r\\nX-Evil: 1\"}"));
    let login = "{ name: login, http: { url: 'URL/login' }, extract: { token: { json: token } } }";
    let observation = ask(&journey(&target, &[login, PROFILE])).await;
    let text = "step \"profile\" (2 of 2): what earlier steps took cannot be sent: header authorization would hold characters \
                that it cannot carry";
    assert_fail(&observation, ReasonCode::Protocol, text);
    assert_eq!(target.requests().len(), 1);
}

#[tokio::test]
async fn time_that_runs_out_is_the_step_s_that_was_waiting() {
    let hung = AtomicBool::new(false);
    let target = Target::respond_with(move |_| {
        let status = if hung.swap(true, Ordering::Relaxed) { 200 } else { 302 };
        Response::new(status, "").with_header("location", "/there")
    });
    let slow = Target::ok("");
    slow.set_delay(Duration::from_secs(600));
    let steps = [
        format!("{{ name: quick, http: {{ url: '{}' }} }}", target.url("/")),
        format!("{{ name: slow, http: {{ url: '{}' }} }}", slow.url("/")),
        format!("{{ name: after, http: {{ url: '{}' }} }}", target.url("/")),
    ];
    let check = format!("journey: {{ steps: [{}] }}", steps.join(", "));
    let observation = ask_within(Duration::from_millis(500), &check).await;
    let text = "step \"slow\" (2 of 3): no answer within 500ms (while waiting for the first byte)";
    assert_fail(&observation, ReasonCode::Timeout, text);
    let expected = [("quick", StepState::Passed), ("slow", StepState::Failed), ("after", StepState::NotReached)];
    assert_eq!(states(&observation), expected);
    assert_eq!(observation.seen.redirects, 1);
}

#[tokio::test]
async fn steps_that_clean_up_have_a_share_of_the_time() {
    let target = Target::respond_with(|request| Response::new(200, request.path.clone()));
    let slow = Target::ok("");
    slow.set_delay(Duration::from_secs(600));
    let steps = format!(
        "{{ name: slow, http: {{ url: '{}' }} }}, {{ name: tidy, always: true, http: {{ url: '{}' }} }}",
        slow.url("/"),
        target.url("/tidy")
    );
    let observation = ask_within(Duration::from_secs(2), &format!("journey: {{ steps: [{steps}] }}")).await;
    assert_eq!(states(&observation), [("slow", StepState::Failed), ("tidy", StepState::Passed)]);
    assert_eq!(target.requests()[0].path, "/tidy");
}

#[tokio::test]
async fn no_value_leads_to_another_path_or_host() {
    let target = Target::respond_with(|request| match request.path.as_str() {
        "/dots" => Response::new(200, r#"{"where": ".."}"#),
        "/pw" => Response::new(200, r#"{"where": "s3cret-value"}"#),
        _ => Response::new(200, ""),
    });
    let take = |path: &str| {
        format!("{{ name: take, http: {{ url: 'URL/{path}' }}, extract: {{ where: {{ json: where }} }} }}")
    };
    let item = "{ name: item, http: { url: 'URL/items/{{ where }}/delete', method: POST } }";
    let (_, said) = fail(&ask(&journey(&target, &[&take("dots"), item])).await);
    let why = "a part of the path would be . or .., which leads elsewhere";
    let said_of_item = format!("step \"item\" (2 of 2): what earlier steps took cannot be sent: {why}");
    assert_eq!(said, said_of_item);
    assert_eq!(target.requests().len(), 1);
    let always = item.replace("name: item,", "name: item, always: true,");
    let (_, said) = fail(&ask(&journey(&target, &[&take("dots"), &always])).await);
    assert_eq!(said, said_of_item, "where nothing else failed, not to be sent is a fail");
    let end = Target::ok("");
    let away = Target::answer(308, &[("location", &end.url("/evil"))], "");
    let post =
        format!("{{ name: post, http: {{ url: '{}', method: POST, body: 'pw={{{{ where }}}}' }} }}", away.url("/"));
    let (code, said) = fail(&ask(&journey(&target, &[&take("pw"), &post])).await);
    assert_eq!(code, ReasonCode::Redirects, "{said}");
    assert_eq!(end.requests().len(), 0);
}

#[tokio::test]
async fn every_step_has_its_own_soft_limit_and_redirects() {
    let target = Target::redirect_loop();
    let turn =
        |name: &str| format!("{{ name: {name}, http: {{ url: 'URL/', redirects: none }}, expect: {{ status: 302 }} }}");
    let slow = turn("slow").replace("status: 302", "status: 302, max_latency: 1ms");
    target.set_delay(Duration::from_millis(20));
    let observation = ask(&journey(&target, &[&turn("one"), &slow])).await;
    assert_pass(&observation);
    let [said] = soft(&observation)[..] else { panic!("{observation:?}") };
    assert!(said.starts_with("step \"slow\" (2 of 2): took ") && said.ends_with("ms, more than 1ms"), "{said}");
}

#[test]
fn journeys_show_their_steps_and_no_secret() {
    let step = |name: &str| format!("{{ name: {name}, http: {{ url: 'https://x.example/{name}?k=${{SECRET}}' }} }}");
    let text = format!("journey: {{ steps: [{}] }}", ["a", "b", "c", "d", "e"].map(step).join(", "));
    let question = decode(&text, PATIENT).unwrap();
    assert_eq!(question.probe.target().shown, "a, b, c, d, … at https://x.example");
    assert!(!format!("{question:?}").contains("hunter2"), "{question:?}");
}
