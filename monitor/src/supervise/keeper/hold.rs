//! The keeper's life: read the order, start the child, write down what happens, end.

use std::ffi::OsString;
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::prctl;
use nix::unistd::getpid;

use super::control;
use super::ending::{Outcome, Reach, hold_to_the_end};
use super::order::KeepOrder;
use super::start::{StartOrder, errno_of, start, take_failure};
use crate::supervise::memory_kills::MemoryKills;
use crate::supervise::process_table::{self, ProcessId};
use crate::supervise::run_files::RunFolder;
use crate::supervise::run_group::RunGroup;
use crate::supervise::run_log::RunLog;
use crate::supervise::run_record::{ExitRecord, FORMAT_VERSION, RunRecord, StartFailure, StartStep};

/// `EX_USAGE`, `sysexits.h(3head)`: the order or the arguments are wrong.
const CODE_USAGE: u8 = 64;
/// `EX_IOERR`, `sysexits.h(3head)`: the end could not be written down.
const CODE_IO: u8 = 74;
/// This very binary, even after an upgrade replaced the file it was started from (`proc_pid_exe(5)`).
const OWN_PROGRAM: &str = "/proc/self/exe";
/// One read of the child's output: what a pipe holds by default (`pipe(7)`).
const CHUNK_BYTES: usize = 64 << 10;
/// How long to wait for output after the last descendant died; longer only if a stranger holds the pipe.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(2);

/// The arguments of `monitor keep`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepArguments {
    /// The run's folder, which exists.
    pub folder: PathBuf,
}

/// The inner step's name on its command line.
pub const KEEP_START: &str = "keep-start";

/// Runs the keeper if `arguments`, the whole command line, ask for it: `keep FOLDER`, or its inner step `keep-start`.
///
/// Call it first in `main`, before a runtime, a logger or TLS is set up.
pub fn keep_if_asked(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    match (arguments.next()?.to_str()?, arguments.next()) {
        ("keep", Some(folder)) => Some(keep(&KeepArguments { folder: folder.into() })),
        ("keep", None) => Some(refuse("usage: monitor keep FOLDER < ORDER")),
        (KEEP_START, order) => {
            let order: Option<StartOrder> = order.and_then(|json| serde_json::from_str(json.to_str()?).ok());
            Some(order.map_or_else(|| refuse("keep-start is only for keepers"), |order| start(&order)))
        }
        _ => None,
    }
}

/// Holds one child from start to end, as the order on standard input says, and writes its records and log.
///
/// Returns 0 if the end is on record, whatever it was; 64 if there was no order; 74 if it could not be written.
pub fn keep(arguments: &KeepArguments) -> ExitCode {
    control::block_signals();
    let _ = prctl::set_name(c"monitor-keep");
    let order = match KeepOrder::read(&mut io::stdin().lock()) {
        Ok(order) => order,
        Err(error) => return refuse(&format!("no order on standard input: {error}")),
    };
    if let Err(errno) = prctl::set_child_subreaper(true) {
        complain(&format!("cannot become a subreaper: {errno}"));
    }
    let folder = RunFolder::at(arguments.folder.clone());
    let record = hold(&folder, &order);
    match folder.write_exit(&record) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error}: the end of the run is not on record: {record:?}"));
            ExitCode::from(CODE_IO)
        }
    }
}

fn hold(folder: &RunFolder, order: &KeepOrder) -> ExitRecord {
    let memory_kills = MemoryKills::watch();
    let group = RunGroup::make(&order.service, order.run);
    let mut record = run_record(order, group.as_ref());
    note(folder, record.as_ref());
    let (child, output) = match spawn(folder, order, group.as_ref()) {
        Ok(spawned) => spawned,
        Err(error) => {
            group.iter().for_each(RunGroup::end);
            let failure = StartFailure { step: StartStep::Fork, errno: errno_of(&error) };
            return exit_record(Outcome::default(), Some(failure), 0);
        }
    };
    if let Some(record) = &mut record {
        record.child = Some(child);
    }
    note(folder, record.as_ref());
    let pump = Pump::start(output, RunLog::create(folder.path(), order.log_limit_bytes));
    let news = control::listen(child, order.mode);
    let reach = Reach { group, memory_kills };
    let outcome = hold_to_the_end(child, order.stop_grace(), &reach, &news);
    reach.group.iter().for_each(RunGroup::end);
    exit_record(outcome, take_failure(folder.path()), pump.finish())
}

