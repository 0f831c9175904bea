//! The settings of mail.

use kit::db::Source;
use kit::env::Variables;
use lettre::message::Mailbox;
use lettre::transport::smtp::client::Certificate;
use secrecy::ExposeSecret;

use super::place::Place;
use super::server::Server;
use crate::settings::source;

/// How a certificate begins in a file (RFC 7468 section 5.1).
const BEGINS: &str = "-----BEGIN CERTIFICATE-----";

/// How mail is sent.
#[derive(Debug, Clone)]
pub(crate) struct MailSettings {
    /// `MAIL_FROM`.
    pub(super) from: Mailbox,
    /// `SMTP_URL` and `SMTP_CA_FILE`.
    pub(super) server: Server,
    /// `JOBS_DATABASE_URL`.
    pub(super) jobs: Source,
}

impl MailSettings {
    /// Reads them; none without `SMTP_URL`. Mails wait where `database` is, if that is a server.
    pub(crate) fn read(variables: &Variables<'_>, database: &Source) -> Option<Self> {
        let url = variables.secret("SMTP_URL")?;
        let wanted = "the address that mails come from, like Platform <no-reply@example.com>";
        let from = match variables.text("MAIL_FROM").map(str::parse) {
            Some(Ok(from)) => Some(from),
            Some(Err(_)) => {
                variables.mistake("MAIL_FROM", format_args!("no address; write {wanted}"));
                None
            }
            None => {
                variables.mistake("MAIL_FROM", format_args!("not set; write {wanted}"));
                None
            }
        };
        let authority = variables
            .text("SMTP_CA_FILE")
            .and_then(|path| authority(path).map_err(|why| variables.mistake("SMTP_CA_FILE", why)).ok());
        let place = Place::parse(url.expose_secret()).map_err(str::to_owned);
        let server = place.and_then(|place| Server::new(place, authority));
        let server = server.map_err(|wanted| variables.mistake("SMTP_URL", wanted)).ok();
        let jobs = source(variables, "JOBS_DATABASE_URL", || match database {
            Source::Postgres(url) => Source::Postgres(url.clone()),
            Source::Sqlite(_) => Source::Sqlite("data/jobs.db".into()),
        });
        Some(Self { from: from?, server: server?, jobs })
    }
}

fn authority(path: &str) -> Result<Certificate, String> {
    let pem = std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let certificate = Certificate::from_pem(&pem).ok().filter(|_| String::from_utf8_lossy(&pem).contains(BEGINS));
    certificate.ok_or_else(|| format!("there is no certificate in {path}; write one as PEM"))
}

#[cfg(test)]
mod tests {
    use kit::config::Environment;

    use super::*;

    fn read<const N: usize>(pairs: [(&str, &str); N]) -> Result<Option<MailSettings>, Vec<String>> {
        let environment = Environment::of(pairs);
        let variables = Variables::new(&environment);
        let settings = MailSettings::read(&variables, &Source::parse("postgres://u:hush@h/d").unwrap());
        variables.finish(settings)
    }

    #[test]
    fn without_a_server_there_is_no_mail_and_with_one_a_sender_is_enough() {
        assert!(read([("MAIL_FROM", "no-reply@a.example")]).unwrap().is_none());
        let pairs = [("SMTP_URL", "smtp://u:hush@a.example"), ("MAIL_FROM", "Platform <no-reply@a.example>")];
        let settings = read(pairs).unwrap().unwrap();
        assert!(matches!(settings.jobs, Source::Postgres(_)));
        assert!(!format!("{settings:?}").contains("hush"), "{settings:?}");
        let of_their_own = [pairs[0], pairs[1], ("JOBS_DATABASE_URL", "sqlite:x.db")];
        assert!(matches!(read(of_their_own).unwrap().unwrap().jobs, Source::Sqlite(_)));
    }

    #[test]
    fn every_mistake_is_told_and_no_secret() {
        let missing = read([("SMTP_URL", "smtp://a.example")]).unwrap_err();
        assert_eq!(
            missing,
            ["MAIL_FROM: not set; write the address that mails come from, like Platform <no-reply@example.com>"]
        );
        let wrong = read([
            ("SMTP_URL", "http://u:hush@a.example"),
            ("MAIL_FROM", "nobody"),
            ("SMTP_CA_FILE", "/nowhere/ca.pem"),
            ("JOBS_DATABASE_URL", "mysql://u:hush@h/d"),
        ]);
        assert_eq!(
            wrong.unwrap_err(),
            [
                "MAIL_FROM: no address; write the address that mails come from, like Platform <no-reply@example.com>",
                "SMTP_CA_FILE: cannot read /nowhere/ca.pem: No such file or directory (os error 2)",
                "SMTP_URL: write smtp://USER:PASSWORD@HOST:587, or smtps://USER:PASSWORD@HOST:465",
                "JOBS_DATABASE_URL: not the place of a database; write sqlite:PATH, or postgres://USER:PASSWORD@HOST:PORT/DATABASE",
            ]
        );
    }
}
