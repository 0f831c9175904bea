//! Kind `email`: how TLS begins, who is refused, what breaks where, and what the mail looks like.

use monitor::alert::{Message, SendError};
use testkit::{Authority, Certificate, Mail, MailServer, Smtp, Target};

use crate::kinds::legible;
use crate::{PATIENT, SECRET, SHORT, channel, decode, file, messages, send, send_within};

/// Settings for a server; `more` goes into `smtp:`.
fn settings(server: &Target, more: &str) -> String {
    let (host, port) = ("localhost", server.addr().port());
    let to = "[ops@example.com, 'Boss <boss@example.com>']";
    format!(
        "email: {{ to: {to}, from: 'Monitor <monitor@example.org>', smtp: {{ host: {host}, port: {port}, {more} }} }}"
    )
}

const OPEN: &str = "tls: none";

/// Sends a page to a server without TLS.
async fn told(server: &MailServer) -> Result<monitor::alert::Accepted, SendError> {
    send(&settings(server.target(), OPEN), &messages::page()).await
}

fn failed(text: &str) -> SendError {
    SendError::Failed(text.to_owned())
}

fn refused(text: &str) -> SendError {
    SendError::Refused(text.to_owned())
}

/// Delivers one message and returns the mail.
async fn mail_of(message: &Message) -> Mail {
    let server = Smtp::default().start();
    send(&settings(server.target(), OPEN), message).await.unwrap();
    server.mails().remove(0)
}

fn header<'a>(content: &'a str, name: &str) -> Vec<&'a str> {
    let head = content.split("\r\n\r\n").next().unwrap();
    head.split("\r\n").filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
}

#[tokio::test]
async fn a_mail_goes_out_over_starttls_after_signing_in() {
    let authority = Authority::new();
    let server = Smtp::default().starttls(&authority.valid()).sign_in("PLAIN", "me", SECRET).start();
    let trust = file(&authority.pem());
    let more = format!("user: me, password: '${{SECRET}}', ca_file: {}", trust.path().display());
    let accepted = send(&settings(server.target(), &more), &messages::page()).await.unwrap();
    assert_eq!((accepted.answer.as_str(), accepted.partly), ("250 queued as 1", None));
    let mail = server.mails().remove(0);
    assert!(mail.is_encrypted);
    assert_eq!(mail.user.as_deref(), Some("me"));
    assert_eq!(
        (mail.from.as_str(), mail.to),
        ("monitor@example.org", vec!["ops@example.com".into(), "boss@example.com".into()])
    );
}

#[tokio::test]
async fn a_mail_goes_out_over_implicit_tls_and_by_the_older_way_to_sign_in() {
    let authority = Authority::new();
    let server = Smtp::default().implicit_tls(&authority.valid()).sign_in("LOGIN", "me", SECRET).start();
    let trust = file(&authority.pem());
    let more = format!("tls: implicit, user: me, password: '${{SECRET}}', ca_file: {}", trust.path().display());
    send(&settings(server.target(), &more), &messages::page()).await.unwrap();
    assert!(server.mails()[0].is_encrypted);
}

#[tokio::test]
async fn a_server_without_starttls_or_with_a_wrong_certificate_gets_no_mail_and_no_password() {
    let authority = Authority::new();
    let trust = file(&authority.pem());
    let more = format!("user: me, password: '${{SECRET}}', ca_file: {}", trust.path().display());
    for (certificate, text) in [
        (None, "does not offer STARTTLS"),
        (Some(authority.expired()), "certificate expired"),
        (Some(authority.wrong_name()), "not valid for name"),
        (Some(Certificate::self_signed()), "invalid peer certificate"),
    ] {
        let server = certificate.iter().fold(Smtp::default(), Smtp::starttls).start();
        let error = send(&settings(server.target(), &more), &messages::page()).await.unwrap_err();
        assert!(matches!(&error, SendError::Failed(why) if why.contains(text)), "{text}: {error}");
        let sent = String::from_utf8_lossy(&server.target().received().concat()).into_owned();
        assert!(!sent.contains("AUTH"), "{text}: {sent}");
    }
}

