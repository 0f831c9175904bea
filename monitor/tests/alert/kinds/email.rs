//! Kind `email`, over SMTP without TLS: how TLS begins is in `tests/alert/email.rs`.

use std::sync::Arc;

use testkit::{MailServer, Smtp};

use super::{Fixture, Receiver, Reply, Says};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "email",
        settings: |place| {
            let (host, port) = (place.addr.ip(), place.addr.port());
            let tls = if place.tls { "implicit" } else { "none" };
            format!(
                "email: {{ to: [ops@example.com, 'Boss <boss@example.com>'], from: 'Monitor <monitor@example.org>', smtp: \
                 {{ host: {host}, port: {port}, tls: {tls}, user: monitor, password: '${{SECRET}}' }} }}"
            )
        },
        receiver: |reply| {
            let server = Smtp::default().sign_in("PLAIN", "monitor", crate::SECRET);
            let server = match reply {
                Reply::Accept => server,
                Reply::Busy => server.reply("MAIL", "421 too many connections"),
                Reply::Fail => server.reply(".", "451 out of disk"),
                Reply::Refuse => server.reply("AUTH", &format!("535 not {}", crate::SECRET)),
            };
            Receiver::mail(server.start())
        },
        says: Says { resolved: "Subject: [RESOLVED]", drill: "Subject: [DRILL]" },
        can_be_busy: false,
    }
}

impl Receiver {
    fn mail(server: MailServer) -> Self {
        let server = Arc::new(server);
        let mails = Arc::clone(&server);
        let read = move || mails.mails().iter().map(|mail| legible(&mail.content)).collect();
        Self::new(server.target().addr(), read, server)
    }
}

/// Undoes the encodings that hide words from a search: of bodies (RFC 2045 section 6.7), and of folded headers.
pub(crate) fn legible(content: &str) -> String {
    content.replace("=\r\n", "").replace("\r\n ", " ").replace("=3D", "=")
}
