//! Spans of what the daemon does with letters, as a collector that is not ours gets them.

use serde_json::{Value, json};
use testkit::{Collector, eventually};

use super::machine::{Daemon, LIMIT, Machine, QUEUE};

const CONFIG: &str = "queues: [{ queue: '*', mode: act }]\nretries: { transient: { base: 1s, cap: 1s } }\n";
/// The span that puts a job in.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// Has two jobs fail: of one it is known who put it in, of the other what cannot be read. Returns their ids.
async fn fail_two(machine: &Machine) -> [String; 2] {
    machine.does(json!({ "throws": "connect ECONNREFUSED 127.0.0.1:25" })).await;
    machine.bull.work(QUEUE).await;
    let job =
        |metadata: String| json!({ "name": "job", "data": {}, "opts": { "telemetry": { "metadata": metadata } } });
    let handed = json!({ "traceparent": format!("00-{TRACE}-{SPAN}-01") }).to_string();
    let ids = [
        machine.bull.add(QUEUE, job(handed)).await,
        machine.bull.add(QUEUE, job("{\"traceparent\":\"nonsense\"}".to_owned())).await,
    ];
    let both_fail = async || {
        let counts = machine.bull.ask(json!({ "call": "counts", "queue": QUEUE })).await;
        (counts["failed"] == 2).then_some(())
    };
    eventually("both to fail", LIMIT, both_fail).await;
    machine.does(json!({})).await;
    ids
}

/// The spans with this name.
fn named<'a>(spans: &'a [Value], name: &str) -> Vec<&'a Value> {
    spans.iter().filter(|span| span["name"] == name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_with_a_letter_is_linked_to_what_put_its_job_in_and_no_part_of_that() {
    let (machine, collector) = (Machine::start(CONFIG).await, Collector::start().await);
    let [traced, other] = fail_two(&machine).await;
    let endpoint = collector.http();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let _daemon = Daemon::spawn_with(machine.folder.path(), &variables);
    let are_there = |spans: &[Value]| (named(spans, "redrive mails").len() == 2).then(|| spans.to_vec());
    let spans = collector.eventually("both to be redriven", are_there).await;

    let capture = named(&spans, "capture mails")[0];
    let of_batch = json!({
        "messaging.system": "bullmq", "messaging.operation.name": "capture", "messaging.operation.type": "receive",
        "messaging.destination.name": "mails", "messaging.batch.message_count": 2,
    });
    assert_eq!((&capture["attributes"], &capture["kind"], &capture["parent"]), (&of_batch, &json!(3), &json!("")));
    let link = json!([{ "trace": TRACE, "span": SPAN, "remote": true }]);
    for (job, links) in [(&traced, &link), (&other, &json!([]))] {
        let of_job = |name: &str| {
            let spans = named(&spans, name);
            let of_job: Vec<_> =
                spans.into_iter().filter(|span| span["attributes"]["messaging.message.id"] == **job).collect();
            assert_eq!(of_job.len(), 1, "{name}: {of_job:?}");
            assert_eq!((&of_job[0]["links"], &of_job[0]["status"]), (links, &json!(0)), "{name}");
            of_job[0]
        };
        let (classify, redrive) = (of_job("classify mails"), of_job("redrive mails"));
        assert_eq!((&classify["parent"], &classify["trace"]), (&capture["span"], &capture["trace"]));
        let said = &classify["attributes"];
        assert_eq!([&said["dlq.class"], &said["dlq.action"]], ["transient", "redrive"], "{said}");
        assert_eq!((&redrive["parent"], &redrive["kind"]), (&json!(""), &json!(4)));
        assert_ne!(redrive["trace"], TRACE);
        let said = &redrive["attributes"];
        assert_eq!([&said["messaging.operation.type"], &said["dlq.redrive.result"]], ["send", "moved"], "{said}");
        assert_eq!((&said["dlq.redrive.number"], &said["dlq.redrive.asked"]), (&json!(1), &json!(false)));
        assert_eq!(said["dlq.letter.id"], classify["attributes"]["dlq.letter.id"]);
    }
}
