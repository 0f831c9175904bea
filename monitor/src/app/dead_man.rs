//! The dead man's switch: a ping that goes out while everything here works, so that silence is noticed elsewhere
//! (Healthchecks, Dead Man's Snitch, another monitor's heartbeat).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use jiff::Timestamp;
use kit::config::show_duration;

use crate::alert::DeadMan;
use crate::export::Shared;

/// Deadline of one ping.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most of an answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 4096;
/// While no switch is configured, the configuration is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Pings for ever; the configuration may change meanwhile.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        let switch = shared.alerts.settings().dead_man.clone();
        let Some(switch) = switch else {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        };
        match fit(&shared) {
            Ok(()) => ping(&shared, &switch).await,
            Err(why) => tracing::error!(why, "no dead man's ping: whoever waits for it will notice"),
        }
        tokio::time::sleep(switch.every).await;
    }
}

/// Returns why we must not say that all is well: the loop stands, nothing is written down, or somebody cannot be
/// told: a channel refuses, takes nothing, or did not take the last drill.
fn fit(shared: &Shared) -> Result<(), String> {
    if let Some(idle) = shared.figures.stands_since() {
        return Err(format!("the loop stands since {}", show_duration(idle)));
    }
    if let Some(why) = shared.stores.state.figures.error() {
        return Err(format!("the disk does not take state: {why}"));
    }
    if let Some(channel) = shared.alerts.blocked_channel() {
        return Err(format!("alerts do not get through {channel}"));
    }
    Ok(())
}

async fn ping(shared: &Shared, switch: &DeadMan) {
    let request = Request::builder()
        .uri(switch.url())
        .header(header::USER_AGENT, concat!("monitor/", env!("CARGO_PKG_VERSION")))
        .body(Full::<Bytes>::default());
    let answered = match request {
        Ok(request) => kit::http::get(request, TIMEOUT, MAX_ANSWER_BYTES).await,
        Err(error) => Err(error.to_string()),
    };
    match answered {
        Ok((status, _)) if status.is_success() => {
            shared.figures.dead_man_secs.store(Timestamp::now().as_second(), Relaxed);
        }
        // The address may be secret: it is not shown.
        Ok((status, _)) => tracing::warn!(%status, "the dead man's ping was not accepted"),
        Err(why) => tracing::warn!(why, "the dead man's ping did not get through"),
    }
}
