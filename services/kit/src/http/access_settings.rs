//! What the configuration says of who may do what.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::access::{Credential, Role};
use super::digest::SecretDigest;
use super::network::Network;
use crate::config::{Cursor, Fields};

/// Shortest token, in characters: 64 bits of it even if it is hexadecimal.
const MIN_TOKEN_CHARS: usize = 16;
/// Longest name, in characters.
const MAX_NAME_CHARS: usize = 40;
/// What names look like, in words.
pub const ACCESS_NAMES: &str = "1 to 40 lower-case letters, digits and -._@, a letter or digit first";
/// The name that goes with `operator_token`.
const OPERATOR: &str = "operator";
/// Nobody sets up a session for less than this, nor for longer than that.
const SHORTEST_SESSION: Duration = Duration::from_secs(5 * 60);
const LONGEST_SESSION: Duration = Duration::from_secs(30 * 86_400);

/// What everybody may read without signing in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Public {
    /// Whether the daemon itself works, and badges.
    Nothing,
    /// Names, states and what people wrote.
    Names,
    /// Everything but the audit.
    Details,
}

/// Who may do what.
#[derive(Debug, Clone)]
pub struct AccessSettings {
    /// Everybody with a token. Default nobody: then nobody may write.
    pub credentials: Vec<Credential>,
    /// What needs no token. Default everything that reads, as a daemon on loopback is asked by its own machine; one that
    /// others reach (it listens elsewhere, or has a `public_url`) shows them names, states and what people wrote.
    pub public: Public,
    /// Proxies that may speak for others. Default none.
    pub trusted_proxies: Vec<Network>,
    /// How long a session lasts. Default 12 h: a day's work.
    pub session_length: Duration,
    /// Further values of `Host` that mean this server.
    pub hosts: Vec<String>,
}

impl AccessSettings {
    /// What holds where a configuration says nothing.
    pub const STANDARD: Self = Self {
        credentials: Vec::new(),
        public: Public::Details,
        trusted_proxies: Vec::new(),
        session_length: Duration::from_secs(12 * 3600),
        hosts: Vec::new(),
    };
}

/// Returns whether somebody can be called so: [`ACCESS_NAMES`].
pub fn is_access_name(name: &str) -> bool {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._@".contains(c);
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    begins_well && name.len() <= MAX_NAME_CHARS && name.chars().all(valid)
}

/// Checks the section `access` and the operator's token.
pub fn decode_access(top: &Fields<'_>) -> AccessSettings {
    let mut settings = AccessSettings {
        credentials: operator(top).into_iter().collect(),
        hosts: top.get("hosts").map(|c| c.texts()).unwrap_or_default(),
        ..AccessSettings::STANDARD
    };
    if is_reached_by_others(top) {
        settings.public = Public::Names;
    }
    let Some(fields) = top.get("access").and_then(|c| c.fields()) else { return settings };
    for item in fields.get("tokens").map(|c| c.items()).unwrap_or_default() {
        if let Some(credential) = credential(&item, &settings.credentials) {
            settings.credentials.push(credential);
        }
    }
    let words =
        [("true", Public::Details), ("details", Public::Details), ("names", Public::Names), ("false", Public::Nothing)];
    if let Some(cursor) = fields.get("public") {
        settings.public = cursor.one_of(&words).unwrap_or(settings.public);
        let nobody = top.get("operator_token").or(top.get("operator_token_file")).is_none() && !fields.has("tokens");
        if settings.public < Public::Details && nobody {
            cursor.mistake("nobody could sign in to see the rest; add access.tokens or operator_token_file");
        }
    }
    let proxies = fields.get("trusted_proxies").map(|c| c.items()).unwrap_or_default();
    settings.trusted_proxies = proxies.iter().filter_map(proxy).collect();
    if let Some(cursor) = fields.get("session_length") {
        let length = cursor.duration(SHORTEST_SESSION..=LONGEST_SESSION);
        settings.session_length = length.unwrap_or(settings.session_length);
    }
    fields.end();
    settings
}

fn is_reached_by_others(top: &Fields<'_>) -> bool {
    let text = |key: &'static str| top.get(key).and_then(|cursor| cursor.node().scalar_text());
    let elsewhere = |listen: String| listen.parse::<SocketAddr>().is_ok_and(|address| !address.ip().is_loopback());
    text("public_url").is_some() || text("listen").is_some_and(elsewhere)
}

fn operator(top: &Fields<'_>) -> Option<Credential> {
    let token = top.secret("operator_token", "operator_token_file");
    let written = top.get("operator_token_file").or_else(|| top.get("operator_token"));
    let (token, written) = (token?, written?);
    check_length(&token, "the operator token", &written);
    Some(Credential { name: OPERATOR.to_owned(), role: Role::Operator, digest: digest(&token) })
}

