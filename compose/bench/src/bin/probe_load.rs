//! Asks one http check over and over, as the daemon's probes do, so that the cost of a probe alone can be measured.
//!
//! `probe_load URL IN_FLIGHT SECONDS [CA_FILE]` prints one line of JSON: probes that passed, CPU seconds, wall-clock seconds.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kit::config::{Cursor, Mistakes, Node};
use monitor::Kinds;
use monitor::probe::{CheckId, Outcome, Question, Vantage, Why, decode_question, observe};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Long enough that no probe of a loaded machine runs into it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Probes before the measurement: pages are mapped and pools are filled by then.
const WARM_UP: usize = 500;

fn main() -> ExitCode {
    kit::tls::install();
    match measure() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("probe_load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, in_flight, seconds, trusted @ ..] = arguments.as_slice() else {
        bail!("usage: probe_load URL IN_FLIGHT SECONDS [CA_FILE]")
    };
    let in_flight: usize = in_flight.parse().context("IN_FLIGHT is not a number")?;
    let length = Duration::from_secs(seconds.parse().context("SECONDS is not a number")?);
    let question = Arc::new(decode(url, trusted.first())?);
    // The daemon's own runtime, so that its threads wake and wait as they do there.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        let vantage = Arc::new(Vantage::of_system().context("reading the resolver configuration")?);
        for _ in 0..WARM_UP {
            ask(&vantage, &question).await?;
        }
        let (cpu_before, began) = (cpu_us()?, Instant::now());
        let mut askers = JoinSet::new();
        for _ in 0..in_flight {
            askers.spawn(keep_asking(vantage.clone(), question.clone(), began + length));
        }
        let mut probes = 0;
        while let Some(asked) = askers.join_next().await {
            probes += asked.context("an asker ended early")??;
        }
        let cpu_secs = Duration::from_micros(cpu_us()? - cpu_before).as_secs_f64();
        let wall_secs = began.elapsed().as_secs_f64();
        Ok(serde_json::json!({ "probes": probes, "cpu_secs": cpu_secs, "wall_secs": wall_secs }).to_string())
    })
}

fn decode(url: &str, trusted: Option<&String>) -> Result<Question> {
    let tls = trusted.map(|file| format!(", tls: {{ ca_file: {file:?} }}")).unwrap_or_default();
    let yaml = format!("{{ http: {{ url: {url:?}{tls} }}, expect: {{ status: 200 }} }}");
    let node = Node::parse("command line", &yaml).map_err(|(_, message)| anyhow::anyhow!(message))?;
    let mistakes = Mistakes::default();
    let decoded = Cursor::top(&node, &mistakes)
        .fields()
        .and_then(|fields| decode_question(fields, CheckId::new("load", "probe"), TIMEOUT, &Kinds::standard(), &[]));
    let mistakes = mistakes.into_sorted();
    match (decoded, mistakes.first()) {
        (Some((question, _kind)), None) => Ok(question),
        (_, mistake) => bail!("{}", mistake.map_or("no check", |mistake| &mistake.message)),
    }
}

async fn keep_asking(vantage: Arc<Vantage>, question: Arc<Question>, until: Instant) -> Result<u64> {
    let mut probes = 0;
    while Instant::now() < until {
        ask(&vantage, &question).await?;
        probes += 1;
    }
    Ok(probes)
}

/// Asks once. Only passes count: a fail costs something else.
async fn ask(vantage: &Arc<Vantage>, question: &Question) -> Result<()> {
    match observe(vantage.clone(), question, Why::Schedule, false).await.outcome {
        Outcome::Pass => Ok(()),
        Outcome::Fail(reason) | Outcome::Unknown(reason) => bail!("the target does not pass: {}", reason.text),
    }
}

/// CPU time of this process so far, user and system, in microseconds.
fn cpu_us() -> Result<u64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).context("reading our own CPU time")?;
    let total = usage.user_time() + usage.system_time();
    u64::try_from(total.num_microseconds()).context("negative CPU time")
}
