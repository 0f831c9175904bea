//! One question of our own programs, and the words for each way to fail.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use kit::http::get;
use testkit::Target;

use crate::SHORT;

/// Asks `target` and returns status and body, or the error's words.
async fn ask(target: &Target) -> Result<(u16, Bytes), String> {
    let request = Request::get(target.url("/x")).body(Full::default()).unwrap();
    get(request, SHORT, 100).await.map(|(status, body)| (status.as_u16(), body))
}

#[tokio::test]
async fn an_answer_is_returned_whatever_its_status() {
    assert_eq!(ask(&Target::ok("fine")).await, Ok((200, "fine".into())));
    assert_eq!(ask(&Target::answer(503, &[], "busy")).await, Ok((503, "busy".into())));
}

#[tokio::test]
async fn each_failure_has_its_words() {
    for (target, expected) in [
        (Target::refuse(), "Connection refused (os error 111)"),
        (Target::stall(), "no answer within 100ms"),
        (Target::reset(), "Connection reset by peer (os error 104)"),
        (Target::ok(vec![b'x'; 101]), "length limit exceeded"),
    ] {
        assert_eq!(ask(&target).await, Err(expected.to_owned()));
    }
}
