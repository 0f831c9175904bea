//! A real mail server takes our mail over STARTTLS, and Python's parser reads it.

use serde_json::{Value, json};
use testkit::{Authority, free_port, installed};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::ChildStdout;

use crate::real::Program;
use crate::{PATIENT, SECRET, file, messages, send};

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/alert/real_mail.py");

/// aiosmtpd, what it says, and the settings of a channel that mails through it.
struct Server {
    _program: Program,
    said: Lines<BufReader<ChildStdout>>,
    settings: String,
    _files: [tempfile::NamedTempFile; 3],
}

impl Server {
    async fn start(password: &str) -> Self {
        let (authority, port) = (Authority::new(), free_port());
        let certificate = authority.valid();
        let files = [file(certificate.pem()), file(certificate.key_pem()), file(&authority.pem())];
        let paths = files.each_ref().map(|file| file.path().display().to_string());
        let args = [SERVER, &port.to_string(), &paths[0], &paths[1], "me", password];
        let mut program = Program::start(installed("e2e-venv/bin/python"), &args);
        let mut said = BufReader::new(program.0.stdout.take().unwrap()).lines();
        let ready = tokio::time::timeout(PATIENT, said.next_line()).await.expect("the server starts").unwrap();
        assert_eq!(ready.as_deref(), Some("ready"));
        let settings = format!(
            "email: {{ to: [ops@example.com, gone@example.com, 'Böss <boss@example.com>'], from: 'Monitor \
             <monitor@example.org>', smtp: {{ host: localhost, port: {port}, user: me, password: '${{SECRET}}', ca_file: \
             {} }} }}",
            paths[2]
        );
        Self { _program: program, said, settings, _files: files }
    }

    /// Sends a message and returns what the server's parser found.
    async fn mail(&mut self, message: &monitor::alert::Message) -> Value {
        let accepted = send(&self.settings, message).await.unwrap();
        assert_eq!(accepted.answer, "250 OK queued as real-1");
        let partly = "not delivered to gone@example.com: 550 5.1.1 nobody of that name";
        assert_eq!(accepted.partly.as_deref(), Some(partly));
        let line = tokio::time::timeout(PATIENT, self.said.next_line()).await.expect("a mail").unwrap();
        serde_json::from_str(&line.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn a_real_server_takes_a_page_and_a_real_parser_reads_it() {
    let mut server = Server::start(SECRET).await;
    let mail = server.mail(&messages::page()).await;
    assert_eq!((&mail["encrypted"], &mail["user"]), (&json!(true), &json!("me")));
    assert_eq!((&mail["from"], &mail["defects"]), (&json!("monitor@example.org"), &json!([])));
    assert_eq!(mail["to"], json!(["ops@example.com", "boss@example.com"]));
    assert_eq!(mail["to_header"], json!(["ops@example.com", "gone@example.com", "boss@example.com"]));
    let (headers, incident) = (&mail["headers"], messages::page().alerts[0].incident);
    assert_eq!(headers["Subject"], "[PAGE] shop is down: health: connection refused by 127.0.0.1:8007");
    assert_eq!(headers["To"], "ops@example.com, gone@example.com, Böss <boss@example.com>");
    assert_eq!(headers["Message-ID"], format!("<{incident}.1.ops@example.org>"));
    assert_eq!(headers["References"], format!("<{incident}.ops@example.org>"));
    assert_eq!((&headers["Auto-Submitted"], &headers["MIME-Version"]), (&json!("auto-generated"), &json!("1.0")));
    let body = &mail["body"];
    assert_eq!(body["type"], "multipart/alternative");
    assert_eq!(body["parts"][0]["type"], "text/plain");
    let text = body["parts"][0]["text"].as_str().unwrap();
    assert!(text.contains("Reason: connection refused by 127.0.0.1:8007\n"), "{text}");
    let related = &body["parts"][1];
    assert_eq!(related["type"], "multipart/related");
    let (page, picture) = (&related["parts"][0], &related["parts"][1]);
    assert_eq!(page["type"], "text/html");
    let id = picture["id"].as_str().unwrap().trim_matches(['<', '>']);
    assert!(page["text"].as_str().unwrap().contains(&format!(r#"src="cid:{id}""#)), "{id}");
    assert_eq!((&picture["disposition"], &picture["picture"]), (&json!("inline"), &json!([1104, 240])));
    for part in [body, &body["parts"][0], related, page, picture] {
        assert_eq!(part["defects"], json!([]), "{part}");
    }
}

#[tokio::test]
async fn hostile_text_and_a_digest_are_whole_mails_to_a_real_parser() {
    let mut server = Server::start(SECRET).await;
    let mail = server.mail(&messages::hostile()).await;
    assert_eq!(mail["defects"], json!([]));
    let subject = mail["headers"]["Subject"].as_str().unwrap();
    assert!(subject.starts_with("[PAGE] shop is down: </pre>") && subject.contains('🔥'), "{subject}");
    assert!(subject.chars().count() <= 200, "{subject}");
    assert!(mail["headers"].get("Bcc").is_none());
    let text = mail["body"]["parts"][0]["text"].as_str().unwrap();
    assert!(text.contains("\n.\nQUIT\n"), "{text}");
    let mail = server.mail(&messages::digest()).await;
    assert_eq!((&mail["defects"], &mail["body"]["defects"]), (&json!([]), &json!([])));
    let page = mail["body"]["parts"][1]["parts"][0]["text"].as_str().unwrap();
    assert!(page.contains("service-60 is down") && page.len() < 102 * 1024, "{} bytes", page.len());
}

#[tokio::test]
async fn a_real_server_refuses_a_wrong_password_for_good() {
    let server = Server::start("another").await;
    let error = send(&server.settings, &messages::page()).await.unwrap_err();
    let text = "AUTH: 535 5.7.8 Authentication credentials invalid";
    assert_eq!(error, monitor::alert::SendError::Refused(text.to_owned()));
}
