//! Whom a channel trusts over TLS: the machine's authorities, or those of a file.

use kit::config::Fields;
use rustls::ClientConfig;

use crate::probe::decode_roots;

/// Reads `ca_file`, a PEM file of authorities that are trusted instead of the machine's: for receivers in one's own
/// network.
pub(super) fn decode(fields: &Fields<'_>) -> Option<ClientConfig> {
    let roots = match fields.get("ca_file") {
        None => kit::tls::roots(),
        Some(cursor) => decode_roots(&cursor)?,
    };
    Some(kit::tls::client_config(roots))
}
