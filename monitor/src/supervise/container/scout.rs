//! The task that looks for containers of one engine that want to be watched. It only reads.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::{Blind, Connection};
use super::discover::Discover;
use crate::supervise::discovery::Look;
use crate::supervise::pace::{PING_EVERY, RESCAN_EVERY, RETRY_AFTER};

/// Containers come in crowds: a whole project is looked at once, and whoever starts containers without end costs one look
/// in this time.
const GATHER: Duration = Duration::from_millis(500);

/// Looks until nobody listens.
pub(super) async fn keep_looking(discover: Discover, looks: mpsc::Sender<Look>) {
    let mut told = None;
    loop {
        let Err(blind) = session(&discover, &looks, &mut told).await else { return };
        let why = blind.to_string();
        if told.as_ref() != Some(&why) {
            told = Some(why.clone());
            if looks.send(Err(why)).await.is_err() {
                return;
            }
        }
        sleep(RETRY_AFTER).await;
    }
}

/// Looks over one connection; `Ok` means that nobody listens any more.
async fn session(discover: &Discover, looks: &mpsc::Sender<Look>, told: &mut Option<String>) -> Result<(), Blind> {
    let connection = Connection::open(&discover.address)?;
    connection.ping().await?;
    let mut changes = connection.changes(Timestamp::now());
    let mut taken_up = Instant::now();
    let mut ping = Instant::now() + PING_EVERY;
    loop {
        let look = connection.survey(&discover.wanted).await?;
        *told = None;
        if looks.send(Ok(look)).await.is_err() {
            return Ok(());
        }
        let rescan = Instant::now() + RESCAN_EVERY;
        loop {
            tokio::select! {
                () = looks.closed() => return Ok(()),
                change = changes.next() => {
                    if let Err(blind) = change.unwrap_or_else(|| Err(connection.hung_up())) {
                        // Proxies cut off a stream in which nothing has come for a while; the look finds out more.
                        if taken_up.elapsed() < RETRY_AFTER {
                            return Err(blind);
                        }
                        (changes, taken_up) = (connection.changes(Timestamp::now()), Instant::now());
                        break;
                    }
                    sleep(GATHER).await;
                    // What has happened meanwhile is seen by the same look.
                    while let Some(change) = changes.next().now_or_never() {
                        change.ok_or_else(|| connection.hung_up())??;
                    }
                    break;
                }
                () = sleep_until(rescan) => break,
                () = sleep_until(ping) => {
                    connection.ping().await?;
                    ping = Instant::now() + PING_EVERY;
                }
            }
        }
    }
}
