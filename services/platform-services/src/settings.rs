//! The settings, read once from the environment and checked whole.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use kit::config::Environment;
use kit::db::Source;
use kit::env::Variables;
use kit::http::Network;
use kit::service;
use kit::token::MIN_SECRET_BYTES;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::auth::{Pair, Signing};
use crate::mail::MailSettings;
use crate::time::DAY_MS;

const CONNECTIONS: NonZeroU32 = NonZeroU32::new(20).expect("above 0");

/// Everything that can be set. Names and defaults are those of existing deployments.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `HOST` and `PORT`.
    pub(crate) address: SocketAddr,
    /// `DATABASE_URL`.
    pub(crate) database: Source,
    /// `DB_POOL_SIZE`.
    pub(crate) connections: NonZeroU32,
    /// `JWT_SECRET`.
    pub(crate) jwt_secret: SecretString,
    /// `API_KEY`; without it no service has a key.
    pub(crate) api_key: Option<SecretString>,
    /// `REQUIRE_API_KEY`.
    pub(crate) requires_api_key: bool,
    /// `ANALYTICS_RETENTION_DAYS`.
    pub(crate) analytics_retention_days: u16,
    /// `METRICS_BATCH_SIZE`.
    pub(crate) metrics_batch_size: usize,
    /// `PUBLIC_URL`.
    pub(crate) public_url: Url,
    /// `SMTP_URL` and what goes with it; without it there is no mail.
    pub(crate) mail: Option<MailSettings>,
    /// `REQUIRE_VERIFIED_EMAIL`.
    pub(crate) requires_verified_email: bool,
    /// `REDIS_URL` and `AUTH_EVENTS_STREAM`.
    pub(crate) stream: Option<(SecretString, String)>,
    /// `TRUSTED_PROXIES`.
    pub(crate) trusted_proxies: Vec<Network>,
    /// `JWT_ALGORITHM` and `JWT_KEY_ROTATION`.
    pub(crate) signing: Signing,
    /// `JWT_EXPIRES_IN`.
    pub(crate) access_life: Duration,
    /// `REFRESH_EXPIRES_IN`.
    pub(crate) refresh_life: Duration,
    /// `PASSWORD_MIN_LENGTH`.
    pub(crate) password_min_chars: usize,
}

impl Settings {
    /// Returns how long events and metrics are kept, in milliseconds.
    pub(crate) fn analytics_retention_ms(&self) -> i64 {
        i64::from(self.analytics_retention_days) * DAY_MS
    }
}

impl service::Settings for Settings {
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ABOUT: &'static str = "Sign-in and analytics of the platform.";
    const VARIABLES: &'static str = "\
Environment:
  JWT_SECRET             signs access tokens (HS256), or seals the keys that do; 32 bytes or more, required
  JWT_ALGORITHM          HS256, EdDSA or RS256; with the latter two keys are made, follow one another, and are published
                         at /.well-known/jwks.json [HS256]
  JWT_KEY_ROTATION       how long each of those keys signs, as 90d; an hour or more [90d]
  API_KEY                key of other services, sent as X-API-Key; without it they read no events
  REQUIRE_API_KEY        whether analytics ask for the key, or for a user's token to read what is his; true or false
                         [true]; a wrong key is refused even if none is asked for
  ANALYTICS_RETENTION_DAYS
                         days that events and metrics are kept, 1 to 3650; usage is kept for 400 [90]
  METRICS_BATCH_SIZE     metrics that may come at once, 1 to 1000 [100]
  DATABASE_URL           sqlite:PATH or postgres://… [sqlite:data/platform-services/platform.db]
                         (secrets may be in a file: JWT_SECRET_FILE, API_KEY_FILE, DATABASE_URL_FILE, REDIS_URL_FILE)
  REDIS_URL              redis://…: what happens in sign-in is a stream there too
  AUTH_EVENTS_STREAM     its name [auth-events]
  DB_POOL_SIZE           connections to PostgreSQL [20]
  HOST                   address to listen on; 0.0.0.0 in containers [127.0.0.1]
  PORT                   port to listen on [8007]
  PUBLIC_URL             where people reach the platform: where links in mails lead, and the name by which their
                         authenticators know it [http://localhost:3000]
  SMTP_URL               smtp://USER:PASSWORD@HOST:587, where TLS must begin unless HOST is this machine, or
                         smtps://USER:PASSWORD@HOST:465; without it no mail is sent, and no password can be reset
                         (SMTP_URL_FILE)
  SMTP_CA_FILE           certificates (PEM) that the mail server's may be signed by, beside the machine's own
  MAIL_FROM              the address that mails come from, as Platform <no-reply@example.com>; required with SMTP_URL
  JOBS_DATABASE_URL      where mails wait: sqlite:PATH or postgres://… [DATABASE_URL if that is a server, or else
                         sqlite:data/jobs.db] (JOBS_DATABASE_URL_FILE)
  REQUIRE_VERIFIED_EMAIL whether an account signs in only once its address is confirmed, by a link that is sent there;
                         true or false [false]
  TRUSTED_PROXIES        networks whose X-Forwarded-For is believed, as 127.0.0.1,10.0.0.0/8, or none [127.0.0.1,::1]
  JWT_EXPIRES_IN         life of an access token, as 24h, 30m or seconds [24h]
  REFRESH_EXPIRES_IN     life of a refresh token [7d]
  PASSWORD_MIN_LENGTH    characters that a password must have [8]
  LOG_LEVEL              error, warn, info, debug or trace [info]
  LOG_FORMAT             human or json [human on a terminal, else json]";
    // Where the platform expects it.
    const PORT: NonZeroU16 = NonZeroU16::new(8007).expect("a port");