#[tokio::test]
async fn what_is_said_before_tls_does_not_count_as_said_within_it() {
    let banner = "220 hello\r\n";
    let target = Target::say(
        banner,
        &[
            (b"EHLO", b"250-mail.test\r\n250 STARTTLS\r\n"),
            (b"STARTTLS", b"220 go ahead\r\n250-mail.test\r\n250 ok\r\n"),
        ],
    );
    let error = send(&settings(&target, "tls: starttls"), &messages::page()).await.unwrap_err();
    assert_eq!(error, failed("STARTTLS: the server spoke before TLS began"));
}

#[tokio::test]
async fn one_refused_recipient_is_named_and_the_others_get_the_mail() {
    let server = Smtp::default().reply("RCPT TO:<boss@", "550 5.1.1 no such user").start();
    let accepted = told(&server).await.unwrap();
    assert_eq!(accepted.partly.as_deref(), Some("not delivered to boss@example.com: 550 5.1.1 no such user"));
    assert_eq!(server.mails()[0].to, ["ops@example.com"]);
}

#[tokio::test]
async fn who_is_put_off_gets_the_mail_at_the_next_try_and_the_others_do_not_get_it_twice() {
    let server = Smtp::default().reply_once("RCPT TO:<boss@", "450 greylisted, come back").start();
    let channel = channel(&settings(server.target(), OPEN));
    let error = send_within(PATIENT, &channel, &messages::page()).await.unwrap().unwrap_err();
    let why = "taken for ops@example.com; not yet for boss@example.com: 450 greylisted, come back";
    assert_eq!(error, SendError::Partly(why.to_owned()));
    let accepted = send_within(PATIENT, &channel, &messages::page()).await.unwrap().unwrap();
    assert_eq!(accepted.partly, None);
    let [first, second] = server.mails().try_into().unwrap();
    assert_eq!(
        (first.to.as_slice(), second.to.as_slice()),
        (&["ops@example.com".to_owned()][..], &["boss@example.com".to_owned()][..])
    );
    let id = |mail: &Mail| mail.content.lines().find(|line| line.starts_with("Message-ID")).map(str::to_owned);
    assert_eq!((id(&first), id(&first).is_some()), (id(&second), true), "it is the same mail");
}

#[tokio::test]
async fn a_mail_that_nobody_may_get_is_refused_and_one_that_somebody_may_get_later_is_not() {
    let server = Smtp::default().reply("RCPT", "550 no such user").start();
    let text = "ops@example.com: 550 no such user; boss@example.com: 550 no such user";
    assert_eq!(told(&server).await.unwrap_err(), refused(text));
    let server = Smtp::default().reply("RCPT TO:<ops@", "450 greylisted").reply("RCPT", "550 no such user").start();
    let text = "ops@example.com: 450 greylisted; boss@example.com: 550 no such user";
    assert_eq!(told(&server).await.unwrap_err(), failed(text));
    assert_eq!(server.mails(), []);
}

