//! A mail server (RFC 5321) that is strict about what it is told, and misbehaves where a test says so.

use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::certificates::Certificate;
use crate::peer::{Peer, lock};
use crate::target::Target;
use crate::tls::{accept, acceptor};

/// Longest command, and longest line of a mail, in bytes with their end (RFC 5321 section 4.5.3.1).
const MAX_COMMAND_BYTES: usize = 512;
const MAX_LINE_BYTES: usize = 1000;

/// How a mail server behaves; without more it takes every mail in plain text.
#[derive(Clone, Default)]
pub struct Smtp {
    replies: Vec<(String, Option<String>)>,
    /// The same, but each is said a single time.
    once: Arc<Mutex<Vec<(String, String)>>>,
    tls: Option<TlsAcceptor>,
    is_implicit: bool,
    /// `PLAIN` or `LOGIN`, user, password.
    sign_in: Option<(&'static str, String, String)>,
}

/// A mail that a server has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients, those that were not refused.
    pub to: Vec<String>,
    /// Headers and body, without doubled dots.
    pub content: String,
    /// Whether it came over TLS.
    pub is_encrypted: bool,
    /// Who signed in.
    pub user: Option<String>,
}

/// A running mail server.
#[derive(Debug)]
pub struct MailServer {
    target: Target,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl Smtp {
    /// Answers every command that begins with `command` with `reply` (`code text`, several lines parted by `\n`) instead.
    /// `greeting` is what is said first, `.` the end of a mail.
    #[must_use]
    pub fn reply(mut self, command: &str, reply: &str) -> Self {
        self.replies.push((command.to_owned(), Some(reply.to_owned())));
        self
    }

    /// As [`Smtp::reply`], but only to the first command that begins so, whoever says it.
    #[must_use]
    pub fn reply_once(self, command: &str, reply: &str) -> Self {
        lock(&self.once).push((command.to_owned(), reply.to_owned()));
        self
    }

    /// Never answers commands that begin with `command`.
    #[must_use]
    pub fn stall_at(mut self, command: &str) -> Self {
        self.replies.push((command.to_owned(), None));
        self
    }

    /// Offers STARTTLS and takes no mail without it.
    #[must_use]
    pub fn starttls(mut self, certificate: &Certificate) -> Self {
        self.tls = Some(acceptor(certificate, None, &[]));
        self
    }

    /// Speaks TLS from the first byte.
    #[must_use]
    pub fn implicit_tls(mut self, certificate: &Certificate) -> Self {
        self.is_implicit = true;
        self.starttls(certificate)
    }

    /// Takes mail only from this user, who signs in by `way`: `PLAIN` or `LOGIN`.
    #[must_use]
    pub fn sign_in(mut self, way: &'static str, user: &str, password: &str) -> Self {
        self.sign_in = Some((way, user.to_owned(), password.to_owned()));
        self
    }

    /// Starts it.
    pub fn start(self) -> MailServer {
        let mails: Arc<Mutex<Vec<Mail>>> = Arc::default();
        let (script, log) = (Arc::new(self), Arc::clone(&mails));
        let target = Target::serve("smtp", move |peer| serve(peer, Arc::clone(&script), Arc::clone(&log)));
        MailServer { target, mails }
    }
}

impl MailServer {
    /// Returns the server as a target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Returns every mail it took, oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        lock(&self.mails).clone()
    }
}

async fn serve(peer: Peer<TcpStream>, script: Arc<Smtp>, mails: Arc<Mutex<Vec<Mail>>>) -> io::Result<()> {
    let mut session = Session { script: Arc::clone(&script), mails, is_encrypted: false, user: None, mail: None };
    let peer = match &script.tls {
        Some(tls) if script.is_implicit => return session.hold_encrypted(tls, peer, true).await,
        _ => session.hold(peer, true).await?,
    };
    match (peer, &script.tls) {
        (Some(peer), Some(tls)) => session.hold_encrypted(tls, peer, false).await,
        _ => Ok(()),
    }
}

