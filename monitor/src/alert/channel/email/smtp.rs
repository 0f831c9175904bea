//! Hands one mail to a server (RFC 5321): greeting, EHLO, STARTTLS (RFC 3207), AUTH (RFC 4954), one transaction.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::dialog::{Dialog, Reply};
use super::recipients::{Handed, Refusal};
use crate::alert::channel::SendError;

/// How the way to the server is kept secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    /// TLS begins within the dialog, and it must.
    StartTls,
    /// TLS begins with the connection.
    Implicit,
    /// Not at all.
    None,
}

/// A server that takes mail.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    /// What its certificate must be for.
    pub(super) name: ServerName<'static>,
    pub(super) security: Security,
    pub(super) credentials: Option<(String, SecretString)>,
    /// What we call ourselves.
    pub(super) hello: String,
    /// Longest wait for one step.
    pub(super) step: Duration,
    pub(super) tls: Arc<ClientConfig>,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Server {
    /// Delivers a mail to every recipient that the server takes; if it takes none, nothing is delivered.
    ///
    /// # Errors
    /// [`SendError::Refused`] when the sender, the content or the password was refused for good, otherwise
    /// [`SendError::Failed`]. A certificate that is wrong is worth another try: it can be mended.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub(super) async fn deliver(&self, from: &str, to: &[&str], mail: &[u8]) -> Result<Handed, SendError> {
        let mut plain = Dialog::new(self.connect().await?, self.step);
        if self.security == Security::Implicit {
            let mut dialog = Dialog::new(self.encrypt(plain.into_stream()?).await?, self.step);
            dialog.listen("greeting").await?.need(220, "greeting")?;
            return self.transact(dialog, from, to, mail).await;
        }
        plain.listen("greeting").await?.need(220, "greeting")?;
        if self.security == Security::None {
            return self.transact(plain, from, to, mail).await;
        }
        let offers = self.hello(&mut plain).await?;
        if !offers.iter().any(|line| line.eq_ignore_ascii_case("STARTTLS")) {
            return Err(SendError::Failed(format!("{self} does not offer STARTTLS")));
        }
        plain.ask("STARTTLS", "STARTTLS").await?.need(220, "STARTTLS")?;
        let dialog = Dialog::new(self.encrypt(plain.into_stream()?).await?, self.step);
        self.transact(dialog, from, to, mail).await
    }

    /// Connects to the first of the server's addresses that answers. Each has its part of the step, so that one which is
    /// dead (IPv6 without a route) does not cost the others theirs.
    async fn connect(&self) -> Result<TcpStream, SendError> {
        let failed = |why: &dyn fmt::Display| SendError::Failed(format!("cannot connect to {self}: {why}"));
        let addresses = match tokio::time::timeout(self.step, lookup_host((self.host.as_str(), self.port))).await {
            Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
            Ok(Err(error)) => return Err(failed(&error)),
            Err(_elapsed) => return Err(failed(&"its name was not resolved in time")),
        };
        let part = self.step / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut last = failed(&"it has no address");
        for address in addresses {
            match tokio::time::timeout(part, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = failed(&error),
                Err(_elapsed) => last = failed(&"no answer in time"),
            }
        }
        Err(last)
    }

    async fn encrypt(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, SendError> {
        let connecting = TlsConnector::from(self.tls.clone()).connect(self.name.clone(), stream);
        match tokio::time::timeout(self.step, connecting).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(SendError::Failed(format!("TLS with {self}: {error}"))),
            Err(_elapsed) => Err(SendError::Failed(format!("TLS with {self}: no answer in time"))),
        }
    }

    /// Says EHLO and returns what the server offers.
    async fn hello<S: Stream>(&self, dialog: &mut Dialog<S>) -> Result<Vec<String>, SendError> {
        Ok(dialog.ask(&format!("EHLO {}", self.hello), "EHLO").await?.need(250, "EHLO")?.lines)
    }

    async fn transact<S: Stream>(
        &self,
        mut dialog: Dialog<S>,
        from: &str,
        to: &[&str],
        mail: &[u8],
    ) -> Result<Handed, SendError> {
        let offers = self.hello(&mut dialog).await?;
        if let Some((user, password)) = &self.credentials {
            self.sign_in(&mut dialog, &offers, user, password).await?;
        }
        dialog.ask(&format!("MAIL FROM:<{from}>"), "MAIL FROM").await?.need(250, "MAIL FROM")?;
        let mut handed = offer_recipients(&mut dialog, to).await?;
        if handed.taken.is_empty() {
            return Ok(handed);
        }
        dialog.ask("DATA", "DATA").await?.need(354, "DATA")?;
        dialog.say(&stuffed(mail), "content").await?;
        let reply = dialog.ask(".", "content").await?.need(250, "content")?;
        // It is accepted: whatever becomes of the goodbye does not matter, and waiting for its answer could cost it.
        let _best_effort = dialog.say("QUIT", "QUIT").await;
        handed.answer = Some(reply.to_string());
        Ok(handed)
    }

    async fn sign_in<S: Stream>(
        &self,
        dialog: &mut Dialog<S>,
        offers: &[String],
        user: &str,
        password: &SecretString,
    ) -> Result<(), SendError> {
        let password = password.expose_secret();
        let ways: String =
            offers.iter().filter(|line| starts_with(line, "AUTH")).map(|line| line.to_uppercase()).collect();
        let reply = if ways.contains("PLAIN") {
            // RFC 4616: nobody else's identity, the user, the password.
            let answer = STANDARD.encode(format!("\0{user}\0{password}"));
            dialog.ask(&format!("AUTH PLAIN {answer}"), "AUTH").await?
        } else if ways.contains("LOGIN") {
            dialog.ask("AUTH LOGIN", "AUTH").await?.need(334, "AUTH")?;
            dialog.ask(&STANDARD.encode(user), "AUTH").await?.need(334, "AUTH")?;
            dialog.ask(&STANDARD.encode(password), "AUTH").await?
        } else {
            return Err(SendError::Failed(format!("{self} offers no way to sign in with a password")));
        };
        // What the server says here may repeat what it was told.
        let lines = reply.lines.iter().map(|line| line.replace(password, "…")).collect();
        Reply { code: reply.code, lines }.need(235, "AUTH").map(drop)
    }
}

