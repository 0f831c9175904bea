//! The `healthcheck` subcommand: asks a URL once and exits 0 or 1, so that no image needs a program for it.

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

/// Asks `url`; 2xx is healthy. Prints one line either way.
pub async fn run(url: &str, timeout: Duration) -> ExitCode {
    match ask(url, timeout).await {
        Ok(line) => {
            println!("{line}");
            ExitCode::from(exit::YES)
        }
        Err(line) => {
            eprintln!("{line}");
            ExitCode::from(exit::NO)
        }
    }
}

async fn ask(url: &str, timeout: Duration) -> Result<String, String> {
    let request = Request::get(url).header(PROBE_HEADER, "healthcheck").body(Full::<Bytes>::default());
    let request = request.map_err(|error| format!("{url} is not a URL: {error}"))?;
    if !matches!(request.uri().scheme_str(), Some("http" | "https")) {
        return Err(format!("{url} is not an http or https URL; write it like http://127.0.0.1:8000/health"));
    }
    let (status, _body) =
        get(request, timeout, MAX_ANSWER_BYTES).await.map_err(|error| format!("unhealthy: {url}: {error}"))?;
    if status.is_success() {
        Ok(format!("healthy: {url}: {status}"))
    } else {
        Err(format!("unhealthy: {url}: {status}"))
    }
}
