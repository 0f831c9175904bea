//! Reads the body of the last answer: counted to its end, kept only if somebody looks at it, and never beyond its limit.

use std::io::Read;

use bytes::BytesMut;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::options::{Compression, Options};
use crate::probe::blackbox::visit::{Stop, Visit};
use crate::probe::http::{Exchange, within_body};
use crate::probe::observation::ReasonCode;

/// Kept of one body at most, in bytes, where the module sets no limit: what runs at once must fit into memory.
pub(super) const MAX_KEPT_BYTES: u64 = 16 * 1024 * 1024;

/// What was read.
pub(super) struct Content {
    /// Empty if nobody looks at it.
    pub(super) bytes: Vec<u8>,
    /// Unpacked.
    pub(super) length: u64,
    /// Why it is not whole.
    pub(super) broken: Option<Stop>,
    /// True if it came whole, and is not packed as it should be.
    pub(super) is_misfit: bool,
}

impl Options {
    fn keeps_body(&self) -> bool {
        self.expected.has_patterns() || self.expected.has_cel() || self.is_packed()
    }

    fn is_packed(&self) -> bool {
        matches!(self.compression, Some(Compression::Gzip | Compression::Deflate))
    }

    /// Reads to the end; what came before it broke is told too.
    pub(super) async fn read(&self, visit: &mut Visit, exchange: &mut Exchange, body: Incoming) -> Content {
        let keeps = self.keeps_body();
        let limit = self.body_limit.unwrap_or(if keeps { MAX_KEPT_BYTES } else { u64::MAX });
        let (kept, length, broken) = receive(visit, exchange, body, limit, keeps).await;
        visit.run.leave();
        let whole = Content { bytes: kept.to_vec(), length, broken, is_misfit: false };
        if whole.broken.is_some() || !self.is_packed() {
            return whole;
        }
        self.unpack(&whole.bytes, limit)
    }

    fn unpack(&self, packed: &[u8], limit: u64) -> Content {
        let mut bytes = Vec::new();
        let most = limit.saturating_add(1);
        let read = match self.compression {
            Some(Compression::Gzip) => MultiGzDecoder::new(packed).take(most).read_to_end(&mut bytes),
            _ => DeflateDecoder::new(packed).take(most).read_to_end(&mut bytes),
        };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let broken = match read {
            Err(error) => {
                let text = format!("the answer is not packed as compression says: {error}");
                Some(Stop::failed(ReasonCode::Protocol, text))
            }
            Ok(_) if length > limit => Some(too_large(limit)),
            Ok(_) => None,
        };
        let is_misfit = broken.is_some();
        Content { bytes, length: length.min(limit), broken, is_misfit }
    }
}

async fn receive(
    visit: &mut Visit,
    exchange: &mut Exchange,
    mut body: Incoming,
    limit: u64,
    keeps: bool,
) -> (BytesMut, u64, Option<Stop>) {
    let promised = body.size_hint().exact();
    let (mut kept, mut count) = (BytesMut::new(), 0_u64);
    while let Some(frame) = exchange.drive(&mut visit.run, body.frame()).await {
        let data = match frame {
            Ok(frame) => frame.into_data(),
            Err(error) => {
                let read = usize::try_from(count).unwrap_or(usize::MAX);
                let outcome = within_body(&error, &exchange.beginning, read, promised);
                return (kept, count, Some(outcome.into()));
            }
        };
        let Ok(data) = data else { continue };
        let room = limit - count;
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        let taken = usize::try_from(room.min(length)).unwrap_or(data.len());
        if keeps {
            kept.extend_from_slice(data.get(..taken).unwrap_or_default());
        }
        count = count.saturating_add(length).min(limit);
        if length > room {
            return (kept, count, Some(too_large(limit)));
        }
    }
    (kept, count, None)
}

fn too_large(limit: u64) -> Stop {
    Stop::failed(ReasonCode::TooLarge, format!("the answer is larger than {limit} bytes (body_size_limit)"))
}
