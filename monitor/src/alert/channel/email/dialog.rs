//! The dialog of SMTP on one connection: a command, a reply (RFC 5321 section 4.2), each step within its deadline.

use std::time::Duration;

use kit::config::show_duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::alert::channel::SendError;
use crate::alert::channel::post::shorten;
use crate::probe::smtp_reply::take_reply;

pub(super) use crate::probe::smtp_reply::Reply;

/// Longest reply, in bytes; one line has at most 512 (RFC 5321 section 4.5.3.1.5), EHLO's answer some dozens of them.
const MAX_REPLY_BYTES: usize = 64 * 1024;

/// One connection.
pub(super) struct Dialog<S> {
    stream: S,
    /// What was read beyond the last reply.
    ahead: Vec<u8>,
    step: Duration,
}

impl Reply {
    /// Whether it has the code that the step needs.
    ///
    /// # Errors
    /// 5xx is refused for good (RFC 5321 section 4.2.1), everything else is worth another try.
    pub(super) fn need(self, code: u16, step: &str) -> Result<Self, SendError> {
        match self.code {
            found if found == code => Ok(self),
            500..=599 => Err(SendError::Refused(format!("{step}: {self}"))),
            _ => Err(SendError::Failed(format!("{step}: {self}"))),
        }
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, shorten(&self.lines.join(" ")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Dialog<S> {
    pub(super) fn new(stream: S, step: Duration) -> Self {
        Self { stream, ahead: Vec::new(), step }
    }

    /// Gives the stream back, to speak TLS on it.
    ///
    /// # Errors
    /// The server, or somebody between, has said more than it was asked: that would count as said within TLS
    /// (CVE-2021-38371 and its like, "NO STARTTLS", USENIX Security 2021).
    pub(super) fn into_stream(self) -> Result<S, SendError> {
        if self.ahead.is_empty() {
            return Ok(self.stream);
        }
        Err(SendError::Failed("STARTTLS: the server spoke before TLS began".to_owned()))
    }

    /// Sends a command and waits for its reply. `step` names it in errors, for the command may hold a secret.
    ///
    /// # Errors
    /// [`SendError::Failed`] when the connection breaks or the deadline passes.
    pub(super) async fn ask(&mut self, command: &str, step: &str) -> Result<Reply, SendError> {
        self.say(command, step).await?;
        self.listen(step).await
    }

    /// Sends a command or the content.
    ///
    /// # Errors
    /// As [`Dialog::ask`].
    pub(super) async fn say(&mut self, text: &str, step: &str) -> Result<(), SendError> {
        let sending = async {
            self.stream.write_all(text.as_bytes()).await?;
            self.stream.write_all(b"\r\n").await?;
            self.stream.flush().await
        };
        match tokio::time::timeout(self.step, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(SendError::Failed(format!("{step}: {error}"))),
            Err(_elapsed) => Err(self.late(step)),
        }
    }

    /// Waits for a reply.
    ///
    /// # Errors
    /// As [`Dialog::ask`].
    pub(super) async fn listen(&mut self, step: &str) -> Result<Reply, SendError> {
        match tokio::time::timeout(self.step, self.read_reply()).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(why)) => Err(SendError::Failed(format!("{step}: {why}"))),
            Err(_elapsed) => Err(self.late(step)),
        }
    }

    fn late(&self, step: &str) -> SendError {
        SendError::Failed(format!("{step}: no answer within {}", show_duration(self.step)))
    }

    async fn read_reply(&mut self) -> Result<Reply, String> {
        loop {
            match take_reply(&mut self.ahead).map_err(|line| format!("not SMTP: {:?}", shorten(&line)))? {
                Some(reply) => return Ok(reply),
                None if self.ahead.len() > MAX_REPLY_BYTES => return Err("the reply has no end".to_owned()),
                None => {}
            }
            match self.stream.read_buf(&mut self.ahead).await {
                Ok(0) => return Err("the server closed the connection".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decide_whether_another_try_can_help() {
        let need = |code| Reply { code, lines: vec!["no\u{7}".to_owned()] }.need(250, "MAIL");
        assert!(need(250).is_ok());
        assert_eq!(need(451).unwrap_err(), SendError::Failed("MAIL: 451 no ".to_owned()));
        assert_eq!(need(550).unwrap_err(), SendError::Refused("MAIL: 550 no ".to_owned()));
        assert!(matches!(need(354), Err(SendError::Failed(_))));
    }
}
