//! What a person types to do what a page only shows.

use std::net::SocketAddr;

use kit::env::reached_at;

use crate::ledger::{Act, Listed, may_be_removed};

/// A thing that may be done.
pub(super) struct Doing {
    /// What comes of it.
    pub(super) what: &'static str,
    /// How it is typed.
    pub(super) line: String,
}

/// Returns what may be done with a letter, the most likely first; where nothing is redriven, only what else there is.
pub(super) fn of_letter(letter: &Listed, acts_in_queue: bool, makes_others: bool) -> Vec<Doing> {
    let Listed { id, state, action, reason, .. } = letter;
    let acts = [Act::Redrive, Act::Release, Act::Park, Act::Quarantine, Act::Discard];
    let is_redrive = |act: &Act| matches!(act, Act::Redrive | Act::Release);
    let may = |act: &Act| act.is_for(state, action, reason) && (acts_in_queue || !is_redrive(act));
    let doing = |act: Act| Doing {
        what: match act {
            Act::Redrive => "Put it back now, with all its tries",
            Act::Release => "Let it out of quarantine and put it back now",
            Act::Park => "Have it wait for a person",
            Act::Quarantine => "Have it wait until somebody releases it",
            Act::Discard => "Give it up; what it held is kept for a while",
        },
        line: format!("dlq-processor {} {id} --reason '…'", act.word()),
    };
    let into_another = Doing {
        what: "Put it into another queue, as another job",
        line: format!("dlq-processor redrive {id} --to QUEUE --reason '…'"),
    };
    let edit = Doing {
        what: "Change what it is to hold (JSON Patch), before it is put back as another job",
        line: format!("dlq-processor edit {id} --patch FILE --reason '…'"),
    };
    let discard_hard = Doing {
        what: "Give it up and remove what it held at once, for good; for admins",
        line: format!("dlq-processor discard {id} --hard --reason '…'"),
    };
    let mut doings: Vec<Doing> = acts.into_iter().filter(may).map(doing).collect();
    if makes_others && may(&Act::Redrive) {
        doings.extend([into_another, edit]);
    }
    if may_be_removed(state, reason) {
        doings.push(discard_hard);
    }
    doings
}

/// Returns the steps that a plan can take.
pub(super) fn of_plan(id: &str, state: &str) -> Vec<Doing> {
    let steps: &[(&str, &str)] = match state {
        "dry" => &[("apply", "Carry it out"), ("cancel", "Give it up; nothing was done")],
        "running" => &[
            ("pause", "Have it wait; what was not yet redriven is taken back"),
            ("cancel", "End it; what was not yet redriven is taken back"),
        ],
        "paused" | "stopped" => &[("resume", "Have it go on"), ("cancel", "End it")],
        _ => &[],
    };
    let doing = |(step, what): &(&str, &'static str)| Doing {
        what,
        line: format!("dlq-processor plan {step} {id} --reason '…'"),
    };
    steps.iter().map(doing).collect()
}

/// Returns the same step over the API, as curl(1) asks it of a daemon that listens at `listen`.
pub(super) fn curl(listen: SocketAddr, id: &str, step: &str) -> String {
    let here = reached_at(listen);
    format!(
        "curl -X POST http://{here}/api/v1/plans/{id}/{step} \\\n  -H \"Authorization: Bearer $TOKEN\" \
        -H 'Idempotency-Key: {step}-{id}' \\\n  -H 'Content-Type: application/json' -d '{{\"reason\": \"…\"}}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_applied_where_the_daemon_listens() {
        let line = curl(SocketAddr::from(([0, 0, 0, 0], 8091)), "0199", "apply");
        assert!(line.starts_with("curl -X POST http://127.0.0.1:8091/api/v1/plans/0199/apply "), "{line}");
        assert!(line.ends_with("-d '{\"reason\": \"…\"}'"), "{line}");
        let words = |state| of_plan("0199", state).into_iter().map(|it| it.line).collect::<Vec<_>>().join("\n");
        assert!(words("dry").contains("plan apply 0199") && words("stopped").contains("plan resume 0199"));
        assert!(words("done").is_empty());
    }
}
