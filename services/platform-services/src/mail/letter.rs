//! A mail: its words, as text and as HTML. It carries no word that a person wrote, so that nobody's name becomes a message
//! to strangers, and nothing that is loaded from elsewhere.

use kit::page::escape;
use kit::queue::JobId;
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use secrecy::{ExposeSecret, SecretString};

/// What is said, and to whom. `Debug` shows no link, which is as good as a password.
#[derive(Debug)]
pub(crate) struct Letter {
    /// The address.
    pub(crate) to: String,
    pub(crate) subject: &'static str,
    /// What it is about, in a few sentences.
    pub(crate) about: String,
    /// What to follow.
    pub(crate) link: Option<SecretString>,
    /// What to do otherwise.
    pub(crate) otherwise: &'static str,
}

impl Letter {
    /// Composes the mail; whoever gets it twice can tell by its id, which is the job's.
    ///
    /// # Errors
    /// One sentence: the address cannot be written in a mail.
    pub(super) fn compose(&self, from: &Mailbox, job: JobId) -> Result<Message, String> {
        let to = self.to.parse().map_err(|error| format!("the address cannot be written in a mail: {error}"))?;
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let builder = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, to))
            .subject(self.subject)
            .message_id(Some(format!("<{job}@{}>", from.email.domain())))
            // RFC 3834 section 5: nobody's holiday answers to us.
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()));
        let parts = MultiPart::alternative()
            .singlepart(SinglePart::plain(self.text()))
            .singlepart(SinglePart::html(self.html()));
        builder.multipart(parts).map_err(|error| format!("the mail cannot be composed: {error}"))
    }

    fn text(&self) -> String {
        let link = self.link.as_ref().map(|link| format!("{}\n\n", link.expose_secret())).unwrap_or_default();
        format!("{}\n\n{link}{}\n", self.about, self.otherwise)
    }

    fn html(&self) -> String {
        let link = self.link.as_ref().map(|link| escape(link.expose_secret()));
        let link = link.map(|link| format!(r#"<p><a href="{link}">{link}</a></p>"#)).unwrap_or_default();
        format!(
            r#"<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{subject}</title></head><body><p>{about}</p>{link}<p>{otherwise}</p></body></html>"#,
            subject = escape(self.subject),
            about = escape(&self.about),
            otherwise = escape(self.otherwise),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(to: &str) -> Letter {
        Letter {
            to: to.to_owned(),
            subject: "A subject",
            about: "About <b> & more.".to_owned(),
            link: Some("https://a.example/?token=abc&x=1".into()),
            otherwise: "Do nothing.",
        }
    }

    fn composed(to: &str) -> Result<String, String> {
        let job = "0190a5b0-0000-7000-8000-000000000000".parse().unwrap();
        let mail = letter(to).compose(&"Platform <no-reply@a.example>".parse().unwrap(), job)?;
        Ok(String::from_utf8(mail.formatted()).unwrap())
    }

    #[test]
    fn a_mail_is_text_and_html_and_says_that_nobody_wrote_it() {
        let mail = composed("ada@example.com").unwrap();
        for expected in [
            "From: Platform <no-reply@a.example>\r\n",
            "To: ada@example.com\r\n",
            "Subject: A subject\r\n",
            "Message-ID: <0190a5b0-0000-7000-8000-000000000000@a.example>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Content-Type: multipart/alternative;",
            "Content-Type: text/plain; charset=utf-8\r\n",
            "Content-Type: text/html; charset=utf-8\r\n",
        ] {
            assert!(mail.contains(expected), "{expected} in {mail}");
        }
        assert_eq!(letter("").text(), "About <b> & more.\n\nhttps://a.example/?token=abc&x=1\n\nDo nothing.\n");
        let html = letter("").html();
        assert!(html.contains("<p>About &lt;b&gt; &amp; more.</p>"), "{html}");
        assert!(html.contains(r#"<a href="https://a.example/?token=abc&amp;x=1">"#), "{html}");
        assert!(!format!("{:?}", letter("")).contains("token=abc"));
    }

    #[test]
    fn no_address_becomes_a_header() {
        for wrong in
            ["ada", "ada@example.com\r\nBcc: eve@example.com", "<ada@example.com>", "ada@example.com, eve@example.com"]
        {
            assert!(composed(wrong).unwrap_err().starts_with("the address cannot be written in a mail"), "{wrong:?}");
        }
    }
}
