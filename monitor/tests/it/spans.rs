//! Probes as spans: what a collector is told of them, and what the target is.

use kit::config::Environment;
use kit::metrics::{Format, Metrics};
use kit::trace::{Context, TraceSettings, start};
use monitor::export::ProbeMetrics;
use monitor::probe::{Outcome, Why, observe};
use serde_json::{Value, json};
use testkit::{Authority, Collector, Response, Target};

use crate::names::{Answer, Resolver};
use crate::{PATIENT, fail, question, trusting, vantage};

#[tokio::test]
async fn a_probe_is_a_span_with_its_phases_that_the_target_is_told_and_one_that_fails_is_kept() {
    let collector = Collector::start().await;
    let environment = Environment::of([("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.http())]);
    let exporting = start(TraceSettings::read(&environment, "monitor", "1").unwrap());
    let target = Target::sequence([200, 200, 503]);
    let question = question(&format!("http: {{ url: '{}' }}", target.url("/?token=hunter2")), PATIENT);
    let registry = Metrics::new("monitor", "1");
    let metrics = ProbeMetrics::new(&registry);
    let mut last = None;
    for sampled in [true, false, false] {
        let observation = observe(vantage(9), &question, Why::Asked, sampled).await;
        metrics.observe(&observation);
        last = Some(observation);
    }
    exporting.finish().await;
    let sent: Vec<Context> = target
        .requests()
        .iter()
        .map(|request| Context::parse(request.header("traceparent").unwrap()).unwrap())
        .collect();
    assert_eq!(sent.iter().map(Context::is_sampled).collect::<Vec<_>>(), [true, false, false]);
    let spans = collector.spans().await;
    let probes: Vec<&Value> = spans.iter().filter(|span| span["name"] == "probe shop/web").collect();
    let traces: Vec<&Value> = probes.iter().map(|span| &span["trace"]).collect();
    assert_eq!(traces, [&json!(sent[0].trace_id()), &json!(sent[2].trace_id())]);
    assert_eq!(exemplars(&registry), [sent[0].trace_id()], "the last pass that is recorded, not the last pass");
    let (passed, failed) = (probes[0], probes[1]);
    assert!(sent[0].traceparent().contains(passed["span"].as_str().unwrap()), "{sent:?}");
    let address = target.addr();
    let told = json!({
        "check.id": "shop/web", "http.request.method": "GET", "url.full": target.url("/"),
        "server.address": address.ip(), "server.port": address.port(), "http.response.status_code": 200,
        "network.peer.address": address.ip(), "network.peer.port": address.port(),
    });
    assert_eq!((&passed["attributes"], &passed["status"]), (&told, &json!(0)));
    let (_, why) = fail(&last.unwrap());
    assert_eq!((&failed["attributes"]["error.type"], &failed["message"]), (&json!("status"), &json!(why)));
    for probe in probes {
        let steps: Vec<&Value> = spans.iter().filter(|span| span["parent"] == probe["span"]).collect();
        let names: Vec<&Value> = steps.iter().map(|span| &span["name"]).collect();
        assert_eq!(names, ["connect", "first_byte", "transfer"]);
        assert!(steps.windows(2).all(|pair| pair[0]["ended"] == pair[1]["began"]), "{steps:?}");
        assert!(steps[2]["ended"].as_u64() <= probe["ended"].as_u64(), "{spans:?}");
    }
}

#[tokio::test]
async fn a_probe_by_name_and_over_tls_has_these_steps_too_and_one_without_an_answer_says_what_it_asked() {
    let collector = Collector::start().await;
    let environment = Environment::of([("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.http())]);
    let exporting = start(TraceSettings::read(&environment, "monitor", "1").unwrap());
    let (authority, resolver) = (Authority::new(), Resolver::start(Answer::Loopback).await);
    let (_file, trust) = trusting(&authority);
    let target = Target::https(&authority.wrong_name(), "pong");
    let url = format!("https://wrong.example:{}/a", target.addr().port());
    let from = vantage(resolver.address.port());
    let gone = Target::refuse();
    for (url, tls) in [(url.as_str(), trust.as_str()), (&format!("http://{}/b?token=hunter2", gone.addr()), "")] {
        let question = question(&format!("http: {{ url: '{url}', tls: {{ {tls} }} }}"), PATIENT);
        observe(from.clone(), &question, Why::Asked, true).await;
    }
    exporting.finish().await;
    let spans = collector.spans().await;
    let probes: Vec<&Value> = spans.iter().filter(|span| span["name"] == "probe shop/web").collect();
    let steps = spans.iter().filter(|span| span["parent"] == probes[0]["span"]);
    let names: Vec<&Value> = steps.map(|span| &span["name"]).collect();
    assert_eq!(names, ["dns", "connect", "tls", "first_byte", "transfer"]);
    let asked = |probe: &Value| {
        let of = |name: &str| probe["attributes"][name].clone();
        json!([of("url.full"), of("server.address"), of("server.port"), of("http.response.status_code")])
    };
    assert_eq!(asked(probes[0]), json!([url, "wrong.example", target.addr().port(), 200]));
    let refused = format!("http://{}/b", gone.addr());
    assert_eq!(asked(probes[1]), json!([refused, "127.0.0.1", gone.addr().port(), null]));
}

#[tokio::test]
async fn a_journey_tells_no_path_that_an_answer_chose() {
    let collector = Collector::start().await;
    let environment = Environment::of([("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.http())]);
    let exporting = start(TraceSettings::read(&environment, "monitor", "1").unwrap());
    let target = Target::respond_with(|request| match request.path.as_str() {
        "/forgot" => Response::new(200, r#"{"token":"reset me"}"#),
        "/enter" => Response::new(302, "").with_header("location", "/in/session-4711"),
        _ => Response::new(200, ""),
    });
    let step = |name: &str, more: &str| {
        format!("{{ name: {name}, http: {{ url: '{}' }}{more} }}", target.url(&format!("/{name}")))
    };
    let forgot = step("forgot", ", extract: { token: { json: token } }");
    let reset = step("reset", "").replace("/reset'", "/reset/{{ token }}'");
    for steps in [forgot.clone(), format!("{forgot}, {reset}"), step("enter", "")] {
        let question = question(&format!("journey: {{ steps: [{steps}] }}"), PATIENT);
        let observation = observe(vantage(9), &question, Why::Asked, true).await;
        assert!(matches!(observation.outcome, Outcome::Pass), "{observation:?}");
    }
    exporting.finish().await;
    let asked: Vec<String> = target.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(asked, ["/forgot", "/forgot", "/reset/reset%20me", "/enter", "/in/session-4711"]);
    let spans = collector.spans().await;
    let urls = spans.iter().filter_map(|span| span["attributes"]["url.full"].as_str());
    assert_eq!(urls.collect::<Vec<_>>(), [target.url("/forgot"), target.url("/"), target.url("/")]);
    let all = json!(spans).to_string();
    assert!(!["reset me", "reset%20me", "session-4711"].iter().any(|secret| all.contains(secret)), "{all}");
}

#[tokio::test]
async fn a_probe_whose_trace_goes_nowhere_is_nobodys_example() {
    let target = Target::answer(200, &[], "");
    let question = question(&format!("http: {{ url: '{}' }}", target.url("/")), PATIENT);
    let registry = Metrics::new("monitor", "1");
    let metrics = ProbeMetrics::new(&registry);
    metrics.observe(&observe(vantage(9), &question, Why::Asked, true).await);
    let passes = registry.encode(Format::OpenMetrics);
    assert!(passes.contains("monitor_probe_duration_seconds_count{check=\"web\",service=\"shop\"} 1\n"), "{passes}");
    assert_eq!(exemplars(&registry), [""; 0]);
}

/// Returns the traces that the exemplars of `/metrics` lead to.
fn exemplars(registry: &Metrics) -> Vec<String> {
    let text = registry.encode(Format::OpenMetrics);
    let traces = text.lines().filter_map(|line| line.split_once("# {trace_id=\"")?.1.split_once('"'));
    traces.map(|(trace, _)| trace.to_owned()).collect()
}
