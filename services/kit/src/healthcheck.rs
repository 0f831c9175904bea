//! The `healthcheck` subcommand: asks a URL once and exits 0 or 1, so that no image needs a program for it.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::exit;
use crate::http::{PROBE_HEADER, get};

/// Longest wait unless told otherwise: what a slow but working service may take, well below the 30 s after which Docker
/// gives a check up (docs.docker.com, Dockerfile reference, HEALTHCHECK).
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Asks `url`; 2xx is healthy. Prints one line either way. What is no URL is a wrong command line.
pub async fn run(url: &str, timeout: Duration) -> ExitCode {
    match ask(url, timeout).await {
        Ok(line) => {
            let _closed = writeln!(std::io::stdout(), "{line}");
            ExitCode::from(exit::YES)
        }
        Err((code, line)) => {
            let _closed = writeln!(std::io::stderr(), "{line}");
            ExitCode::from(code)
        }
    }
}

async fn ask(url: &str, timeout: Duration) -> Result<String, (u8, String)> {
    let usage = |line| (exit::USAGE, line);
    let unhealthy = |line| (exit::NO, line);
    let request = Request::get(url).header(PROBE_HEADER, "healthcheck").body(Full::<Bytes>::default());
    let request = request.map_err(|error| usage(format!("{url} is not a URL: {error}")))?;
    if !matches!(request.uri().scheme_str(), Some("http" | "https")) {
        return Err(usage(format!("{url} is not an http or https URL; write it like http://127.0.0.1:8000/health")));
    }
    let answer = get(request, timeout, MAX_ANSWER_BYTES).await;
    let (status, _body) = answer.map_err(|error| unhealthy(format!("unhealthy: {url}: {error}")))?;
    if status.is_success() {
        Ok(format!("healthy: {url}: {status}"))
    } else {
        Err(unhealthy(format!("unhealthy: {url}: {status}")))
    }
}
