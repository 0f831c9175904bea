//! What a keeper hears: its control pipe, its signals, and the ends of its children, as one stream of news.

use std::io::{self, BufRead};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use jiff::Timestamp;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitStatus, waitpid};

use crate::supervise::process_table::ProcessId;
use crate::supervise::run_record::{Mode, StopReason};

/// More than can be waiting: a listener sends one or two each, a control pipe has no hurry.
const NEWS_WAITING: usize = 16;

/// Something the keeper has to act on.
#[derive(Debug)]
pub(super) enum News {
    /// The child shall end, in its own time.
    Stop(StopReason),
    /// The child shall end now.
    Kill,
    /// The child ended.
    Ended(Ended),
    /// No child, grandchild or orphan is left.
    NoneLeft,
}

/// How the child ended, as `wait(2)` told.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) core_dumped: bool,
    pub(super) at: Timestamp,
}

/// Blocks, for this thread and all it starts, the signals a terminal or a service manager sends.
///
/// SIGINT, SIGHUP and SIGQUIT stay blocked for ever: a person's Ctrl-C is the monitor's business. SIGTERM is waited for.
pub(super) fn block_signals() {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        signals.add(signal);
    }
    let _ = signals.thread_block();
}

/// Starts to listen; call once, when `child` runs, because only then is there something to wait for.
pub(super) fn listen(child: ProcessId, mode: Mode) -> Receiver<News> {
    let (sender, news) = sync_channel(NEWS_WAITING);
    let (control, signals, children) = (sender.clone(), sender.clone(), sender);
    thread::spawn(move || listen_to_control(mode, &control));
    thread::spawn(move || listen_to_signals(&signals));
    thread::spawn(move || listen_to_children(child, &children));
    news
}

/// Unknown lines are for newer keepers, and not for us.
fn listen_to_control(mode: Mode, news: &SyncSender<News>) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let sent = match line.as_str() {
            "stop" => news.send(News::Stop(StopReason::Asked)),
            "kill" => news.send(News::Kill),
            _ => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
    if mode == Mode::Up {
        let _ = news.send(News::Stop(StopReason::MonitorGone));
    }
}

fn listen_to_signals(news: &SyncSender<News>) {
    let mut terminate = SigSet::empty();
    terminate.add(Signal::SIGTERM);
    while terminate.wait().is_ok() && news.send(News::Stop(StopReason::Signal)).is_ok() {}
}

/// Reaps whatever ends: the keeper is a subreaper, so every orphan of the child's family becomes its own child.
fn listen_to_children(child: ProcessId, news: &SyncSender<News>) {
    let mut told = false;
    loop {
        let (pid, code, signal, core_dumped) = match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) => (pid.as_raw(), Some(code), None, false),
            Ok(WaitStatus::Signaled(pid, signal, core)) => (pid.as_raw(), None, Some(signal as i32), core),
            Err(Errno::ECHILD) => {
                let _ = news.send(News::NoneLeft);
                return;
            }
            // nix has no name for real-time signals and says EINVAL after it has reaped; whose end it was shows in /proc.
            Err(Errno::EINVAL) if !child.is_alive() => (child.pid, None, None, false),
            _ => continue,
        };
        if pid == child.pid && !told {
            told = true;
            let _ = news.send(News::Ended(Ended { code, signal, core_dumped, at: Timestamp::now() }));
        }
    }
}