fn credential(item: &Cursor<'_>, others: &[Credential]) -> Option<Credential> {
    let fields = item.fields()?;
    let name = fields.require("name").and_then(|c| name(&c, others));
    let roles = Role::ALL.map(|role| (role.as_str(), role));
    let role = fields.get("role").map_or(Some(Role::Viewer), |c| c.one_of(&roles));
    let digest = token(&fields, name.as_deref().unwrap_or_default());
    fields.end();
    let credential = Credential { name: name?, role: role?, digest: digest? };
    if let Some(other) = others.iter().find(|other| other.digest == credential.digest) {
        item.mistake(format!("it has the token of {:?}; give everybody a token of her own", other.name));
    }
    Some(credential)
}

fn name(cursor: &Cursor<'_>, others: &[Credential]) -> Option<String> {
    let name = cursor.text()?;
    if !is_access_name(&name) {
        cursor.mistake(format!("names are {ACCESS_NAMES}, not {}", cursor.node().shown()));
        return None;
    }
    if others.iter().any(|other| other.name == name) {
        let whose = if name == OPERATOR { "operator_token has the name" } else { "two tokens have the name" };
        cursor.mistake(format!("{whose} {name:?}; the audit could not tell them apart"));
        return None;
    }
    Some(name)
}

/// Takes `sha256`, `token_file` or `token`; what is written is never repeated, since it may be the token by mistake.
fn token(fields: &Fields<'_>, name: &str) -> Option<SecretDigest> {
    let hash = fields.get("sha256");
    let written = fields.get("token_file").or_else(|| fields.get("token"));
    let secret = fields.secret("token", "token_file");
    match (hash, written) {
        (Some(hash), None) => {
            let digest = SecretDigest::parse(&hash.text()?);
            match digest {
                Some(digest) if digest == SecretDigest::of(b"") => {
                    hash.mistake("this is the SHA-256 of an empty text; `monitor token NAME` makes a token");
                    None
                }
                Some(digest) => Some(digest),
                None => {
                    hash.mistake(
                        "expected 64 hexadecimal digits, the token's SHA-256; `monitor token NAME` prints them",
                    );
                    None
                }
            }
        }
        (None, Some(written)) => {
            let secret = secret?;
            check_length(&secret, &format!("the token of {name:?}"), &written);
            Some(digest(&secret))
        }
        (Some(hash), Some(_)) => {
            hash.mistake("both \"sha256\" and the token itself are given; keep \"sha256\"");
            None
        }
        (None, None) => {
            fields.cursor().mistake(
                "it has no token; write sha256: HEX (`monitor token NAME` prints it), token_file: /path/to/file or token: ${VARIABLE}",
            );
            None
        }
    }
}

fn check_length(token: &SecretString, what: &str, written: &Cursor<'_>) {
    let length = token.expose_secret().len();
    if length < MIN_TOKEN_CHARS {
        written.mistake(format!("{what} has {length} characters; use at least {MIN_TOKEN_CHARS}"));
    }
}

fn digest(token: &SecretString) -> SecretDigest {
    SecretDigest::of(token.expose_secret().as_bytes())
}

fn proxy(cursor: &Cursor<'_>) -> Option<Network> {
    let network = cursor.parse::<Network>("an address or a network")?;
    if network.is_everything() {
        cursor.mistake("this trusts everybody; name the proxies");
    }
    Some(network)
}

#[cfg(test)]
mod tests {
    use crate::config::{Environment, Mistakes, Source, load};

    use super::*;

    fn public(yaml: &str) -> Public {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("monitor.yml");
        std::fs::write(&path, yaml).unwrap();
        let (mistakes, environment) = (Mistakes::default(), Environment::default());
        let root = load(&Source { path: &path, environment: &environment, prefix: "MONITOR" }, &mistakes);
        decode_access(&Cursor::top(&root, &mistakes).fields().unwrap()).public
    }

    #[test]
    fn a_monitor_that_others_reach_shows_them_no_details_unless_it_is_told_to() {
        for (yaml, expected) in [
            ("services: {}", Public::Details),
            ("listen: '[::1]:8888'", Public::Details),
            ("listen: 0.0.0.0:8888", Public::Names),
            ("public_url: https://status.example.com", Public::Names),
            ("listen: 0.0.0.0:8888\naccess: { public: details }", Public::Details),
        ] {
            assert_eq!(public(yaml), expected, "{yaml}");
        }
    }
}
