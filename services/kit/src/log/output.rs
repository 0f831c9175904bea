//! Where lines are written. Who reads standard output may stall: then lines wait for him, as many as there is room for, and
//! nobody else does.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use prometheus::proto::MetricFamily;

use crate::metrics::{Sample, family};

/// Lines that wait for whoever reads standard output, in bytes, at most.
const MOST_BYTES: usize = 8 << 20;
/// What a pipe that can be written takes without waiting (`PIPE_BUF`, pipe(7)).
const AT_ONCE_BYTES: usize = 4096;

/// Where lines are written.
#[derive(Debug)]
pub enum Output {
    /// Standard output: for daemons and services, which have no other results.
    Standard,
    /// Standard error: for commands.
    Errors,
    /// The end of a file, without colours.
    File(File),
}

/// Standard output, once it is written to.
static STANDARD: OnceLock<Arc<Standard>> = OnceLock::new();
static LOST: AtomicU64 = AtomicU64::new(0);

/// Waits until all lines are written that wait for whoever reads standard output, for at most as long as that. Blocks.
pub fn flush(patience: Duration) {
    let Some(standard) = STANDARD.get() else { return };
    let waiting = standard.waiting_bytes.lock().unwrap_or_else(PoisonError::into_inner);
    let _too_late = standard.written.wait_timeout_while(waiting, patience, |bytes| *bytes > 0);
}

/// Returns how many lines were not written, since too many waited.
pub(crate) fn unwritten() -> MetricFamily {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let lost = LOST.load(Ordering::Relaxed) as f64;
    let help = "Lines that nobody read from standard output in time.";
    family("telemetry_log_unwritten_total", help, [Sample::bare(lost)])
}

impl Output {
    pub(super) fn is_terminal(&self) -> bool {
        match self {
            Self::Standard => std::io::stdout().is_terminal(),
            Self::Errors => std::io::stderr().is_terminal(),
            Self::File(_) => false,
        }
    }

    /// Writes a line, with its end.
    pub(super) fn write(&self, line: String) {
        // Nothing better can be done when it cannot be written.
        let _closed = match self {
            Self::Standard => return STANDARD.get_or_init(Standard::start).write(line),
            Self::Errors => std::io::stderr().lock().write_all(line.as_bytes()),
            Self::File(file) => (&*file).write_all(line.as_bytes()),
        };
    }
}

struct Standard {
    lines: Sender<String>,
    waiting_bytes: Mutex<usize>,
    written: Condvar,
}

impl Standard {
    fn start() -> Arc<Self> {
        let (lines, waiting) = mpsc::channel();
        let standard = Arc::new(Self { lines, waiting_bytes: Mutex::new(0), written: Condvar::new() });
        let writer = Arc::clone(&standard);
        let thread = std::thread::Builder::new().name("log".to_owned());
        // Without a thread what cannot be written at once is lost, and counted as it fills the room for what waits.
        let _started = thread.spawn(move || writer.write_for_ever(&waiting));
        standard
    }

    fn write(&self, line: String) {
        let mut waiting_bytes = self.waiting_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if *waiting_bytes == 0 && line.len() <= AT_ONCE_BYTES && can_be_written() {
            let _closed = std::io::stdout().lock().write_all(line.as_bytes());
            return;
        }
        let bytes = line.len();
        if *waiting_bytes + bytes > MOST_BYTES || self.lines.send(line).is_err() {
            LOST.fetch_add(1, Ordering::Relaxed);
            return;
        }
        *waiting_bytes += bytes;
    }

    fn write_for_ever(&self, waiting: &Receiver<String>) {
        while let Ok(line) = waiting.recv() {
            let _closed = std::io::stdout().lock().write_all(line.as_bytes());
            let mut waiting_bytes = self.waiting_bytes.lock().unwrap_or_else(PoisonError::into_inner);
            *waiting_bytes = waiting_bytes.saturating_sub(line.len());
            self.written.notify_all();
        }
    }
}

/// Whether standard output takes something without waiting. What cannot be asked takes everything.
fn can_be_written() -> bool {
    let stdout = std::io::stdout();
    let mut asked = [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)];
    poll(&mut asked, PollTimeout::ZERO).map_or(true, |ready| ready > 0)
}
