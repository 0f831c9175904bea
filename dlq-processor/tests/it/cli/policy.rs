//! What a policy would do.

use crate::daemon::machine::Machine;

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_says_of_a_failure_what_it_would_do_and_whether_one_goes_before_those_that_are_alike() {
    let config = "queues: [{ queue: '*', mode: act }]\ncanaries: { auth: {}, unknown: { first: 2m } }\n\
        jobs: [{ name: sync, idempotent: true }, { name: pay, idempotent: false }]\n";
    let machine = Machine::start(config).await;
    for (name, reason, class, canary) in [
        ("mail", "status code 401", "auth", Some("after 10m")),
        ("pay", "status code 401", "auth", None),
        ("sync", "who knows", "unknown", Some("after 2m")),
        ("mail", "who knows", "unknown", None),
        ("sync", "ValidationError: no address", "malformed", None),
    ] {
        let said = machine.says(&["policy", "test", "--name", name, "--reason", reason]).await;
        let line = |key: &str| {
            let found = said.output.lines().find_map(|line| line.strip_prefix(key));
            found.map(|rest| rest.trim().to_owned())
        };
        assert_eq!((said.code, line("class").as_deref()), (0, Some(class)), "{}", said.output);
        assert_eq!(line("action").as_deref(), Some("park (class)"), "{}", said.output);
        let expected = canary.map(|when| format!("one of those that are alike {when}"));
        assert_eq!(line("canary"), expected, "{name}: {reason}");
    }
    let said = machine.says(&["check-config"]).await;
    assert_eq!(said.code, 0, "{}", said.errors);
    for line in [
        "  canaries         auth    after 10m, then twice as long each time up to 6h",
        "  canaries         unknown after 2m, 1 at most",
    ] {
        assert!(said.output.lines().any(|said| said == line), "{}", said.output);
    }
}
