//! The format on disk, its bad cases, and retention.

use super::*;
use crate::supervise::process_table::{self, ProcessId};
use crate::supervise::run_record::Mode;

fn record(keeper: ProcessId) -> RunRecord {
    RunRecord {
        version: FORMAT_VERSION,
        service: "web".into(),
        run: Uuid::nil(),
        mode: Mode::Run,
        keeper,
        child: None,
        boot_id: process_table::boot_id().unwrap(),
        started: "2026-03-01T12:00:00Z".parse().unwrap(),
        command_digest: "00".into(),
        group: None,
    }
}

fn over() -> ExitRecord {
    ExitRecord {
        version: FORMAT_VERSION,
        code: Some(0),
        signal: None,
        core_dumped: false,
        start_failure: None,
        ended: "2026-03-01T12:00:01Z".parse().unwrap(),
        stopped: None,
        leftovers_killed: 0,
        leftovers_alive: 0,
        log_bytes_dropped: 0,
        memory_kill: false,
    }
}

const NOBODY: ProcessId = ProcessId { pid: 1, start_time: 1 };

#[test]
fn missing_torn_and_newer_files_are_told_apart() {
    let folder = RunFolder::at(tempfile::tempdir().unwrap().keep());
    let message = || folder.read_run().unwrap_err().to_string().replace(&folder.path.display().to_string(), "F");
    assert_eq!(message(), "F/run.json is not there");
    fs::write(folder.path.join(RUN), r#"{"version":1,"serv"#).unwrap();
    assert_eq!(message(), "F/run.json is torn");
    fs::write(folder.path.join(RUN), "").unwrap();
    assert_eq!(message(), "F/run.json is torn");
    fs::write(folder.path.join(RUN), r#"{"version":2,"all":"different"}"#).unwrap();
    assert_eq!(message(), "F/run.json has version 2, this program reads up to 1");
    folder.write_run(&record(NOBODY)).unwrap();
    assert_eq!(folder.read_run().unwrap(), record(NOBODY));
    let more = serde_json::to_string(&record(NOBODY)).unwrap().replacen('{', r#"{"added_later":true,"#, 1);
    fs::write(folder.path.join(RUN), more).unwrap();
    assert_eq!(folder.read_run().unwrap(), record(NOBODY), "a field more is no new version");
    fs::remove_dir_all(folder.path).unwrap();
}

#[test]
fn a_run_of_another_boot_or_of_a_dead_keeper_is_not_held() {
    let own = ProcessId::of(nix::unistd::getpid().as_raw()).unwrap();
    assert!(record(own).is_held());
    assert!(!RunRecord { boot_id: "another".into(), ..record(own) }.is_held());
    assert!(!record(ProcessId { start_time: own.start_time + 1, ..own }).is_held());
}

#[test]
fn pruning_keeps_the_last_runs_and_any_that_is_still_held() {
    let data = tempfile::tempdir().unwrap();
    let runs = Runs::of(data.path(), "web").unwrap();
    let ids: Vec<Uuid> = (0..6).map(|_| Uuid::now_v7()).collect();
    for id in &ids {
        runs.create(*id).unwrap().write_exit(&over()).unwrap();
    }
    let held = &runs.list()[0].1;
    fs::remove_file(held.path.join(EXIT)).unwrap();
    held.write_run(&record(ProcessId::of(nix::unistd::getpid().as_raw()).unwrap())).unwrap();
    assert_eq!(runs.prune(2).unwrap(), 3);
    let left: Vec<Uuid> = runs.list().into_iter().map(|(id, _)| id).collect();
    assert_eq!(left, [ids[0], ids[4], ids[5]]);
}

#[test]
fn a_service_name_cannot_lead_out_of_the_data_folder() {
    for name in ["", "..", "a/b", "A", "a_b", "a b"] {
        assert!(matches!(Runs::of(Path::new("/d"), name), Err(RunFileError::ServiceName(_))), "{name:?}");
    }
}
