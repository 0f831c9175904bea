//! Reads the body of an answer: counted always, kept only if somebody will look at it, never beyond its limit.

use std::io::Read;

use bytes::{Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, Response};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::probe::aside::aside;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::run::Run;

use super::exchange::Exchange;
use super::failure::{ended_early, within_body};

/// Text becomes about so many times as long again; deflate's most is 1032 (zlib.net/zlib_tech.html).
const USUAL_GZIP_RATIO: usize = 4;

/// Reads at most `limit` bytes. Beyond it, an answer that nobody looks at is cut with a remark; one that is needed fails.
pub(super) async fn read(
    run: &mut Run,
    exchange: &mut Exchange,
    response: Response<Incoming>,
    limit: usize,
) -> Result<(HeaderMap, Bytes), Outcome> {
    let (head, mut body) = response.into_parts();
    let promised = body.size_hint().exact();
    let mut kept = BytesMut::new();
    let mut count = 0_usize;
    loop {
        let Some(frame) = exchange.drive(run, body.frame()).await else {
            match ended_early(&body, &exchange.beginning, count, promised) {
                Some(early) => return Err(early),
                None => break,
            }
        };
        let frame = frame.map_err(|error| within_body(&error, &exchange.beginning, count, promised))?;
        let Ok(data) = frame.into_data() else { continue };
        count += data.len();
        if count > limit {
            if run.needs_body {
                return Err(too_large("the answer", limit));
            }
            run.seen.remark(format!("answer cut at {limit} bytes"));
            break;
        }
        if run.needs_body {
            kept.extend_from_slice(&data);
        }
    }
    run.leave();
    let kept = if run.needs_body { inflate(&head.headers, kept.freeze(), limit)? } else { Bytes::new() };
    Ok((head.headers, kept))
}

/// Undoes `Content-Encoding: gzip`, which servers send even unasked (RFC 9110 section 8.4.1.3).
fn inflate(headers: &HeaderMap, body: Bytes, limit: usize) -> Result<Bytes, Outcome> {
    let encoding = headers.get(CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
    match encoding.as_deref() {
        None | Some(b"" | b"identity") => return Ok(body),
        Some(_) if body.is_empty() => return Ok(body),
        Some(b"gzip" | b"x-gzip") => {}
        Some(other) => {
            let text = format!("content-encoding {:?} was not asked for", String::from_utf8_lossy(other));
            return Err(Outcome::fail(ReasonCode::Protocol, text));
        }
    }
    let mut inflated = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let reading = || MultiGzDecoder::new(body.as_ref()).take(most).read_to_end(&mut inflated);
    match aside(body.len().saturating_mul(USUAL_GZIP_RATIO), reading) {
        Ok(_) if inflated.len() > limit => Err(too_large("the answer, once inflated,", limit)),
        Ok(_) => Ok(inflated.into()),
        Err(error) => Err(Outcome::fail(ReasonCode::Protocol, format!("the gzip answer is broken: {error}"))),
    }
}

fn too_large(what: &str, limit: usize) -> Outcome {
    Outcome::fail(ReasonCode::TooLarge, format!("{what} is larger than {limit} bytes (body_limit)"))
}