    fn read(environment: &Environment) -> Result<Self, Vec<String>> {
        let variables = Variables::new(environment);
        let jwt_secret = variables.required_secret("JWT_SECRET", "signs access tokens");
        let length = jwt_secret.expose_secret().len();
        if length > 0 && length < MIN_SECRET_BYTES {
            let text = format!("has {length} bytes; write {MIN_SECRET_BYTES} or more, as `openssl rand -hex 32` makes");
            variables.mistake("JWT_SECRET", text);
        }
        let api_key = variables.secret("API_KEY");
        let signing = signing(&variables);
        let database =
            source(&variables, "DATABASE_URL", || Source::Sqlite("data/platform-services/platform.db".into()));
        let access_life = variables.duration("JWT_EXPIRES_IN", Duration::from_secs(24 * 3600));
        let refresh_life = variables.duration("REFRESH_EXPIRES_IN", Duration::from_secs(7 * 24 * 3600));
        if refresh_life < access_life {
            variables.mistake(
                "REFRESH_EXPIRES_IN",
                "shorter than JWT_EXPIRES_IN; a session lasts as long as its refresh token",
            );
        }
        let password_min_chars = variables.parsed("PASSWORD_MIN_LENGTH", 8, "a number of characters, like 8");
        if !(1..=64).contains(&password_min_chars) {
            // People must be allowed 64 characters (OWASP ASVS 4.0.3, 2.1.2).
            variables.mistake("PASSWORD_MIN_LENGTH", "write a number from 1 to 64");
        }
        let analytics_retention_days = variables.parsed("ANALYTICS_RETENTION_DAYS", 90, "a number of days, like 90");
        if !(1..=3650).contains(&analytics_retention_days) {
            variables.mistake("ANALYTICS_RETENTION_DAYS", "write a number from 1 to 3650");
        }
        let metrics_batch_size = variables.parsed("METRICS_BATCH_SIZE", 100, "a number of metrics, like 100");
        if !(1..=1000).contains(&metrics_batch_size) {
            variables.mistake("METRICS_BATCH_SIZE", "write a number from 1 to 1000");
        }
        let public_url = variables.base_url("PUBLIC_URL");
        let public_url =
            public_url.unwrap_or_else(|| Url::parse("http://localhost:3000").expect("this is the URL of a server"));
        let mail = MailSettings::read(&variables, &database);
        let requires_verified_email = variables.parsed("REQUIRE_VERIFIED_EMAIL", false, "true or false");
        if requires_verified_email && variables.text("SMTP_URL").or(variables.text("SMTP_URL_FILE")).is_none() {
            variables.mistake("REQUIRE_VERIFIED_EMAIL", "nobody can confirm an address without mail; set SMTP_URL too");
        }
        let settings = Self {
            address: variables.address(Self::PORT),
            database,
            connections: variables.parsed("DB_POOL_SIZE", CONNECTIONS, "a number of connections, like 20"),
            jwt_secret,
            api_key,
            requires_api_key: variables.parsed("REQUIRE_API_KEY", true, "true or false"),
            analytics_retention_days,
            metrics_batch_size,
            public_url,
            mail,
            requires_verified_email,
            trusted_proxies: variables.networks("TRUSTED_PROXIES", "127.0.0.1,::1"),
            stream: variables
                .redis_url("REDIS_URL")
                .map(|url| (url, variables.text("AUTH_EVENTS_STREAM").unwrap_or("auth-events").to_owned())),
            signing,
            access_life,
            refresh_life,
            password_min_chars,
        };
        variables.finish(settings)
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Returns `name` as the place of a database. A mistake never shows the value, which may carry a password.
pub(crate) fn source(variables: &Variables<'_>, name: &str, default: impl FnOnce() -> Source) -> Source {
    let Some(url) = variables.secret(name) else { return default() };
    Source::parse(url.expose_secret()).unwrap_or_else(|wanted| {
        variables.mistake(name, format_args!("not the place of a database; {wanted}"));
        default()
    })
}

/// Shorter rotation would keep keys longer than they sign.
const SHORTEST_ROTATION: Duration = Duration::from_secs(3600);

fn signing(variables: &Variables<'_>) -> Signing {
    let each = variables.duration("JWT_KEY_ROTATION", Duration::from_secs(90 * 24 * 3600));
    if each < SHORTEST_ROTATION {
        variables.mistake("JWT_KEY_ROTATION", "shorter than an hour; write how long each key signs, like 90d");
    }
    match variables.text("JWT_ALGORITHM") {
        None | Some("HS256") => Signing::Secret,
        Some("EdDSA") => Signing::Pairs(Pair::EdDsa, each),
        Some("RS256") => Signing::Pairs(Pair::Rs256, each),
        Some(other) => {
            let text = format!("{other:?} is not known here; write HS256, EdDSA or RS256");
            variables.mistake("JWT_ALGORITHM", text);
            Signing::Secret
        }
    }
}

#[cfg(test)]
mod tests {
    use kit::service::Settings as _;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_secret_and_a_key_are_enough() {
        let settings = Settings::read(&Environment::of([("JWT_SECRET", SECRET), ("API_KEY", "k")])).unwrap();
        assert_eq!(settings.address.to_string(), "127.0.0.1:8007");
        assert_eq!((settings.access_life.as_secs(), settings.refresh_life.as_secs()), (86_400, 604_800));
        assert!(settings.requires_api_key);
        assert_eq!((settings.analytics_retention_days, settings.metrics_batch_size), (90, 100));
        assert!(!format!("{settings:?}").contains(SECRET));
        let shared = [("JWT_SECRET", SECRET), ("API_KEY", "hush"), ("DATABASE_URL", "postgres://u:hush@h/d")];
        assert!(!format!("{:?}", Settings::read(&Environment::of(shared)).unwrap()).contains("hush"));
    }

    #[test]
    fn every_mistake_is_reported_and_no_secret() {
        let environment = Environment::of([
            ("JWT_SECRET", "hush"),
            ("JWT_ALGORITHM", "none"),
            ("DATABASE_URL", "mysql://u:hush@h/d"),
            ("TRUSTED_PROXIES", "127.0.0.1, proxy"),
            ("JWT_EXPIRES_IN", "soon"),
            ("REQUIRE_API_KEY", "maybe"),
            ("ANALYTICS_RETENTION_DAYS", "for ever"),
            ("METRICS_BATCH_SIZE", "0"),
        ]);
        let mistakes = Settings::read(&environment).unwrap_err();
        assert_eq!(
            mistakes,
            [
                "JWT_SECRET: has 4 bytes; write 32 or more, as `openssl rand -hex 32` makes",
                "JWT_ALGORITHM: \"none\" is not known here; write HS256, EdDSA or RS256",
                "DATABASE_URL: not the place of a database; write sqlite:PATH, or postgres://USER:PASSWORD@HOST:PORT/DATABASE",
                "JWT_EXPIRES_IN: \"soon\" is not a duration above zero; write seconds or a number with a unit, like 5, 500ms or 2m",
                "ANALYTICS_RETENTION_DAYS: \"for ever\" is not a number of days, like 90",
                "METRICS_BATCH_SIZE: write a number from 1 to 1000",
                "REQUIRE_API_KEY: \"maybe\" is not true or false",
                "TRUSTED_PROXIES: \" proxy\": write an address like 10.0.0.1, or a network like 10.0.0.0/8",
            ]
        );
    }
}