/// What a dialog is held on.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

fn starts_with(line: &str, word: &str) -> bool {
    line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Names the recipients and returns who was taken and who was not.
async fn offer_recipients<S: Stream>(dialog: &mut Dialog<S>, to: &[&str]) -> Result<Handed, SendError> {
    let mut handed = Handed { answer: None, taken: Vec::new(), refused: Vec::new() };
    for address in to.iter().map(|address| (*address).to_owned()) {
        let reply = dialog.ask(&format!("RCPT TO:<{address}>"), "RCPT TO").await?;
        // 251: the server forwards it (RFC 5321 section 3.4).
        if matches!(reply.code, 250 | 251) {
            handed.taken.push(address);
        } else {
            handed.refused.push(Refusal { address, said: reply.to_string(), can_pass: reply.code < 500 });
        }
    }
    Ok(handed)
}

/// Doubles a dot that begins a line (RFC 5321 section 4.5.2), and leaves the last line's end to the caller.
fn stuffed(mail: &[u8]) -> String {
    // Lettre writes 7-bit text only: every header and body is encoded.
    let text = String::from_utf8_lossy(mail);
    let lines = text
        .trim_end()
        .split("\r\n")
        .map(|line| if line.starts_with('.') { format!(".{line}") } else { line.to_owned() });
    lines.collect::<Vec<_>>().join("\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_mail_is_taken_for_its_end() {
        assert_eq!(stuffed(b"a\r\n.\r\n..b\r\nQUIT\r\n"), "a\r\n..\r\n...b\r\nQUIT");
        assert_eq!(stuffed(b".a\r\n\r\n"), "..a");
    }
}
