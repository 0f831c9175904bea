//! A look at everything, and what a doctor says of jobs that nobody will run.

use serde_json::json;

use super::{ACTS, NO_ADDRESS};
use crate::daemon::machine::{Machine, QUEUE};

#[tokio::test(flavor = "multi_thread")]
async fn a_look_is_waited_for_and_names_jobs_that_nobody_will_run_as_a_doctor_does() {
    let machine = Machine::start(ACTS).await;
    machine.fail(1, NO_ADDRESS).await;
    let _daemon = machine.daemon().await;
    machine.listed(1).await;
    let mut stray = redis::cmd("HSET");
    stray.arg(format!("bull:{QUEUE}:stray")).arg("name").arg("job").arg("timestamp").arg(5);
    machine.bull.query::<i64>(&stray).await;
    let said = machine.says(&["reconcile", "--source", "jobs", "--wait", "--reason", "it was restored"]).await;
    let answer = said.json();
    assert_eq!((said.code, &answer["is_done"]), (0, &json!(true)), "{answer}");
    assert_eq!(answer["sources"][0]["orphans"][0]["jobs"], json!(["stray"]), "{answer}");
    let unknown = machine.says(&["reconcile", "--source", "nothing", "--reason", "x"]).await;
    assert!(unknown.code == 1 && unknown.errors.contains("no source \"nothing\""), "{}", unknown.errors);
    let doctor = machine.says(&["doctor"]).await;
    let said = "1 job is in no list of it, such as stray";
    assert!(doctor.code == 1 && doctor.output.contains("✕ wrong"), "{}", doctor.output);
    let json = machine.says(&["doctor", "--json"]).await.output;
    assert!(json.contains(said), "{json}");
}
