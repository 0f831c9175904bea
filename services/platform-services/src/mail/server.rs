//! The mail server, and what its answers mean.

use std::fmt;
use std::time::Duration;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::ExposeSecret;

use super::place::{Place, Security};

/// Longest wait for one step of the dialog.
const STEP: Duration = Duration::from_secs(10);
/// What these say is about our password and our TLS, not about the mail (RFC 4954 section 6, RFC 5248 section 2.4): once
/// they are put right it goes.
const ABOUT_US: [&str; 4] = ["530", "534", "535", "538"];

/// A server that takes mail. Nothing is pooled: mails are few, and a connection that was kept may be gone.
#[derive(Clone)]
pub(super) struct Server {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    at: String,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.at)
    }
}

/// Why a mail was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    /// Another try cannot help.
    #[error("the mail server refuses it: {0}")]
    Refused(String),
    /// Another try may.
    #[error("the mail server did not take it: {0}")]
    Failed(String),
}

impl Server {
    /// `authority` is believed beside the machine's own.
    ///
    /// # Errors
    /// TLS cannot be had with these.
    pub(super) fn new(place: Place, authority: Option<Certificate>) -> Result<Self, String> {
        let Place { host, port, security, credentials } = place;
        let name = host.to_string().trim_matches(['[', ']']).to_owned();
        let tls = match security {
            Security::Implicit => Tls::Wrapper(tls(&name, authority)?),
            Security::StartTls => Tls::Required(tls(&name, authority)?),
            Security::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(name.as_str());
        builder = builder.port(port).tls(tls).timeout(Some(STEP));
        if let Some((user, password)) = credentials {
            builder = builder.credentials(Credentials::new(user, password.expose_secret().to_owned()));
        }
        Ok(Self { transport: builder.build(), at: format!("{host}:{port}") })
    }

    /// Hands a mail over.
    ///
    /// # Errors
    /// See [`NotTaken`]; without the password, which a server may repeat.
    pub(super) async fn send(&self, mail: Message) -> Result<(), NotTaken> {
        let Err(error) = self.transport.send(mail).await else { return Ok(()) };
        let said = kit::secrets::redact(&error.to_string()).into_owned();
        let is_about_us = error.status().is_some_and(|code| ABOUT_US.contains(&code.to_string().as_str()));
        Err(if error.is_permanent() && !is_about_us { NotTaken::Refused(said) } else { NotTaken::Failed(said) })
    }
}

/// Believes the machine's trust roots, or Mozilla's if it has none.
fn tls(name: &str, authority: Option<Certificate>) -> Result<TlsParameters, String> {
    let has_none = rustls_native_certs::load_native_certs().certs.is_empty();
    let store = if has_none { CertificateStore::WebpkiRoots } else { CertificateStore::Default };
    let mut builder = TlsParameters::builder(name.to_owned()).certificate_store(store);
    if let Some(certificate) = authority {
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|error| format!("TLS: {error}"))
}

#[cfg(test)]
mod tests {
    use testkit::{Authority, MailServer, Smtp};

    use super::*;

    fn mail() -> Message {
        let builder =
            Message::builder().from("no-reply@a.example".parse().unwrap()).to("ada@example.com".parse().unwrap());
        builder.subject("x").body("x".to_owned()).unwrap()
    }

    async fn sent(place: Place, authority: Option<&Authority>) -> Result<(), String> {
        let authority = authority.map(|authority| Certificate::from_pem(authority.pem().as_bytes()).unwrap());
        let server = Server::new(place, authority).unwrap();
        server.send(mail()).await.map_err(|error| error.to_string())
    }

    fn at(server: &MailServer, security: Security) -> Place {
        let url = format!("smtp://ada:hush%2Dhush@localhost:{}", server.target().addr().port());
        Place { security, ..Place::parse(&url).unwrap() }
    }

    #[tokio::test]
    async fn tls_begins_with_the_connection_and_a_stranger_is_not_believed() {
        let authority = Authority::new();
        let server = Smtp::default().implicit_tls(&authority.valid()).sign_in("PLAIN", "ada", "hush-hush").start();
        assert!(
            sent(at(&server, Security::Implicit), None)
                .await
                .unwrap_err()
                .starts_with("the mail server did not take it: ")
        );
        sent(at(&server, Security::Implicit), Some(&authority)).await.unwrap();
        let [mail] = &server.mails()[..] else { panic!("one mail") };
        assert_eq!((mail.is_encrypted, mail.user.as_deref()), (true, Some("ada")));
    }

    #[tokio::test]
    async fn where_tls_begins_within_the_dialog_nothing_is_said_before() {
        let (open, authority) = (Smtp::default().start(), Authority::new());
        assert!(sent(at(&open, Security::StartTls), Some(&authority)).await.is_err());
        assert!(!String::from_utf8_lossy(&open.target().received().concat()).contains("MAIL"));
        let server = Smtp::default().starttls(&authority.valid()).sign_in("PLAIN", "ada", "hush-hush").start();
        assert!(sent(at(&server, Security::StartTls), None).await.is_err(), "nobody vouches for it");
        sent(at(&server, Security::StartTls), Some(&authority)).await.unwrap();
        assert!(server.mails()[0].is_encrypted);
    }

    #[tokio::test]
    async fn what_a_server_says_is_worth_another_try_or_is_not() {
        for (command, reply, refused) in [
            ("RCPT", "550 no such user", true),
            (".", "554 spam", true),
            ("RCPT", "450 not now", false),
            (".", "451 disk full", false),
            ("greeting", "421 come back later", false),
            ("AUTH", "535 not hush-hush", false),
            ("MAIL", "530 sign in first", false),
        ] {
            let server = Smtp::default().sign_in("PLAIN", "ada", "hush-hush").reply(command, reply).start();
            let said = sent(at(&server, Security::None), None).await.unwrap_err();
            assert_eq!(said.starts_with("the mail server refuses it: "), refused, "{said}");
            assert!(!said.contains("hush"), "{said}");
        }
        let gone = format!("smtp://127.0.0.1:{}", testkit::free_port());
        assert!(
            sent(Place::parse(&gone).unwrap(), None)
                .await
                .unwrap_err()
                .starts_with("the mail server did not take it: ")
        );
    }
}