/// What the server knows of one client.
struct Session {
    script: Arc<Smtp>,
    mails: Arc<Mutex<Vec<Mail>>>,
    is_encrypted: bool,
    user: Option<String>,
    /// The mail that is being handed over.
    mail: Option<Mail>,
}

impl Session {
    async fn hold_encrypted(&mut self, tls: &TlsAcceptor, peer: Peer<TcpStream>, greets: bool) -> io::Result<()> {
        self.is_encrypted = true;
        self.hold(accept(tls, peer).await?, greets).await.map(drop)
    }

    /// Talks until the client leaves, or wants TLS: then the connection is returned.
    async fn hold<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        mut peer: Peer<S>,
        greets: bool,
    ) -> io::Result<Option<Peer<S>>> {
        let mut heard = Vec::new();
        if greets {
            self.answer(&mut peer, "greeting", "220 mail.test ESMTP").await?;
        }
        while let Some(line) = next_line(&mut peer, &mut heard).await? {
            if line.len() + 2 > MAX_COMMAND_BYTES {
                self.answer(&mut peer, "", "500 line too long").await?;
                continue;
            }
            let usual = self.usual(&line, &mut peer, &mut heard).await?;
            let reply = self.answer(&mut peer, &line, &usual).await?;
            if reply.starts_with("220") && line == "STARTTLS" {
                return Ok(Some(peer));
            }
            if line == "DATA" && reply.starts_with("354") {
                let usual = self.take_mail(&mut peer, &mut heard).await?;
                let reply = self.answer(&mut peer, ".", &usual).await?;
                let mail = self.mail.take().filter(|_| reply.starts_with("250"));
                lock(&self.mails).extend(mail);
            }
            if line == "QUIT" {
                return peer.finish().await.map(|()| None);
            }
        }
        Ok(None)
    }

    /// Says what the script has for `command`, or else `usual`; returns what was said.
    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        peer: &mut Peer<S>,
        command: &str,
        usual: &str,
    ) -> io::Result<String> {
        let once = {
            let mut once = lock(&self.script.once);
            once.iter().position(|(start, _)| command.starts_with(start)).map(|index| once.remove(index).1)
        };
        let found = self.script.replies.iter().find(|(start, _)| command.starts_with(start));
        let text = match (once, found) {
            (Some(text), _) => text,
            (None, Some((_, None))) => std::future::pending().await,
            (None, Some((_, Some(text)))) => text.clone(),
            (None, None) => usual.to_owned(),
        };
        if let (Some(mail), true) = (&mut self.mail, text.starts_with("250"))
            && let Some(address) = command.strip_prefix("RCPT TO:<")
        {
            mail.to.push(address.trim_end_matches('>').to_owned());
        }
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.len().saturating_sub(1);
        for (index, line) in lines.iter().enumerate() {
            let (code, rest) = line.split_at_checked(3).unwrap_or((line, ""));
            let dash = if index < last { "-" } else { " " };
            peer.send(format!("{code}{dash}{}\r\n", rest.trim_start()).as_bytes()).await?;
        }
        Ok(text)
    }

    /// Returns what the standard says to this command, in this order of commands.
    async fn usual<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        line: &str,
        peer: &mut Peer<S>,
        heard: &mut Vec<u8>,
    ) -> io::Result<String> {
        let verb = line.split([' ', ':']).next().unwrap_or_default();
        let may_send =
            (self.script.tls.is_none() || self.is_encrypted) && (self.script.sign_in.is_none() || self.user.is_some());
        let has_recipients = self.mail.as_ref().is_some_and(|mail| !mail.to.is_empty());
        Ok(match verb {
            "EHLO" => self.offers(),
            "STARTTLS" if self.script.tls.is_some() && !self.is_encrypted => "220 go ahead".to_owned(),
            "AUTH" => return self.check_sign_in(line, peer, heard).await,
            "MAIL" if may_send => {
                let from = line.strip_prefix("MAIL FROM:<").and_then(|rest| rest.strip_suffix('>'));
                self.mail = from.map(|from| Mail {
                    from: from.to_owned(),
                    to: Vec::new(),
                    content: String::new(),
                    is_encrypted: self.is_encrypted,
                    user: self.user.clone(),
                });
                if self.mail.is_some() { "250 ok" } else { "501 syntax" }.to_owned()
            }
            "MAIL" => "530 not before STARTTLS and AUTH".to_owned(),
            "RCPT" if self.mail.is_some() && line.starts_with("RCPT TO:<") && line.ends_with('>') => {
                "250 ok".to_owned()
            }
            "DATA" if has_recipients => "354 end with a dot".to_owned(),
            "QUIT" => "221 bye".to_owned(),
            "STARTTLS" | "RCPT" | "DATA" => "503 not now".to_owned(),
            _ => "500 what?".to_owned(),
        })
    }

    fn offers(&self) -> String {
        let mut offers = "250 mail.test\n250 8BITMIME".to_owned();
        if self.script.tls.is_some() && !self.is_encrypted {
            offers.push_str("\n250 STARTTLS");
        }
        if let Some((way, ..)) = &self.script.sign_in {
            offers.push_str(&format!("\n250 AUTH {way}"));
        }
        offers
    }

    async fn check_sign_in<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        line: &str,
        peer: &mut Peer<S>,
        heard: &mut Vec<u8>,
    ) -> io::Result<String> {
        let Some((way, user, password)) = self.script.sign_in.clone() else { return Ok("503 not offered".to_owned()) };
        let is_right = match way {
            "PLAIN" => line == format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{user}\0{password}"))),
            _ if line == "AUTH LOGIN" => {
                peer.send(b"334 VXNlcm5hbWU6\r\n").await?;
                let name = next_line(peer, heard).await?;
                peer.send(b"334 UGFzc3dvcmQ6\r\n").await?;
                let secret = next_line(peer, heard).await?;
                name == Some(STANDARD.encode(&user)) && secret == Some(STANDARD.encode(password))
            }
            _ => false,
        };
        self.user = is_right.then_some(user);
        Ok(if is_right { "235 welcome" } else { "535 wrong user or password" }.to_owned())
    }

    async fn take_mail<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        peer: &mut Peer<S>,
        heard: &mut Vec<u8>,
    ) -> io::Result<String> {
        let (mut content, mut longest) = (String::new(), 0);
        while let Some(line) = next_line(peer, heard).await? {
            if line == "." {
                let is_bare = content.replace("\r\n", "").contains(['\r', '\n']);
                let is_wrong = is_bare || longest > MAX_LINE_BYTES || !content.is_ascii();
                if let Some(mail) = &mut self.mail {
                    mail.content = content;
                }
                return Ok(
                    if is_wrong { "554 lines too long, bare or not of 7 bits" } else { "250 queued as 1" }.to_owned()
                );
            }
            longest = longest.max(line.len() + 2);
            content.push_str(line.strip_prefix('.').unwrap_or(&line));
            content.push_str("\r\n");
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Waits for a line and returns it without its end; none if the client has finished.
async fn next_line<S: AsyncRead + AsyncWrite + Unpin>(
    peer: &mut Peer<S>,
    heard: &mut Vec<u8>,
) -> io::Result<Option<String>> {
    loop {
        if let Some(end) = crate::transport::find(heard, b"\r\n") {
            let line: Vec<u8> = heard.drain(..end + 2).collect();
            return Ok(Some(String::from_utf8_lossy(line.get(..end).unwrap_or_default()).into_owned()));
        }
        let more = peer.read().await?;
        if more.is_empty() {
            return Ok(None);
        }
        heard.extend(more);
    }
}
