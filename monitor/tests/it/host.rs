//! Kind `host`: this machine against limits it surely keeps or surely breaks.

use monitor::probe::{Outcome, ReasonCode, Why, observe};

use crate::{PATIENT, ask, assert_pass, decode, fail, question, vantage};

async fn note(check: &str) -> String {
    let observation = ask(check).await;
    assert_pass(&observation);
    observation.seen.note.unwrap()
}

#[tokio::test]
async fn what_keeps_its_limits_passes_with_a_note() {
    let disk = note("host: { disk: { path: /, max_used: 100%, min_free: 1, max_inodes_used: 100% } }").await;
    assert!(disk.starts_with("disk / ") && disk.ends_with(" free"), "{disk}");
    // Nothing is said of a rate that nobody has seen.
    let filling = ask("host: { disk: { path: /, full_in: 366d } }").await;
    assert_pass(&filling);
    assert!(filling.soft.is_empty(), "{filling:?}");
    let memory = note("host: { memory: { max_used: 100% } }").await;
    assert!(memory.starts_with("memory ") && memory.contains(" % used, "), "{memory}");
    let load = note("host: { load: { max_per_cpu: 100000 } }").await;
    assert!(load.starts_with("load ") && load.contains(" per CPU over 5 min"), "{load}");
    note("host: { swap: { max_used: 100% } }").await;
    note("host: { process: { name: no-such-program, min: 0 } }").await;
}

#[tokio::test]
async fn what_breaks_a_limit_fails_with_both_numbers() {
    let (code, text) = fail(&ask("host: { disk: { path: /, min_free: 8000TB } }").await);
    assert_eq!(code, ReasonCode::Limit);
    assert!(text.starts_with("disk / ") && text.ends_with(" free: less than 8.0 PB free"), "{text}");
    let (_, text) = fail(&ask("host: { process: { name: no-such-program } }").await);
    assert_eq!(text, "no process no-such-program: fewer than 1");
}

#[tokio::test]
async fn a_running_process_is_found_by_name_and_by_command_line() {
    let mut child = std::process::Command::new("sleep").arg("98765").spawn().unwrap();
    let found = testkit::eventually("the process runs", PATIENT, async || {
        let observation = ask("host: { process: { pattern: 'sleep 9876[5]$', max: 1 } }").await;
        observation.seen.note.filter(|note| note.starts_with("1 process"))
    });
    assert_eq!(found.await, "1 process /sleep 9876[5]$/");
    assert!(note("host: { process: { name: sleep } }").await.ends_with(" sleep"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn looks_at_the_same_time_take_turns() {
    let question = question("host: { disk: { path: /, max_used: 100% } }", PATIENT);
    let vantage = vantage(9);
    let all = (0..20).map(|_| observe(vantage.clone(), &question, Why::Forced, false));
    for observation in futures_util::future::join_all(all).await {
        assert_pass(&observation);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_unknown() {
    match ask("host: { disk: { path: /no/such/folder } }").await.outcome {
        Outcome::Unknown(reason) => {
            assert_eq!(reason.code, ReasonCode::Local);
            assert_eq!(reason.text, "cannot read disk /no/such/folder: no such file or directory");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn resources_are_checked_at_load() {
    for (check, mistake) in [
        ("host: {}", "m.yml:1:7: host: expected exactly one key, found a mapping"),
        (
            "host: { disc: { path: / } }",
            "m.yml:1:7: host: expected one of disk, memory, swap, load, process, found \"disc\"; did you mean \"disk\"?",
        ),
        ("host: { disk: {} }", "m.yml:1:15: host.disk: \"path\" is missing"),
        ("host: { process: { min: 2 } }", "m.yml:1:18: host.process: expected exactly one of \"name\" and \"pattern\""),
        ("host: { load: { max_per_cpu: 0 } }", "m.yml:1:30: host.load.max_per_cpu: expected a number above 0, found 0"),
    ] {
        assert_eq!(decode(check, PATIENT).unwrap_err(), [mistake]);
    }
}
