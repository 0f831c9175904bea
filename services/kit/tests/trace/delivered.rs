//! What a collector that works is told.

use std::time::Duration;

use kit::trace::{Context, Kind, Span};
use testkit::Collector;

use crate::{export, figures};

async fn arrives(protocol: &str, is_http: bool) {
    let collector = Collector::start().await;
    let endpoint = if is_http { collector.http() } else { collector.grpc() };
    let exporting = export(
        &endpoint,
        [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-scope=a%20b"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod"),
        ],
    );
    kit::secrets::know(["hunter2hunter2"]);
    let caller = Context::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
    let mut outer = Span::enter(Kind::Server, "GET /", Some(&caller), None, false);
    outer.set("url.path", "/hunter2hunter2".to_owned());
    outer.set("http.response.status_code", 503_u16);
    outer.set("flag", true);
    outer.set("long", format!("{}hunter2hunter2", "x".repeat(1020)));
    let asked_by = Context::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").unwrap();
    (0..200).for_each(|_more_than_are_kept| outer.link(&asked_by));
    outer.fail("503", "it is not there");
    outer.within(async { drop(Span::step(Kind::Client, "POST")) }).await;
    outer.add_step("dns", Duration::from_millis(2), Duration::from_millis(5));
    drop(outer);
    exporting.finish().await;
    assert_eq!(figures("refused"), [3, 0, 0]);
    let spans = collector.spans().await;
    let named = |name: &str| spans.iter().find(|span| span["name"] == name).unwrap();
    let (outer, inner, step) = (named("GET /"), named("POST"), named("dns"));
    for span in &spans {
        assert_eq!(span["trace"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((&span["service"], &span["scope"]), (&"test".into(), &"kit".into()));
        assert_eq!(span["resource"]["deployment.environment.name"], "prod");
        assert_eq!(span["headers"]["x-scope"], "a b");
        assert!(span["protocol"] == if is_http { "http" } else { "grpc" } && span["sampled"] == true);
    }
    assert_eq!(
        (&outer["parent"], &outer["kind"], &outer["status"]),
        (&"b7ad6b7169203331".into(), &2.into(), &2.into())
    );
    let link = serde_json::json!({
        "trace": "4bf92f3577b34da6a3ce929d0e0e4736", "span": "00f067aa0ba902b7", "remote": true,
    });
    assert_eq!(outer["links"], serde_json::json!(vec![link; 128]));
    assert_eq!([outer, inner, step].map(|span| span["remote"] == true), [true, false, false]);
    assert_eq!((&inner["parent"], &inner["kind"], &inner["status"]), (&outer["span"], &3.into(), &0.into()));
    assert_eq!((&step["parent"], &step["kind"]), (&outer["span"], &1.into()));
    let at = |span: &serde_json::Value, which: &str| span[which].as_u64().unwrap();
    assert_eq!(at(step, "began") - at(outer, "began"), 2_000_000);
    assert_eq!(at(step, "ended") - at(step, "began"), 5_000_000);
    assert_eq!(outer["message"], "it is not there");
    let expected = serde_json::json!({
        "url.path": "/[redacted]", "http.response.status_code": 503, "flag": true, "error.type": "503",
        "long": format!("{}[red", "x".repeat(1020)),
    });
    assert_eq!(outer["attributes"], expected);
}

#[tokio::test]
async fn spans_arrive_by_http() {
    arrives("http/protobuf", true).await;
}

#[tokio::test]
async fn spans_arrive_by_grpc() {
    arrives("grpc", false).await;
}

#[tokio::test]
async fn of_an_unsampled_trace_only_what_failed_arrives_and_all_that_belongs_to_it() {
    let collector = Collector::start().await;
    let exporting = export(&collector.http(), []);
    for (name, fails) in [("good", false), ("bad", true)] {
        let mut outer = Span::enter(Kind::Server, name, Some(&Context::root(None, false)), None, false);
        outer
            .within(async {
                let mut inner = Span::step(Kind::Client, "inner");
                inner.refuse("404", "it may be");
                if fails {
                    inner.fail("timeout", "no answer");
                }
            })
            .await;
        outer.set("name", name);
    }
    exporting.finish().await;
    let names: Vec<_> = collector.spans().await.iter().map(|span| span["name"].clone()).collect();
    assert_eq!(names, ["inner", "bad"]);
}
