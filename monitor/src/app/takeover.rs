//! A workload that goes by another name keeps its past: one container of a service that is scaled becomes one of several
//! replicas, and the last one left becomes the service again.

use std::sync::Arc;

use super::restore;
use crate::export::Shared;
use crate::judge::WorkloadState;
use crate::record::StateBatch;

/// What goes by another name from now on.
pub(super) struct Takeover {
    service: Arc<str>,
    past: WorkloadState,
}

/// Takes down what is known of workloads by their old names, before these are forgotten; `moves` are old and new names.
pub(super) fn begin(shared: &Shared, moves: Vec<(Arc<str>, Arc<str>)>) -> Vec<Takeover> {
    let board = shared.board();
    let mut ward = shared.ward();
    let takeover = |(old, new): (Arc<str>, Arc<str>)| {
        let known = board.service(&old)?.workload.as_ref()?;
        ward.hand_over(&old, &new);
        Some(Takeover { past: known.anew(), service: new })
    };
    moves.into_iter().filter_map(takeover).collect()
}

/// Gives the new names what was known, now that the board has them.
pub(super) fn end(shared: &Shared, takeovers: Vec<Takeover>) {
    let mut batch = StateBatch::default();
    for Takeover { service, past } in takeovers {
        tracing::info!(service.id = &*service, "takes over what was known of its workload by another name");
        restore::keep_ledger(&mut batch, &service, &past.ledger);
        restore::keep_lines(&mut batch, &service, &past.lines);
        if let Some(patient) = shared.ward().patient(&service) {
            restore::keep_heals(&mut batch, &service, &patient.record);
            restore::keep_pause(&mut batch, &service, patient.record.paused.as_ref());
        }
        shared.board().restore_workload(&service, past);
    }
    shared.stores.state.put(batch);
}
