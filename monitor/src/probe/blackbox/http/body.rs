//! Reads the body of the last answer: counted to its end, and kept as far as somebody looks at it and there is room.

use std::io::Read;

use flate2::bufread::{DeflateDecoder, MultiGzDecoder};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::options::{Compression, Options};
use crate::probe::blackbox::visit::{Stop, Visit};
use crate::probe::http::{Exchange, ended_early, within_body};
use crate::probe::observation::ReasonCode;

/// Kept of one body at most, in bytes: as much as a check of kind `http` may.
const MAX_KEPT_BYTES: usize = 64 * 1024 * 1024;
/// Kept of all bodies at once, in bytes: what runs at once must fit into memory.
const MAX_KEPT_TOGETHER_BYTES: usize = 256 * 1024 * 1024;
/// Taken of that at once, at least, and unpacked at once.
const STEP_BYTES: usize = 64 * 1024;

/// The room that all bodies share.
static ROOM: Semaphore = Semaphore::const_new(MAX_KEPT_TOGETHER_BYTES);

/// What was read.
pub(super) struct Content {
    pub(super) kept: Kept,
    /// Unpacked.
    pub(super) length: u64,
    /// Why it is not whole.
    pub(super) broken: Option<Stop>,
    /// True if it came whole, and is not packed as it should be.
    pub(super) is_misfit: bool,
}

/// The beginning of a body, and the room that it takes.
pub(super) struct Kept {
    /// Empty if nobody looks at it.
    pub(super) bytes: Vec<u8>,
    /// True if there was more.
    pub(super) is_cut: bool,
    most: usize,
    room: &'static Semaphore,
    taken: Option<SemaphorePermit<'static>>,
}

impl Kept {
    fn new(most: usize, room: &'static Semaphore) -> Self {
        Self { bytes: Vec::new(), is_cut: false, most, room, taken: None }
    }

    /// Keeps what fits. Where others take the room, it waits for them until `until`.
    async fn push(&mut self, data: &[u8], until: Instant) {
        if self.is_cut {
            return;
        }
        let fitting = data.get(..self.most - self.bytes.len()).unwrap_or(data);
        self.is_cut = fitting.len() < data.len();
        if self.make_room(fitting.len(), until).await {
            self.bytes.extend_from_slice(fitting);
        } else {
            self.is_cut = true;
        }
    }

    async fn make_room(&mut self, more: usize, until: Instant) -> bool {
        let (had, wanted) = (self.taken_bytes(), self.bytes.len().saturating_add(more));
        if wanted <= had {
            return true;
        }
        let next = wanted.max(had.saturating_mul(2)).max(STEP_BYTES).min(self.most);
        let Ok(step) = u32::try_from(next - had) else { return false };
        let Ok(Ok(permit)) = timeout_at(until, self.room.acquire_many(step)).await else { return false };
        match &mut self.taken {
            Some(taken) => taken.merge(permit),
            None => self.taken = Some(permit),
        }
        self.bytes.reserve_exact(next - self.bytes.len());
        true
    }

    fn taken_bytes(&self) -> usize {
        self.taken.as_ref().map_or(0, SemaphorePermit::num_permits)
    }
}

impl Options {
    fn is_looked_at(&self) -> bool {
        self.expected.has_patterns() || self.expected.has_cel()
    }

    fn is_packed(&self) -> bool {
        matches!(self.compression, Some(Compression::Gzip | Compression::Deflate))
    }

    /// Reads to the end; what came before it broke is told too.
    pub(super) async fn read(&self, visit: &mut Visit, exchange: &mut Exchange, body: Incoming) -> Content {
        let limit = self.body_limit.unwrap_or(u64::MAX);
        let most = if self.is_looked_at() || self.is_packed() { MAX_KEPT_BYTES } else { 0 };
        let whole = receive(visit, exchange, body, limit, most).await;
        visit.run.leave();
        if whole.broken.is_some() || !self.is_packed() {
            return whole;
        }
        if whole.kept.is_cut {
            let text = format!("more than {} bytes came packed, which is too much to unpack", whole.kept.bytes.len());
            return Content { broken: Some(Stop::failed(ReasonCode::TooLarge, text)), ..whole };
        }
        self.unpack(&whole.kept.bytes, limit, visit.run.last_word()).await
    }