/// Starts the child on this thread, which must not end before the child: its parent-death signal is tied to it.
fn spawn(folder: &RunFolder, order: &KeepOrder, group: Option<&RunGroup>) -> io::Result<(ProcessId, PipeReader)> {
    let (output, output_end) = io::pipe()?;
    let start = StartOrder::new(folder.path(), getpid().as_raw(), group, order);
    let child = Command::new(OWN_PROGRAM)
        .arg0("monitor")
        .arg(KEEP_START)
        .arg(serde_json::to_string(&start)?)
        .env_clear()
        .envs(&order.env.0)
        .stdin(Stdio::null())
        .stdout(output_end.try_clone()?)
        .stderr(output_end)
        .spawn()?;
    // Nobody has reaped it yet, so its number is its own even if it is dead.
    let child = i32::try_from(child.id()).ok().and_then(ProcessId::of_unreaped);
    child.map(|child| (child, output)).ok_or_else(|| io::Error::other("the child is not in /proc"))
}

fn run_record(order: &KeepOrder, group: Option<&RunGroup>) -> Option<RunRecord> {
    Some(RunRecord {
        version: FORMAT_VERSION,
        service: order.service.clone(),
        run: order.run,
        mode: order.mode,
        keeper: ProcessId::of(getpid().as_raw())?,
        child: None,
        boot_id: process_table::boot_id().ok()?,
        started: Timestamp::now(),
        command_digest: order.command_digest(),
        group: group.map(|group| group.path().to_owned()),
    })
}

/// A full disk must not keep a service from running: without a record it cannot be adopted, but it runs.
fn note(folder: &RunFolder, record: Option<&RunRecord>) {
    match record.map(|record| folder.write_run(record)) {
        Some(Ok(())) => {}
        Some(Err(error)) => complain(&format!("{error}: this run cannot be adopted")),
        None => complain("/proc cannot be read: this run cannot be adopted"),
    }
}

fn exit_record(outcome: Outcome, start_failure: Option<StartFailure>, log_bytes_dropped: u64) -> ExitRecord {
    let ended = outcome.ended.as_ref();
    let code = start_failure.map(StartFailure::code).or(ended.and_then(|ended| ended.code));
    ExitRecord {
        version: FORMAT_VERSION,
        code,
        signal: ended.and_then(|ended| ended.signal),
        core_dumped: ended.is_some_and(|ended| ended.core_dumped),
        start_failure,
        ended: ended.map_or_else(Timestamp::now, |ended| ended.at),
        stopped: outcome.stopped,
        leftovers_killed: u32::try_from(outcome.leftovers_killed).unwrap_or(u32::MAX),
        leftovers_alive: u32::try_from(outcome.leftovers_alive).unwrap_or(u32::MAX),
        log_bytes_dropped,
        memory_kill: outcome.memory_kill,
    }
}

/// The thread that moves output from the pipe to the log.
struct Pump {
    dropped_bytes: Arc<AtomicU64>,
    done: Receiver<()>,
}

impl Pump {
    fn start(mut output: PipeReader, mut log: RunLog) -> Self {
        let dropped_bytes = Arc::new(AtomicU64::new(0));
        let shared = Arc::clone(&dropped_bytes);
        let (sender, done) = sync_channel(1);
        thread::spawn(move || {
            let mut chunk = vec![0; CHUNK_BYTES];
            loop {
                match output.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(count) => log.append(chunk.get(..count).unwrap_or_default()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
                shared.store(log.dropped_bytes(), Ordering::Relaxed);
            }
            let _ = sender.send(());
        });
        Self { dropped_bytes, done }
    }

    /// Waits until all output is in the log, and returns how many bytes are not.
    fn finish(self) -> u64 {
        let _ = self.done.recv_timeout(OUTPUT_PATIENCE);
        self.dropped_bytes.load(Ordering::Relaxed)
    }
}

fn refuse(message: &str) -> ExitCode {
    complain(message);
    ExitCode::from(CODE_USAGE)
}

/// `eprintln!` would panic if nobody listens.
fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "keeper: {message}");
}
