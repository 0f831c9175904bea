//! Every kind that connects, asked by another way: the question stays, and only the connection leads somewhere else.

use monitor::probe::{Detour, Observation, Outcome, ReasonCode, observe_by};
use testkit::{Authority, Target, free_port};

use crate::{PATIENT, assert_fail, assert_pass, fail, question, trusting, vantage};

/// Asks around a port of loopback, by the address of `target`.
async fn ask_around(port: u16, target: &Target, check: &str) -> Observation {
    let question = question(check, PATIENT);
    let ways = [(format!("0.0.0.0:{port}").parse().unwrap(), target.addr())];
    let detour = Detour::around(question.probe.connects_to().unwrap(), None, ways).unwrap();
    observe_by(detour, vantage(9), &question).await
}

#[tokio::test]
async fn the_question_is_the_same_and_the_answer_is_that_of_the_other_address() {
    let (target, port) = (Target::ok("pong"), free_port());
    let check = format!("http: {{ url: 'http://localhost:{port}/path?a=b' }}\nexpect: {{ body_contains: pong }}");
    let observation = ask_around(port, &target, &check).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.address, Some(target.addr()));
    let request = &target.requests()[0];
    assert_eq!((request.path.as_str(), request.header("host")), ("/path?a=b", Some(&*format!("localhost:{port}"))));
    let wrong = check.replace("pong }", "ping }");
    assert_eq!(fail(&ask_around(port, &target, &wrong).await).0, ReasonCode::Body);
    let dead = Target::refuse();
    let refused = format!("connection refused by {}", dead.addr());
    assert_fail(&ask_around(port, &dead, &check).await, ReasonCode::Refused, &refused);
}

#[tokio::test]
async fn certificates_are_still_for_the_name_that_is_asked() {
    let (authority, port) = (Authority::new(), free_port());
    let (_file, trust) = trusting(&authority);
    let https = Target::https(&authority.valid(), "pong");
    assert_pass(
        &ask_around(port, &https, &format!("http: {{ url: 'https://localhost:{port}/', tls: {{ {trust} }} }}")).await,
    );
    let other = Target::https(&authority.wrong_name(), "pong");
    let url = format!("http: {{ url: 'https://localhost:{port}/', tls: {{ {trust} }} }}");
    assert_eq!(fail(&ask_around(port, &other, &url).await).0, ReasonCode::Certificate);
    let tls = Target::tls(&authority.valid());
    assert_pass(&ask_around(port, &tls, &format!("tls: {{ address: 'localhost:{port}', {trust} }}")).await);
    assert_pass(&ask_around(port, &Target::ok(""), &format!("tcp: {{ address: '127.0.0.1:{port}' }}")).await);
}

#[tokio::test]
async fn a_redirect_to_another_address_leads_there() {
    let (there, port) = (Target::ok("there"), free_port());
    let target = Target::answer(302, &[("location", &there.url("/"))], "");
    let check = format!("http: {{ url: 'http://127.0.0.1:{port}/' }}\nexpect: {{ body_contains: there }}");
    let observation = ask_around(port, &target, &check).await;
    assert_pass(&observation);
    assert_eq!((observation.seen.address, there.requests().len()), (Some(there.addr()), 1));
    let back = Target::answer(302, &[("location", "/again")], "");
    let observation = ask_around(port, &back, &check).await;
    assert!(matches!(observation.outcome, Outcome::Fail(_)), "{observation:?}");
    assert!(back.requests().len() > 1, "the same address is led around each time");
}

#[tokio::test]
async fn what_goes_through_a_proxy_or_asks_nobody_has_no_other_way() {
    for check in ["http: { url: 'http://127.0.0.1:1/', proxy: 'http://127.0.0.1:2' }", "exec: { command: [\"true\"] }"]
    {
        assert!(question(check, PATIENT).probe.connects_to().is_none(), "{check}");
    }
}
