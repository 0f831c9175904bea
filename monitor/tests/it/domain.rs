//! Kind `domain` against answers after the example of RFC 9083 section 5.3.

use jiff::{SignedDuration, Timestamp};
use monitor::probe::{Observation, Outcome, ReasonCode, Why, observe};
use testkit::{Response, Target};

use crate::{PATIENT, SHORT, ask, assert_fail, assert_pass, question, soft, vantage};

/// What a registry says of a domain that ends so many hours from now.
fn domain(hours: i64, status: &str) -> String {
    let ends = Timestamp::now() + SignedDuration::from_hours(hours) + SignedDuration::from_secs(30);
    format!(
        r#"{{"objectClassName":"domain","handle":"XXXX","ldhName":"xn--fo-5ja.example","status":["locked"{status}],
            "entities":[{{"objectClassName":"entity","roles":["registrant"]}},{{"objectClassName":"entity","roles":["registrar"],
            "vcardArray":["vcard",[["version",{{}},"text","4.0"],["fn",{{}},"text","Example Registrar"]]]}}],
            "events":[{{"eventAction":"registration","eventDate":"1990-12-31T23:59:59Z"}},
            {{"eventAction":"expiration","eventDate":"{ends}"}}]}}"#
    )
}

/// A registry that answers for this one name.
fn registry(answer: String) -> Target {
    Target::respond_with(move |request| match request.path.as_str() {
        "/rdap/domain/xn--fo-5ja.example" => Response::new(200, answer.clone()),
        _ => Response::new(404, r#"{"errorCode":404,"title":"Not Found"}"#),
    })
}

fn check(target: &Target, settings: &str) -> String {
    format!("domain: {{ name: fóo.example, server: '{}'{settings} }}", target.url("/rdap/"))
}

#[track_caller]
fn unknown(observation: &Observation) -> &str {
    match &observation.outcome {
        Outcome::Unknown(reason) => &reason.text,
        other => panic!("expected unknown, found {other:?}"),
    }
}

#[tokio::test]
async fn the_end_of_a_registration_is_told_and_asked_for_once() {
    let target = registry(domain(24 * 40, ""));
    let facts = "\nexpect: { json: { days_left: 40, registrar: Example Registrar, status: [locked] } }";
    let question = question(&format!("{}{facts}", check(&target, ", valid_for: 60d")), PATIENT);
    for _ in 0..3 {
        let observation = observe(vantage(9), &question, Why::Asked, false).await;
        assert_pass(&observation);
        assert_eq!(soft(&observation), ["xn--fo-5ja.example expires in 40d, less than 60d"]);
    }
    assert_eq!(target.requests().len(), 1);
    let observation = ask(&check(&target, "")).await;
    assert_pass(&observation);
    assert!(soft(&observation).is_empty());
}

#[tokio::test]
async fn what_ended_is_held_back_or_is_not_there_fails() {
    let ended = registry(domain(-49, ""));
    let text = "xn--fo-5ja.example expired 2d ago";
    assert_fail(&ask(&check(&ended, "")).await, ReasonCode::Rejected, text);
    for (status, text) in [
        (",\"Client Hold\"", "xn--fo-5ja.example is on hold and does not resolve (client hold)"),
        (",\"redemption period\"", "xn--fo-5ja.example was given up and is about to be deleted (redemption period)"),
    ] {
        assert_fail(&ask(&check(&registry(domain(9000, status)), "")).await, ReasonCode::Rejected, text);
    }
    let other = format!("domain: {{ name: www.example.com, server: '{}' }}", ended.url("/rdap"));
    let text = "www.example.com is not registered; a name below a registered one is none (write example.com, not \
                www.example.com)";
    assert_fail(&ask(&other).await, ReasonCode::Rejected, text);
}

#[tokio::test]
async fn a_registry_that_does_not_say_is_unknown_and_not_asked_again_at_once() {
    let busy = Target::answer(429, &[], "slow down");
    let question = question(&check(&busy, ""), PATIENT);
    for _ in 0..3 {
        let observation = observe(vantage(9), &question, Why::Asked, false).await;
        assert_eq!(unknown(&observation), "the registry does not say: status 429: slow down");
    }
    assert_eq!(busy.requests().len(), 1);
    let silent = registry(r#"{"objectClassName":"domain","events":[]}"#.to_owned());
    let text = "the registry does not say when xn--fo-5ja.example expires; not all do";
    assert_eq!(unknown(&ask(&check(&silent, "")).await), text);
    let refuses = Target::refuse();
    let text = format!("the registry: connection refused by {}", refuses.addr());
    assert_eq!(unknown(&ask(&check(&refuses, "")).await), text);
}

#[tokio::test]
async fn silence_is_unknown_and_one_refusal_is_one_refusal() {
    let stalls = Target::stall();
    let question = question(&check(&stalls, ""), SHORT);
    let observation = observe(vantage(9), &question, Why::Asked, false).await;
    let text = unknown(&observation);
    assert!(text.starts_with("the registry: no answer within 300ms ("), "{text}");
    let gone = Target::answer(404, &[], "{}");
    let question = crate::question(&check(&gone, ""), PATIENT);
    let first = observe(vantage(9), &question, Why::Asked, false).await;
    assert!(matches!(first.outcome, Outcome::Fail(_)), "{first:?}");
    let second = observe(vantage(9), &question, Why::Asked, false).await;
    assert!(unknown(&second).starts_with("the registry is asked once a minute; it said: "), "{second:?}");
    assert_eq!(gone.requests().len(), 1);
}

#[tokio::test]
async fn the_registry_is_found_in_the_list() {
    let target = registry(domain(24 * 400, ""));
    let server = target.url("/rdap/");
    let services = format!(r#"{{"version":"1.0","services":[[["net","example"],["{server}"]]]}}"#);
    let list = Target::ok(services);
    let check = format!("domain: {{ name: FÓO.example., bootstrap: '{}' }}", list.url("/dns.json"));
    assert_pass(&ask(&check).await);
    let other = check.replace("FÓO.example.", "shop.test");
    let text = "no registry of .test is known to speak RDAP; write server: https://… if one does";
    assert_eq!(unknown(&ask(&other).await), text);
}
