//! Probers `tcp` and `icmp`.

use std::time::Duration;

use tempfile::NamedTempFile;
use testkit::{Authority, MailServer, Smtp, Target};

use crate::both::Case;

pub(crate) struct Servers {
    quiet: Target,
    banner: Target,
    closing: Target,
    ssh: Target,
    irc: Target,
    prompt: Target,
    slow: Target,
    mail: MailServer,
    mail_stranger: MailServer,
    secure: Target,
    broken: [Target; 3],
    ca: NamedTempFile,
}

impl Servers {
    pub(crate) fn new() -> Self {
        let authority = Authority::new();
        let ca = NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), authority.pem()).unwrap();
        let welcome: &[u8] = b":irc.example 001 prober :Welcome\r\n";
        Self {
            quiet: Target::stall(),
            banner: Target::say("* first\r\n* OK IMAP4rev1 ready\r\n", &[]),
            closing: Target::slow("+OK\r\nlast words", Duration::from_millis(1)),
            ssh: Target::say("SSH-2.0-OpenSSH_9.2p1\r\n", &[]),
            irc: Target::say("", &[(b"USER prober", b"PING :ABC123\r\n"), (b"PONG ABC123\n", welcome)]),
            prompt: Target::say("login: ", &[]),
            slow: Target::slow("220 ok\r\n", Duration::from_millis(5)),
            mail: Smtp::default().starttls(&authority.valid()).start(),
            mail_stranger: Smtp::default().starttls(&Authority::new().valid()).start(),
            secure: Target::tls_say(&authority.valid(), "220 secret\r\n", &[]),
            broken: [Target::refuse(), Target::reset(), Target::close()],
            ca,
        }
    }

    pub(crate) fn modules(&self) -> String {
        let trusting = format!("tls_config: {{ ca_file: {} }}", self.ca.path().display());
        let tcp = |name: &str, more: &str| format!("  {name}: {{ prober: tcp, timeout: 1s, tcp: {{ {more} }} }}\n");
        let icmp = |name: &str, more: &str| format!("  {name}: {{ prober: icmp, timeout: 1s, icmp: {{ {more} }} }}\n");
        let starttls = format!(
            "query_response: [{{ expect: '^220 ' }}, {{ send: \"EHLO prober\\r\" }}, {{ expect: '^250[ -]STARTTLS' }}, \
             {{ send: \"STARTTLS\\r\" }}, {{ expect: '^220' }}, {{ starttls: true }}, {{ send: \"EHLO prober\\r\" }}, \
             {{ expect: '^250[ -]' }}, {{ send: \"QUIT\\r\" }}], {trusting}"
        );
        [
            tcp("tcp_connect", ""),
            tcp("tcp_from", "source_ip_address: 127.0.0.9, preferred_ip_protocol: ip4"),
            tcp("imap", "query_response: [{ expect: 'OK.*IMAP4rev1' }]"),
            tcp("ssh", "query_response: [{ expect: '^SSH-2\\.0-' }, { send: SSH-2.0-check }]"),
            tcp(
                "irc",
                "query_response: [{ send: NICK prober }, { send: USER prober prober prober :prober }, \
                 { expect: 'PING :([^ ]+)', send: 'PONG ${1}' }, { expect: '^:[^ ]+ 001' }]",
            ),
            tcp("last", "query_response: [{ expect: '^last words$' }]"),
            tcp("prompt", "query_response: [{ expect: '^login:' }]"),
            tcp("greeting", "query_response: [{ expect: '^220 ok$' }]"),
            tcp("starttls", &starttls),
            tcp("tls", &format!("tls: true, query_response: [{{ expect: '^220 secret' }}], {trusting}")),
            tcp("tls_untrusting", "tls: true"),
            icmp("icmp", ""),
            icmp("icmp_sized", "payload_size: 1000, dont_fragment: true, ttl: 5, preferred_ip_protocol: ip4"),
            icmp("icmp_v6", "ip_protocol_fallback: false"),
        ]
        .concat()
    }

    pub(crate) fn cases(&self) -> Vec<Case> {
        let at = |target: &Target| target.addr().to_string();
        let case = Case::new;
        let [refuse, reset, close] = self.broken.each_ref().map(at);
        vec![
            case("a port", "tcp_connect", &at(&self.quiet), true),
            case("a port, from another address", "tcp_from", &at(&self.quiet), true),
            case("a closed port", "tcp_connect", &refuse, false),
            case("a port without host", "tcp_connect", "localhost", false),
            case("a name without address", "tcp_connect", "no-such-name.invalid:80", false),
            case("the second line", "imap", &at(&self.banner), true),
            case("silence", "imap", &at(&self.quiet), false),
            case("an end instead of a line", "imap", &close, false),
            case("a reset instead of a line", "imap", &reset, false),
            case("a banner", "ssh", &at(&self.ssh), true),
            case("another banner", "ssh", &at(&self.banner), false),
            case("a dialog", "irc", &at(&self.irc), true),
            case("a last line without end", "last", &at(&self.closing), true),
            case("a prompt", "prompt", &at(&self.prompt), true),
            case("a line in pieces", "greeting", &at(&self.slow), true),
            case("STARTTLS", "starttls", &at(self.mail.target()), true),
            case("STARTTLS with a stranger", "starttls", &at(self.mail_stranger.target()), false),
            case("a banner over TLS", "tls", &at(&self.secure), true),
            case("a stranger over TLS", "tls_untrusting", &at(&self.secure), false),
            case("TLS on a plain port", "tls", &at(&self.banner), false),
            case("a ping", "icmp", "127.0.0.1", true),
            case("a ping by name", "icmp_sized", "localhost", true),
            case("a larger ping", "icmp_sized", "127.0.0.1", true),
            case("a ping over IPv6", "icmp_v6", "::1", true),
            case("a ping without IPv6", "icmp_v6", "127.0.0.1", false),
            case("a ping to nobody", "icmp", "no-such-name.invalid", false),
        ]
    }
}
