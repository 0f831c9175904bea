//! Kind `qdrant` against answers as its OpenAPI description has them (no Debian package, no image that could be pulled):
//! <https://github.com/qdrant/qdrant/blob/master/docs/redoc/master/openapi.json>, `CollectionInfo` and `ErrorResponse`.

use monitor::probe::ReasonCode;
use testkit::{Response, Target};

use crate::{ask, assert_fail, assert_pass, decode, fail, soft};

/// A server that is ready and has the collection `docs`, which is as `info` says.
fn serving(info: &'static str) -> Target {
    Target::respond_with(move |request| match (request.path.as_str(), request.header("api-key")) {
        ("/", _) => {
            Response::new(200, r#"{"title":"qdrant - vector search engine","version":"1.12.4","commit":"393020bd"}"#)
        }
        ("/readyz", _) => Response::new(200, "all shards are ready"),
        (_, None) => Response::new(401, "Must provide an API key or an Authorization bearer token"),
        ("/collections/docs", Some("hunter2")) => {
            Response::new(200, format!(r#"{{"result":{info},"status":"ok","time":0.000021}}"#))
        }
        _ => Response::new(
            404,
            r#"{"status":{"error":"Not found: Collection `my docs` doesn't exist!"},"time":0.00002}"#,
        ),
    })
}

fn check(target: &Target, settings: &str, expect: &str) -> String {
    format!("qdrant: {{ url: '{}', api_key: '${{SECRET}}'{settings} }}\n{expect}", target.url(""))
}

#[tokio::test]
async fn a_collection_is_judged_by_its_colour_and_its_points() {
    let green =
        r#"{"status":"green","optimizer_status":"ok","points_count":3,"segments_count":2,"config":{"params":{}}}"#;
    let target = serving(green);
    let facts = "expect: { json: { version: 1.12.4, status: green, points_count: 3, optimizer_status: ok } }";
    let observation = ask(&check(&target, ", collection: docs, min_points: 3", facts)).await;
    assert_pass(&observation);
    assert_eq!(observation.seen.note.as_deref(), Some("green, 3 points"));
    let few = ask(&check(&target, ", collection: docs, min_points: 4", "")).await;
    assert_fail(&few, ReasonCode::Limit, "collection \"docs\" has 3 points, fewer than 4");
    let yellow = serving(r#"{"status":"yellow","optimizer_status":"ok","points_count":3}"#);
    let observation = ask(&check(&yellow, ", collection: docs", "")).await;
    assert_pass(&observation);
    assert!(soft(&observation).is_empty());
    let grey = serving(r#"{"status":"grey","optimizer_status":"ok","points_count":3}"#);
    let observation = ask(&check(&grey, ", collection: docs", "")).await;
    assert_pass(&observation);
    assert_eq!(soft(&observation), ["collection \"docs\" is grey, its optimizations wait for the next update"]);
    let red = serving(r#"{"status":"red","optimizer_status":{"error":"No space left on device"},"points_count":3}"#);
    let text = "collection \"docs\" is red, an operation failed: No space left on device";
    assert_fail(&ask(&check(&red, ", collection: docs", "")).await, ReasonCode::Body, text);
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_told_in_words() {
    let target = serving("{}");
    let text = "there is no collection \"my docs\": Not found: Collection `my docs` doesn't exist!";
    assert_fail(&ask(&check(&target, ", collection: my docs", "")).await, ReasonCode::Rejected, text);
    assert_eq!(target.requests().last().unwrap().path, "/collections/my%20docs");
    let nobody = format!("qdrant: {{ url: '{}', collection: docs }}", target.url(""));
    let text = "it wants a key, or refuses ours; write api_key_file: …: Must provide an API key or an Authorization bearer \
                token";
    assert_fail(&ask(&nobody).await, ReasonCode::Auth, text);
    let (code, text) = fail(&ask(&check(&target, ", collection: docs", "")).await);
    assert_eq!(code, ReasonCode::Protocol);
    assert!(text.starts_with("the answer is not of the API of Qdrant; is the URL right?: status 200: {"), "{text}");
    let starts = Target::respond_with(|request| match request.path.as_str() {
        "/" => Response::new(200, r#"{"title":"qdrant - vector search engine","version":"1.12.4"}"#),
        _ => Response::new(503, "some shards are not ready"),
    });
    let text = "it is not ready: status 503: some shards are not ready";
    assert_fail(&ask(&check(&starts, "", "")).await, ReasonCode::Rejected, text);
    let other = Target::ok("hello");
    let text = "the answer is not of the API of Qdrant; is the URL right?: status 200: hello";
    assert_fail(&ask(&check(&other, "", "")).await, ReasonCode::Protocol, text);
    assert!(!format!("{:?}", decode(&check(&other, "", ""), crate::PATIENT).unwrap()).contains("hunter2"));
}