    async fn unpack(&self, packed: &[u8], limit: u64, until: Instant) -> Content {
        let mut kept = Kept::new(if self.is_looked_at() { MAX_KEPT_BYTES } else { 0 }, &ROOM);
        let mut decoder: Box<dyn Read + Send + '_> = match self.compression {
            Some(Compression::Gzip) => Box::new(MultiGzDecoder::new(packed)),
            _ => Box::new(DeflateDecoder::new(packed)),
        };
        let (mut chunk, mut length) = (vec![0; STEP_BYTES], 0_u64);
        let broken = loop {
            // Little can unpack to much: the deadline must come through.
            tokio::task::yield_now().await;
            let data = match decoder.read(&mut chunk) {
                Ok(0) => break None,
                Ok(count) => chunk.get(..count).unwrap_or_default(),
                Err(error) => {
                    let text = format!("the answer is not packed as compression says: {error}");
                    break Some(Stop::failed(ReasonCode::Protocol, text));
                }
            };
            length = length.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
            if length > limit {
                break Some(too_large(limit));
            }
            kept.push(data, until).await;
        };
        let is_misfit = broken.is_some();
        Content { kept, length: length.min(limit), broken, is_misfit }
    }
}

async fn receive(visit: &mut Visit, exchange: &mut Exchange, mut body: Incoming, limit: u64, most: usize) -> Content {
    let (promised, until) = (body.size_hint().exact(), visit.run.last_word());
    let mut content = Content { kept: Kept::new(most, &ROOM), length: 0, broken: None, is_misfit: false };
    while let Some(frame) = exchange.drive(&mut visit.run, body.frame()).await {
        let data = match frame {
            Ok(frame) => frame.into_data(),
            Err(error) => {
                let read = usize::try_from(content.length).unwrap_or(usize::MAX);
                content.broken = Some(within_body(&error, &exchange.beginning, read, promised).into());
                return content;
            }
        };
        let Ok(data) = data else { continue };
        let room = limit - content.length;
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        let taken = usize::try_from(room.min(length)).unwrap_or(data.len());
        if most > 0 {
            content.kept.push(data.get(..taken).unwrap_or_default(), until).await;
        }
        content.length = content.length.saturating_add(length).min(limit);
        if length > room {
            content.broken = Some(too_large(limit));
            return content;
        }
    }
    let read = usize::try_from(content.length).unwrap_or(usize::MAX);
    content.broken = ended_early(&body, &exchange.beginning, read, promised).map(Into::into);
    content
}

fn too_large(limit: u64) -> Stop {
    Stop::failed(ReasonCode::TooLarge, format!("the answer is larger than {limit} bytes (body_size_limit)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bodies_share_their_room_and_what_does_not_fit_is_cut() {
        let room: &'static Semaphore = Box::leak(Box::new(Semaphore::new(3 * STEP_BYTES)));
        let (until, step) = (Instant::now() + std::time::Duration::from_secs(1), vec![1; STEP_BYTES]);
        let (mut first, mut second) = (Kept::new(usize::MAX, room), Kept::new(10, room));
        first.push(&step, until).await;
        first.push(&step, until).await;
        second.push(b"0123456789", until).await;
        assert!(!first.is_cut && !second.is_cut);
        second.push(b"x", until).await;
        assert!(second.is_cut && second.bytes == b"0123456789");
        assert_eq!(room.available_permits(), STEP_BYTES - 10);
        // Nobody leaves in time.
        first.push(b"x", until).await;
        assert!(first.is_cut && first.bytes.len() == 2 * STEP_BYTES);
        drop(first);
        assert_eq!(room.available_permits(), 3 * STEP_BYTES - 10);
    }
}
