//! Programs that share a file and are killed with SIGKILL in the middle of whatever they do.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use kit::queue::{Options, Queues};

/// Set for the programs that are to be killed: the file they work on.
const FILE: &str = "KIT_QUEUE_KILLED_FILE";
const TEST: &str = "killed::no_job_is_lost_or_done_again_when_programs_are_killed";
const DAY: Duration = Duration::from_secs(86_400);

/// What the programs said: `in` after a job was put in, `begun` before it is completed, `done` after that.
#[derive(Default)]
struct Said {
    put_in: BTreeSet<String>,
    begun: BTreeSet<String>,
    done: BTreeSet<String>,
}

impl Said {
    /// Takes one line; returns false for those of the test runner.
    fn hear(&mut self, line: &str) -> bool {
        let Some((word, id)) = line.strip_prefix("@ ").and_then(|rest| rest.split_once(' ')) else { return false };
        match word {
            "in" => assert!(self.put_in.insert(id.to_owned()), "{id} was put in twice"),
            "begun" => drop(self.begun.insert(id.to_owned())),
            _ => assert!(self.done.insert(id.to_owned()), "{id} was completed twice"),
        }
        true
    }
}

/// Puts jobs in and does them until it is killed.
async fn work(path: &Path) {
    let queues = Queues::sqlite(path).await.unwrap();
    let options = Options { max_attempts: u32::MAX.try_into().unwrap(), ..Options::default() };
    loop {
        for _ in 0..2 {
            println!("@ in {}", queues.enqueue("q", "job", "", options).await.unwrap());
        }
        for job in queues.claim(&["q"], "killed", DAY, 2).await.unwrap() {
            println!("@ begun {}", job.claim.id);
            queues.complete(job.claim).await.unwrap();
            println!("@ done {}", job.claim.id);
        }
    }
}

fn start(path: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    // It must not outlive a test that failed.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(std::env::current_exe().unwrap());
    command.args([TEST, "--exact", "--nocapture"]).env(FILE, path).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

#[tokio::test]
async fn no_job_is_lost_or_done_again_when_programs_are_killed() {
    if let Some(file) = std::env::var_os(FILE) {
        return work(Path::new(&file)).await;
    }
    let rounds = testkit::at_scale(5, 200);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let mut said = Said::default();
    for round in 0..rounds {
        let mut programs = [start(&path), start(&path)];
        // Where exactly they are after that many words is up to the machine.
        for (child, lines) in &mut programs {
            let mut words = 0;
            while words < 5 + round * 7 % 40 {
                words += u32::from(said.hear(&lines.next().expect("it works until it is killed").unwrap()));
            }
            child.kill().unwrap();
            for line in lines {
                said.hear(&line.unwrap());
            }
            child.wait().unwrap();
        }
    }
    let tomorrow = jiff::Timestamp::now() + DAY * 2;
    let queues = Queues::sqlite(&path).await.unwrap().with_clock(move || tomorrow);
    let left = queues.claim(&["q"], "after", DAY, u32::MAX).await.unwrap();
    let left: BTreeSet<String> = left.iter().map(|job| job.claim.id.to_string()).collect();
    assert!(left.is_disjoint(&said.done), "what was completed is gone");
    let lost: Vec<&String> = said.put_in.iter().filter(|id| !left.contains(*id) && !said.begun.contains(*id)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    println!("{} put in, {} completed, {} left", said.put_in.len(), said.done.len(), left.len());
}
