//! Where the mail server is, as one URL says it. Pure.

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::{Host, Url};

/// Submission (RFC 6409), and submission over TLS (RFC 8314 section 3.3).
const PORT: u16 = 587;
const PORT_OVER_TLS: u16 = 465;

/// What to write.
const WANTED: &str = "write smtp://USER:PASSWORD@HOST:587, or smtps://USER:PASSWORD@HOST:465";

/// How the way to the server is kept secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    /// TLS begins with the connection.
    Implicit,
    /// TLS begins within the dialog, and it must.
    StartTls,
    /// Not at all: the server is on this machine.
    None,
}

/// A server and who signs in there.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) credentials: Option<(String, SecretString)>,
}

impl Place {
    /// Reads `smtp://USER:PASSWORD@HOST:PORT`, where TLS must begin within the dialog unless the server is on this machine,
    /// or `smtps://…`, where it begins with the connection.
    ///
    /// # Errors
    /// What to write instead; never the text, which may hold a password.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_shown| WANTED)?;
        // Of a scheme that it does not know, `url` takes an address for a name.
        let host =
            url.host_str().filter(|host| !host.is_empty()).and_then(|host| Host::parse(host).ok()).ok_or(WANTED)?;
        let security = match url.scheme() {
            "smtps" => Security::Implicit,
            "smtp" if is_here(&host) => Security::None,
            "smtp" => Security::StartTls,
            _ => return Err(WANTED),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(WANTED);
        }
        let default = if security == Security::Implicit { PORT_OVER_TLS } else { PORT };
        let (port, credentials) = (url.port().unwrap_or(default), credentials(&url).ok_or(WANTED)?);
        Ok(Self { host, port, security, credentials })
    }
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// User and password, both or neither; the outer `None` is a mistake.
fn credentials(url: &Url) -> Option<Option<(String, SecretString)>> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(String::from).ok();
    match (url.username(), url.password()) {
        ("", None) => Some(None),
        ("", Some(_)) | (_, None) => None,
        (user, Some(password)) => Some(Some((decoded(user)?, kit::secrets::secret(decoded(password)?)))),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn one_url_says_where_how_and_who() {
        for (text, expected) in [
            ("smtp://a.example", "a.example 587 StartTls"),
            ("smtp://10.0.0.1:25", "10.0.0.1 25 StartTls"),
            ("smtps://u:hush@a.example", "a.example 465 Implicit u hush"),
            ("smtp://u%40a.example:h%3Ash@127.0.0.1:2525/", "127.0.0.1 2525 None u@a.example h:sh"),
            ("smtp://LOCALHOST", "localhost 587 None"),
            ("smtp://[::1]:25", "[::1] 25 None"),
        ] {
            let place = Place::parse(text).unwrap();
            let who =
                place.credentials.as_ref().map(|(user, password)| format!(" {user} {}", password.expose_secret()));
            let read = format!("{} {} {:?}{}", place.host, place.port, place.security, who.unwrap_or_default());
            assert_eq!(read, expected, "{text}");
            assert!(!format!("{place:?}").contains("hush"));
        }
    }

    #[test]
    fn what_is_no_server_is_refused_and_not_shown() {
        for wrong in [
            "",
            "a.example",
            "http://u:hush@a.example",
            "smtp://",
            "smtp://u@a.example",
            "smtp://:hush@a.example",
            "smtp://a.example/x",
            "smtp://a.example?tls=none",
            "smtp://u:hush%ff@a.example",
        ] {
            assert_eq!(Place::parse(wrong).unwrap_err(), WANTED, "{wrong}");
        }
    }
}
