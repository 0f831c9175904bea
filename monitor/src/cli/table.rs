//! The live table of `monitor up`: redrawn on a terminal until all are up, plain lines elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kit::cli::{Drawing, is_live, say, size};
use monitor::export::{Change, Shared, Status, status_of};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::render;

/// A table that stands still is redrawn this often, so that ages move.
const REDRAW_EVERY: Duration = Duration::from_secs(1);

/// Lines of a drawing that are not services: the header, the overall state and the page's address with an empty line each.
const LINES_AROUND: usize = 5;

/// Shows the services until `stop`.
pub(super) async fn show(shared: Arc<Shared>, address: SocketAddr, stop: CancellationToken) {
    if is_live() {
        live(&shared, address, stop).await;
    } else {
        lines(&shared, address, stop).await;
    }
}

async fn live(shared: &Shared, address: SocketAddr, stop: CancellationToken) {
    let mut changes = shared.changes.subscribe();
    let mut drawn = Drawing::default();
    loop {
        drawn.draw(&drawing(status_of(shared), address, size().1));
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changes.recv() => {}
            () = tokio::time::sleep(REDRAW_EVERY) => {}
        }
    }
}

/// Returns what fits above the cursor on a terminal of `height` lines, a line a service. What needs a look comes first
/// if not all of them fit.
fn drawing(mut status: Status, address: SocketAddr, height: usize) -> String {
    let room = height.saturating_sub(1);
    let services = room.saturating_sub(LINES_AROUND);
    let mut more = String::new();
    // Where they do not fit, replicas are told of by their service alone.
    if status.services.iter().map(|service| 1 + service.replicas.len()).sum::<usize>() > services {
        status.services.iter_mut().for_each(|service| service.replicas.clear());
    }
    if status.services.len() > services {
        let shown = services.saturating_sub(1);
        status.services.sort_by_key(|service| matches!(service.verdict.as_str(), "up" | "completed"));
        more = format!("\n… and {} more", status.services.len() - shown);
        status.services.truncate(shown);
    }
    let (table, overall) = (render::rows(&status, true, Some(1)), render::overall(&status));
    let text = format!("{table}{more}\n\n{overall}\n\nstatus page: http://{address}/   Ctrl-C stops everything");
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(room)..).unwrap_or_default().join("\n")
}

async fn lines(shared: &Shared, address: SocketAddr, stop: CancellationToken) {
    let mut changes = shared.changes.subscribe();
    say(format_args!("watching {} services", status_of(shared).services.len()));
    let mut announced = false;
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.recv() => change,
        };
        match change {
            // A replica that nothing asks is no news of its own.
            Ok(Change::Verdict { verdict: "unknown", ref service, .. }) if service.contains('.') => {}
            Ok(Change::Verdict { service, verdict, why }) => {
                let (mark, _) = render::look(verdict);
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                say(format_args!("{mark} {service} is {}{why}", verdict.replace('_', " ")));
            }
            Ok(
                Change::Health { .. } | Change::Incident { .. } | Change::Alerts | Change::Findings | Change::Reloaded,
            )
            | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
        if !announced && is_settled(&status_of(shared)) {
            announced = true;
            say(format_args!("status page: http://{address}/"));
        }
    }
}

/// True once nothing is starting or unasked any more.
fn is_settled(status: &Status) -> bool {
    status.services.iter().all(|service| !matches!(service.verdict.as_str(), "starting" | "unknown"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(verdicts: &[&str]) -> Status {
        let service = |(index, verdict): (usize, &&str)| {
            json!({
                "name": format!("s{index}"), "critical": true, "verdict": verdict, "why": "why ".repeat(100), "since": "",
                "running_unchecked": false, "needs": { "hard": [], "soft": [] }, "checks": [],
            })
        };
        let services: Vec<serde_json::Value> = verdicts.iter().enumerate().map(service).collect();
        serde_json::from_value(json!({
            "overall": "down", "reason": "", "timestamp": "", "sequence": 1, "version": "1", "services": services,
        }))
        .unwrap()
    }

    #[test]
    fn a_drawing_is_never_higher_than_the_terminal_and_shows_trouble_first() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8888));
        let verdicts = ["up", "up", "up", "up", "up", "up", "up", "down"];
        for height in [0, 1, 2, 3, 5, 7, 8, 10, 13, 14, 24] {
            let text = drawing(status(&verdicts), address, height);
            assert!(text.lines().count() < height.max(1), "{height}:\n{text}");
        }
        let cut = drawing(status(&verdicts), address, 9);
        assert!(cut.contains("s7") && cut.contains("s0") && !cut.contains("s2"), "{cut}");
        assert!(cut.contains("… and 6 more") && cut.ends_with("Ctrl-C stops everything"), "{cut}");
        let whole = drawing(status(&verdicts), address, 14);
        assert!(!whole.contains("more") && whole.contains("s6"), "{whole}");
    }
}