#[tokio::test]
async fn every_step_says_what_the_server_answered() {
    for (step, reply, error) in [
        ("greeting", "421 too busy", failed("greeting: 421 too busy")),
        ("greeting", "554 no mail\n554 from you", refused("greeting: 554 no mail from you")),
        ("EHLO", "451 later", failed("EHLO: 451 later")),
        ("MAIL", "452 no room", failed("MAIL FROM: 452 no room")),
        ("MAIL", "553 bad sender", refused("MAIL FROM: 553 bad sender")),
        ("DATA", "451 later", failed("DATA: 451 later")),
        (".", "552 too large", refused("content: 552 too large")),
        (".", "354 what", failed("content: 354 what")),
    ] {
        let server = Smtp::default().reply(step, reply).start();
        assert_eq!(told(&server).await.unwrap_err(), error);
        assert_eq!(server.mails(), []);
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_a_server_that_cannot_check_it_is_asked_again() {
    let more = "tls: none, user: me, password: '${SECRET}'";
    let server = Smtp::default().sign_in("PLAIN", "me", "another").start();
    let error = send(&settings(server.target(), more), &messages::page()).await.unwrap_err();
    assert_eq!(error, refused("AUTH: 535 wrong user or password"));
    let server = Smtp::default().sign_in("PLAIN", "me", SECRET).reply("AUTH", "454 directory is down").start();
    let error = send(&settings(server.target(), more), &messages::page()).await.unwrap_err();
    assert_eq!(error, failed("AUTH: 454 directory is down"));
    let server = Smtp::default().start();
    let error = send(&settings(server.target(), more), &messages::page()).await.unwrap_err();
    assert!(error.to_string().ends_with("offers no way to sign in with a password"), "{error}");
}

#[tokio::test]
async fn silence_at_any_step_is_cut_and_after_acceptance_does_not_matter() {
    for step in ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "."] {
        let server = Smtp::default().stall_at(step).start();
        let channel = channel(&settings(server.target(), OPEN));
        assert_eq!(send_within(SHORT, &channel, &messages::page()).await, None, "{step}");
    }
    let server = Smtp::default().stall_at("QUIT").start();
    assert_eq!(told(&server).await.unwrap().answer, "250 queued as 1");
}

#[tokio::test]
async fn silence_is_told_with_the_step_if_the_deadline_allows() {
    let server = Smtp::default().stall_at("greeting").start();
    let channel = channel(&settings(server.target(), "tls: none, step_timeout: 1s"));
    let error = send_within(PATIENT, &channel, &messages::page()).await.unwrap().unwrap_err();
    assert_eq!(error, failed("greeting: no answer within 1s"));
}

#[tokio::test]
async fn a_mail_has_the_headers_that_clients_thread_and_robots_heed() {
    let (first, last) = (mail_of(&messages::page()).await.content, mail_of(&messages::resolved()).await.content);
    let incident = messages::page().alerts[0].incident;
    assert_eq!(header(&first, "Message-ID"), [format!("<{incident}.1.ops@example.org>")]);
    assert_eq!(header(&last, "Message-ID"), [format!("<{incident}.2.ops@example.org>")]);
    for content in [&first, &last] {
        for name in ["References", "In-Reply-To"] {
            assert_eq!(header(content, name), [format!("<{incident}.ops@example.org>")], "{name}");
        }
        assert_eq!(header(content, "Auto-Submitted"), ["auto-generated"]);
        assert_eq!(header(content, "X-Monitor-Incident"), [incident.to_string()]);
        assert_eq!(header(content, "Date").len(), 1);
        assert_eq!(header(content, "From"), ["Monitor <monitor@example.org>"]);
        assert_eq!(header(content, "To"), ["ops@example.com, Boss <boss@example.com>"]);
    }
    assert_eq!(header(&first, "Idempotency-Key"), [messages::page().key]);
}

#[tokio::test]
async fn a_hostile_title_adds_no_header_and_hostile_text_no_markup() {
    let content = mail_of(&messages::hostile()).await.content;
    assert_eq!(header(&content, "Bcc"), Vec::<&str>::new());
    assert_eq!(header(&content, "Subject").len(), 1);
    let page = legible(content.split("Content-Type: text/html").nth(1).unwrap());
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains("href=\"javascript"), "{page}");
    assert!(page.contains("&lt;script&gt;"), "{page}");
}

#[test]
fn email_settings_are_checked_at_load() {
    let check = |text: &str, mistakes: &[&str]| assert_eq!(decode(text).unwrap_err(), mistakes, "{text}");
    check(
        "email: { to: [], from: nobody, smtp: { hots: x } }",
        &[
            "m.yml:2:16: ops.email.to: a mail needs somebody to read it; write [ops@example.com]",
            "m.yml:2:26: ops.email.from: \"nobody\" is not a mail address; write ops@example.com or \"Ops \
             <ops@example.com>\"",
            "m.yml:2:40: ops.email.smtp: \"host\" is missing",
            "m.yml:2:42: ops.email.smtp: unknown key \"hots\"; did you mean \"host\"?",
        ],
    );
    check(
        "email: { to: a@b.c, from: a@b.c, smtp: { host: mail.example.com, tls: none, user: a, password: '${SECRET}' } }",
        &["m.yml:2:42: ops.email.smtp: tls: none would send the password readable by everybody; write tls: starttls"],
    );
    check(
        "email: { to: a@b.c, from: a@b.c, smtp: { host: mail.example.com, user: a, hello_name: 'x y' } }",
        &[
            "m.yml:2:74: ops.email.smtp.user: to sign in needs a \"password_file\" too",
            "m.yml:2:89: ops.email.smtp.hello_name: \"x y\" is not a name for EHLO; write one like monitor.example.com",
        ],
    );
    // The sender signs in, and writes from the recipients' own domain.
    let short = decode("email: { to: a@b.c, smtp: { host: mail.example.com, password: '${SECRET}' } }");
    assert!(short.is_ok(), "{short:?}");
}
