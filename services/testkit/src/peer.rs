//! The target's side of one accepted connection, and the log that all connections of a target write.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::message::Request;
use crate::tasks::Tasks;

/// How much of what a connection sends is kept, in bytes: enough for any test's message, small enough for floods.
const KEPT_BYTES: usize = 1 << 20;

/// What a target has seen, and how its healthy answers are changed.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// One buffer for each accepted connection.
    pub(crate) received: Mutex<Vec<Vec<u8>>>,
    pub(crate) requests: Mutex<Vec<Request>>,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) status: Mutex<Option<u16>>,
    pub(crate) delay: Mutex<Duration>,
}

/// One accepted connection.
pub(crate) struct Peer<S> {
    pub(crate) stream: S,
    pub(crate) log: Arc<Log>,
    pub(crate) tasks: Tasks,
    /// Place of this connection in the log, from 0.
    pub(crate) place: usize,
}

impl<S> Peer<S> {
    /// Enters a fresh connection into the log.
    pub(crate) fn new(stream: S, log: &Arc<Log>, tasks: &Tasks) -> Self {
        let mut received = lock(&log.received);
        received.push(Vec::new());
        Self { stream, log: Arc::clone(log), tasks: tasks.clone(), place: received.len() - 1 }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Sends all of `bytes`, counting what the kernel takes even if the rest fails.
    pub(crate) async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = self.stream.write(bytes).await?;
            self.log.bytes_written.fetch_add(count as u64, Ordering::Relaxed);
            bytes = bytes.get(count..).unwrap_or_default();
        }
        self.stream.flush().await
    }

    /// Waits for the next bytes; none means that the client has finished.
    pub(crate) async fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(16 * 1024);
        self.stream.read_buf(&mut bytes).await?;
        if let Some(kept) = lock(&self.log.received).get_mut(self.place) {
            let room = KEPT_BYTES.saturating_sub(kept.len()).min(bytes.len());
            kept.extend(bytes.iter().take(room));
        }
        Ok(bytes)
    }

    /// Reads until the client finishes.
    pub(crate) async fn drain(&mut self) -> io::Result<()> {
        while !self.read().await?.is_empty() {}
        Ok(())
    }

    /// Ends our side cleanly.
    ///
    /// Whatever the client still sends is read: closing a socket with unread bytes sends RST instead of FIN
    /// (RFC 1122 section 4.2.2.13).
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        self.drain().await
    }
}

/// Locks a mutex whose content stays valid when a holder panics.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
