//! The live table of `monitor up`: redrawn on a terminal until all are up, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use monitor::export::{Change, Shared, Status, status_of};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::render;

/// A table that stands still is redrawn this often, so that ages move.
const REDRAW_EVERY: Duration = Duration::from_secs(1);

/// Shows the services until `stop`.
pub(super) async fn show(shared: Arc<Shared>, address: SocketAddr, stop: CancellationToken) {
    if std::io::stdout().is_terminal() && std::env::var("TERM").is_ok_and(|term| term != "dumb") {
        live(&shared, address, stop).await;
    } else {
        lines(&shared, address, stop).await;
    }
}

async fn live(shared: &Shared, address: SocketAddr, stop: CancellationToken) {
    let mut changes = shared.changes.subscribe();
    let mut drawn = 0;
    loop {
        let status = status_of(shared);
        let text =
            format!("{}\n\nstatus page: http://{address}/   Ctrl-C stops everything", render::table(&status, true));
        // Up over the last drawing and clear it (ECMA-48: CUU, ED).
        let up = if drawn > 0 { format!("\x1b[{drawn}A\x1b[J") } else { String::new() };
        draw(&format!("{up}{text}\n"));
        drawn = text.lines().count();
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changes.recv() => {}
            () = tokio::time::sleep(REDRAW_EVERY) => {}
        }
    }
}

fn draw(text: &str) {
    let mut out = std::io::stdout().lock();
    let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

async fn lines(shared: &Shared, address: SocketAddr, stop: CancellationToken) {
    let mut changes = shared.changes.subscribe();
    println!("watching {} services", status_of(shared).services.len());
    let mut announced = false;
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.recv() => change,
        };
        match change {
            Ok(Change::Verdict { service, verdict, why }) => {
                let (mark, _) = render::look(verdict);
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                println!("{mark} {service} is {}{why}", verdict.replace('_', " "));
            }
            Ok(Change::Health { .. } | Change::Reloaded) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
        if !announced && is_settled(&status_of(shared)) {
            announced = true;
            println!("status page: http://{address}/");
        }
    }
}

/// True once nothing is starting or unasked any more.
fn is_settled(status: &Status) -> bool {
    status.services.iter().all(|service| !matches!(service.verdict.as_str(), "starting" | "unknown"))
}
