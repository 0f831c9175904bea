//! Where Loki is and how much may wait for it, from variables.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use data_encoding::BASE64;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use secrecy::ExposeSecret;

use super::push::Labels;
use crate::config::Environment;
use crate::env::Variables;
use crate::trace::service_name;

/// The variables, for `--help`.
pub const VARIABLES: &str = "\
Logs (Loki):
  LOKI_URL                     Loki, as http://127.0.0.1:3100; without it the log goes to its output only
  LOKI_TENANT                  sent as X-Scope-OrgID
  LOKI_USERNAME, LOKI_PASSWORD sent as they are; or LOKI_TOKEN, a bearer's (may be in LOKI_PASSWORD_FILE, LOKI_TOKEN_FILE)
  ENVIRONMENT                  what its label environment says [development]
  LOKI_BATCH_BYTES             lines of one request, as 1MiB [1MiB]
  LOKI_BATCH_WAIT              ms until a batch leaves that is not full [1000]
  LOKI_QUEUE_BYTES             memory of lines that wait; more are dropped and counted [16MiB]
  LOKI_SPILL_DIR               folder of lines that wait while Loki is away for longer [none]
  LOKI_SPILL_BYTES             how much goes there [256MiB]";

const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");
const PATH: &str = "/loki/api/v1/push";
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// What Loki takes in one message (`server.grpc_server_max_recv_msg_size`).
const BATCHES: RangeInclusive<u64> = KIB..=4 * MIB;
/// Up to what a process may spend on it.
const QUEUES: RangeInclusive<u64> = 4 * KIB..=1024 * MIB;
const SPILLS: RangeInclusive<u64> = 16 * KIB..=1024 * 1024 * MIB;

/// Where lines go, and how. Headers, which may be secret, do not show in `Debug`.
#[derive(Debug, Clone)]
pub struct LokiSettings {
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) labels: Labels,
    /// Bytes of lines in one request, before they are packed.
    pub(super) batch: usize,
    /// Longest wait until a batch is full.
    pub(super) wait: Duration,
    /// Bytes of lines that wait in memory, at most.
    pub(super) queue: usize,
    pub(super) spill: Option<SpillSettings>,
}

/// Where lines wait for longer.
#[derive(Debug, Clone)]
pub(super) struct SpillSettings {
    /// A folder of this service alone.
    pub(super) folder: PathBuf,
    /// Bytes of all files, at most.
    pub(super) most: u64,
}

impl LokiSettings {
    /// Reads them for the program of this name; none if nothing is to be sent.
    ///
    /// # Errors
    /// Every mistake, one line each; none shows a secret.
    pub fn read(environment: &Environment, service: &'static str) -> Result<Option<Self>, Vec<String>> {
        let variables = Variables::new(environment);
        let uri = endpoint(&variables);
        let is_on = variables.text("LOKI_URL").is_some();
        let batch = size(&variables, "LOKI_BATCH_BYTES", MIB, BATCHES);
        let queue = size(&variables, "LOKI_QUEUE_BYTES", (16 * MIB).max(4 * batch), QUEUES);
        if queue < 2 * batch {
            let least = format_args!("less than two batches (LOKI_BATCH_BYTES); write at least {}", 2 * batch);
            variables.mistake("LOKI_QUEUE_BYTES", least);
        }
        let read = Self {
            uri: uri.clone().unwrap_or_default(),
            headers: headers(&variables),
            labels: Labels {
                // By which a trace leads to its lines.
                service: service_name(&variables, service),
                // Others may call something else by this name.
                environment: if is_on { label(&variables) } else { String::new() },
            },
            batch: usize::try_from(batch).unwrap_or(usize::MAX),
            wait: variables.millis("LOKI_BATCH_WAIT", 1000),
            queue: usize::try_from(queue).unwrap_or(usize::MAX),
            spill: spill(&variables, service, batch),
        };
        variables.finish(uri.is_some().then_some(read))
    }
}

fn size(variables: &Variables<'_>, name: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
    let (least, most) = (range.start(), range.end());
    let bytes = variables.bytes(name, default);
    if !range.contains(&bytes) {
        variables.mistake(name, format_args!("{bytes} bytes; write a size from {least} to {most}"));
    }
    bytes
}

fn endpoint(variables: &Variables<'_>) -> Option<Uri> {
    let name = "LOKI_URL";
    let mut url = variables.bare_url(name, "LOKI_USERNAME and LOKI_PASSWORD")?;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&if path.ends_with(PATH) { path } else { path + PATH });
    url.as_str().parse().map_err(|_error| variables.mistake(name, "not an address that can be asked")).ok()
}

fn headers(variables: &Variables<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(tenant) = variables.text("LOKI_TENANT") {
        match HeaderValue::try_from(tenant) {
            Ok(tenant) => drop(headers.insert(TENANT, tenant)),
            Err(_) => variables.mistake("LOKI_TENANT", "not a tenant; write what X-Scope-OrgID may hold"),
        }
    }
    let (user, password) = (variables.text("LOKI_USERNAME"), variables.secret("LOKI_PASSWORD"));
    let token = variables.secret("LOKI_TOKEN");
    let given = match (user, password, token) {
        (None, None, None) => return headers,
        (None, None, Some(token)) => format!("Bearer {}", token.expose_secret()),
        (Some(user), Some(password), None) if !user.contains(':') => {
            let basic = BASE64.encode(format!("{user}:{}", password.expose_secret()).as_bytes());
            crate::secrets::know([basic.as_str()]);
            format!("Basic {basic}")
        }
        (Some(_), Some(_), None) => {
            variables.mistake("LOKI_USERNAME", "a colon is in it, which ends a name (RFC 7617 section 2)");
            return headers;
        }
        (Some(_), None, None) => {
            variables.mistake("LOKI_PASSWORD", "not set; LOKI_USERNAME is of no use without it");
            return headers;
        }
        (None, Some(_), None) => {
            variables.mistake("LOKI_USERNAME", "not set; LOKI_PASSWORD is of no use without it");
            return headers;
        }
        (_, _, Some(_)) => {
            variables.mistake("LOKI_TOKEN", "set beside LOKI_USERNAME or LOKI_PASSWORD; keep one of the two");
            return headers;
        }
    };
    match HeaderValue::try_from(given) {
        Ok(mut value) => {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Err(_) => variables.mistake("LOKI_TOKEN", "not a token; write one line of letters, digits and signs"),
    }
    headers
}

/// A label comes from a closed set: whatever else is called `ENVIRONMENT` must not become a thousand streams.
fn label(variables: &Variables<'_>) -> String {
    let text = variables.text("ENVIRONMENT").unwrap_or("development");
    let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if text.len() > 64 || !is_word(text) {
        variables.mistake("ENVIRONMENT", format_args!("{text:?} is not a word; write one like production"));
    }
    text.to_owned()
}

fn spill(variables: &Variables<'_>, service: &str, batch: u64) -> Option<SpillSettings> {
    let name = "LOKI_SPILL_BYTES";
    let most = size(variables, name, (256 * MIB).max(4 * batch), SPILLS);
    let folder = variables.text("LOKI_SPILL_DIR");
    if folder.is_none() && variables.text(name).is_some() {
        variables.mistake(name, "of no use without LOKI_SPILL_DIR; set that to a folder, too");
    }
    if most < 2 * batch {
        variables.mistake(name, format_args!("less than two batches (LOKI_BATCH_BYTES); write at least {}", 2 * batch));
    }
    Some(SpillSettings { folder: PathBuf::from(folder?).join(service), most })
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
