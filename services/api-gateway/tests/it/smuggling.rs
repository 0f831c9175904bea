//! Requests whose length two servers could read differently: none reaches a service as anything but what was let through.

use testkit::Target;

use crate::{Gateway, read_to_end};

/// What is sent, after the request line, the host and the key.
async fn sent(rest: &str) -> (String, Vec<testkit::Request>) {
    let target = Target::ok("fine");
    let gateway = Gateway::before(&target.url("")).await;
    let mut client = gateway.write(&format!("POST /api/airtable/x HTTP/1.1\nHost: x\n{{key}}\n{rest}")).await;
    let answer = read_to_end(&mut client).await;
    (answer, target.requests())
}

#[tokio::test]
async fn lengths_that_contradict_each_other_are_refused() {
    for rest in [
        "Content-Length: 3\nContent-Length: 4\n\nabcd",
        "Content-Length: 3, 4\n\nabcd",
        "Content-Length: +3\n\nabc",
        "Content-Length: 0x3\n\nabc",
        "Content-Length : 3\n\nabc",
        "Transfer-Encoding: xchunked\n\n0\n\n",
        "Transfer-Encoding: chunked, identity\n\n0\n\n",
        "Transfer-Encoding: chunked\n\nZ\n\n",
    ] {
        let (answer, requests) = sent(rest).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{rest:?}: {answer}");
        assert!(
            requests.iter().all(|request| request.body.is_empty()) && requests.len() <= 1,
            "{rest:?}: {requests:?}"
        );
    }
}

#[tokio::test]
async fn of_two_ways_to_say_a_length_one_counts_and_one_is_sent_on() {
    let smuggled = "GET /api/airtable/admin HTTP/1.1\nHost: x\n{key}\n\n";
    let (answer, requests) =
        sent(&format!("Content-Length: 4\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n{smuggled}")).await;
    let first = &requests[0];
    assert_eq!((first.path.as_str(), first.text().as_str()), ("/x", "abc"));
    let framed = first.header("content-length").is_some() != first.header("transfer-encoding").is_some();
    assert!(framed, "{first:?}");
    // The connection ends with it (RFC 9112 section 6.1): what follows is not looked at.
    assert_eq!((requests.len(), answer.matches("HTTP/1.1 ").count()), (1, 1), "{requests:?} {answer}");
}

#[tokio::test]
async fn a_header_cannot_be_hidden_from_one_of_two_servers() {
    let folded = "X-A: b\n X-API-Key: other\n\n";
    let (answer, requests) = sent(folded).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && requests.is_empty(), "{answer}");
    let (_answer, requests) = sent("Connection: close, X-Forwarded-For, X-API-Key\nContent-Length: 0\n\n").await;
    let seen = &requests[0];
    assert_eq!((seen.header("x-forwarded-for"), seen.header("x-api-key")), (Some("127.0.0.1"), Some(crate::OWN_KEY)));
}
