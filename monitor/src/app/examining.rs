//! Lets the doctor examine what the configuration names: at the start, after a reload, when a file changed, and now and
//! then. Notes since when each finding is known.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use kit::clock::{Moment, Stamp};
use tokio::sync::watch;

use super::restore;
use crate::doctor::{DoctorSettings, Examiner};
use crate::export::{Change, Shared, found_now};
use crate::record::StateBatch;

/// Runs until the settings' sender is gone. Each value that is sent is a reason to examine, also an equal one.
pub(super) async fn run(shared: Arc<Shared>, data_dir: PathBuf, wanted: watch::Receiver<Arc<DoctorSettings>>) {
    // What the list says from then on is old; the time of the last examination says so too.
    if AssertUnwindSafe(keep_examining(shared, data_dir, wanted)).catch_unwind().await.is_err() {
        tracing::error!("whoever lets the doctor examine broke; restart the monitor");
    }
}

async fn keep_examining(shared: Arc<Shared>, data_dir: PathBuf, mut wanted: watch::Receiver<Arc<DoctorSettings>>) {
    let mut settings = wanted.borrow_and_update().clone();
    let mut examiner = Examiner::new(settings.clone(), data_dir);
    let mut is_due = true;
    let mut examined_at = Moment::now();
    loop {
        is_due |= Moment::now().since(examined_at) >= settings.every;
        let before = shared.examined.load_full();
        if is_due || examiner.has_changed(&before).await {
            examined_at = Moment::now();
            let examined = examiner.examine(&before).await;
            let is_news = (&examined.findings, examined.left_out) != (&before.findings, before.left_out);
            shared.examined.store(Arc::new(examined));
            if is_news || before.at.is_none() {
                let _nobody_listens = shared.changes.send(Change::Findings);
            }
        }
        remember(&shared);
        is_due = tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                settings = wanted.borrow_and_update().clone();
                examiner.configure(settings.clone());
                true
            }
            () = tokio::time::sleep(settings.look_every()) => false,
        };
    }
}

/// Notes what is found for the first time, and what is gone.
fn remember(shared: &Shared) {
    let before = shared.first_seen.load();
    let now = Stamp::now();
    let after = before.after(&found_now(shared, now), now.wall);
    if after != **before {
        let mut batch = StateBatch::default();
        restore::keep_first_seen(&mut batch, &after);
        shared.stores.state.put(batch);
        shared.first_seen.store(Arc::new(after));
    }
}
