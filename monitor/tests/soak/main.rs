//! The daemon is killed at random moments, again and again; what it wrote before is whole, and still counts after.
//!
//! Few rounds unless `SOAK` is set. `SEED=` repeats the moments of an earlier run; the seed is printed.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

mod daemon;
mod record;

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use testkit::Target;

use crate::daemon::Daemon;
use crate::record::Record;

/// The last one answers with errors.
const SERVICES: usize = 10;
const CHECKS_EACH: usize = 5;
/// Kills in `make test` and in `make soak`.
const ROUNDS: (usize, usize) = (3, 100);
/// One kill in three comes this soon: into start, restoring and the first writes.
const EARLY_MS: u64 = 400;
/// Any other comes this soon after the daemon answered: fresh points are written every 5 s.
const LATE_MS: u64 = 8_000;

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_any_moment_leaves_both_stores_whole_and_what_was_written_is_never_taken_back() {
    let mut random = StdRng::seed_from_u64(testkit::seed());
    let rounds = testkit::at_scale(ROUNDS.0, ROUNDS.1);
    let (folder, healthy, broken) = (tempfile::tempdir().unwrap(), Target::ok("ok"), Target::ok(""));
    broken.set_status(500);
    daemon::write_config(folder.path(), &services(&healthy, &broken));

    let daemon = Daemon::start(folder.path());
    daemon.until_settled(SERVICES).await;
    daemon.kill();
    let mut before = Record::read(folder.path()).await;
    assert_eq!(before.verdicts.len(), SERVICES);
    assert!(!before.points.is_empty());

    for round in 1..=rounds {
        let is_early = random.random_ratio(1, 3);
        let moment = Duration::from_millis(random.random_range(0..if is_early { EARLY_MS } else { LATE_MS }));
        println!("round {round}: killed {} {moment:?}", if is_early { "after" } else { "once it answered, after" });
        let daemon = Daemon::start(folder.path());
        if !is_early {
            daemon.until_it_answers().await;
            assert_eq!(daemon.verdicts().await, before.verdicts, "a restart is no news");
        }
        // The random moment is what is tested; nothing waits for it to be long enough.
        tokio::time::sleep(moment).await;
        daemon.kill();
        let after = Record::read(folder.path()).await;
        after.assert_continues(&before);
        before = after;
    }
}

fn services(healthy: &Target, broken: &Target) -> String {
    let mut yaml = String::new();
    for service in 0..SERVICES {
        let url = if service + 1 < SERVICES { healthy.url("/") } else { broken.url("/") };
        yaml.push_str(&format!("  service-{service}:\n    checks:\n"));
        for check in 0..CHECKS_EACH {
            yaml.push_str(&format!("      check-{check}: {{ http: {{ url: \"{url}\" }} }}\n"));
        }
    }
    yaml
}
