//! `oauth2`: tokens of the client credentials grant (RFC 6749 section 4.4), kept until shortly before they expire.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderValue;
use kit::config::{Cursor, Environment, Fields};
use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::proxies;
use super::token_answer::Granted;
use super::token_request::{Endpoint, Style};
use crate::probe::blackbox::file::secret;
use crate::probe::blackbox::shown::is_signing;
use crate::probe::blackbox::tls::Secrecy;
use crate::probe::blackbox::visit::{Stop, Visit};
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::run::Run;
use crate::probe::tls_options::HTTP_1_1;

/// A token is not used any more so long before it expires (`defaultExpiryDelta` of golang.org/x/oauth2).
const BEFORE_EXPIRY: Duration = Duration::from_secs(10);

/// Where a module's tokens come from, and the one that is good.
#[derive(Debug)]
pub(super) struct Tokens {
    endpoint: Endpoint,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    token: Option<Token>,
    /// How the endpoint wants to know who asks, once it has said yes to one way.
    style: Option<Style>,
}

/// What requests are signed with.
#[derive(Debug, Clone)]
struct Token {
    header: HeaderValue,
    secret: SecretString,
    /// None if it is good for this probe only.
    good_until: Option<Instant>,
}

impl Token {
    fn of(granted: Granted, now: Instant) -> Self {
        let lasts = granted.expires_in.and_then(|lasts| lasts.checked_sub(BEFORE_EXPIRY));
        Self {
            header: granted.header,
            secret: granted.secret,
            good_until: lasts.and_then(|lasts| now.checked_add(lasts)),
        }
    }

    fn is_good(&self, now: Instant) -> bool {
        self.good_until.is_some_and(|until| now < until)
    }
}

/// Decodes `oauth2`.
pub(super) fn decode(cursor: &Cursor<'_>, environment: &Environment) -> Option<Tokens> {
    let fields = cursor.fields()?;
    let id = fields.require("client_id").and_then(|c| required(&c));
    let secret = secret(&fields, "client_secret", "client_secret_file");
    let url = fields.require("token_url").and_then(|c| decode_url(&c));
    let parameters = decode_parameters(&fields);
    let secrecy = Secrecy::decode(fields.get("tls_config"), &[HTTP_1_1]);
    let proxies = proxies::decode(&fields, environment, secrecy.as_ref());
    fields.end();
    let secret = secret?.unwrap_or_default();
    let endpoint = Endpoint::new(url?, &id?, &secret, &parameters?, secrecy?, proxies?);
    if endpoint.is_none() {
        cursor.mistake("client_id and client_secret cannot be sent as they are; check token_url too");
    }
    Some(Tokens { endpoint: endpoint?, kept: Mutex::default() })
}

fn required(cursor: &Cursor<'_>) -> Option<String> {
    let text = cursor.text()?;
    if text.is_empty() {
        cursor.mistake("this must not be empty");
        return None;
    }
    Some(text)
}

fn decode_url(cursor: &Cursor<'_>) -> Option<Url> {
    let url = Url::parse(&cursor.text()?).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    match url {
        Some(url) if url.username().is_empty() && url.password().is_none() => Some(url),
        Some(_) => {
            cursor.mistake("there is a user in this URL; write client_id and client_secret_file instead");
            None
        }
        None => {
            cursor.mistake("this is no URL of a token endpoint; write it like https://login.example.com/oauth2/token");
            None
        }
    }
}

/// As golang.org/x/oauth2/clientcredentials: `endpoint_params` may overwrite the grant type, and nothing else.
fn decode_parameters(fields: &Fields<'_>) -> Option<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::from([("grant_type".to_owned(), "client_credentials".to_owned())]);
    let scopes = fields.get("scopes").map(|c| c.texts()).unwrap_or_default();
    if !scopes.is_empty() {
        parameters.insert("scope".to_owned(), scopes.join(" "));
    }
    let mut is_fine = true;
    for (name, cursor) in fields.get("endpoint_params").and_then(|c| c.entries()).unwrap_or_default() {
        let Some(value) = cursor.text() else {
            is_fine = false;
            continue;
        };
        if is_signing(name) {
            kit::secrets::know([value.as_str()]);
        }
        if parameters.insert(name.to_owned(), value).is_some() && name != "grant_type" {
            cursor.mistake(format!("{name:?} is already set by \"scopes\"; keep one"));
            is_fine = false;
        }
    }
    is_fine.then_some(parameters)
}

impl Tokens {
    /// Returns how a request is signed: with a token that is good, fetched if need be within what is left of the probe. Who
    /// comes while one is fetched waits for that one.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket and lets the next one fetch.
    pub(super) async fn take(&self, visit: &mut Visit) -> Result<HeaderValue, Stop> {
        let (run, limit) = (&visit.run, visit.run.last_word());
        let left = run.deadline.saturating_duration_since(Instant::now());
        let mut run = Run::new(run.check.clone(), run.vantage.clone(), left, String::new());
        let shown = self.endpoint.to_string();
        match timeout_at(limit, self.take_within(&mut run)).await {
            Ok(Ok((token, is_new))) => {
                visit.hide(token.secret);
                visit.say(if is_new {
                    format!("fetched a token from {shown}")
                } else {
                    "uses the token it has".to_owned()
                });
                Ok(token.header)
            }
            Ok(Err(outcome)) => match Stop::from(outcome) {
                Stop::Failed(code, text) => Err(Stop::failed(code, format!("no token from {shown}: {text}"))),
                refused @ Stop::Refused(_) => Err(refused),
            },
            Err(_elapsed) => {
                let timeout = kit::config::show_duration(visit.wish.timeout);
                Err(Stop::failed(ReasonCode::Timeout, format!("no token from {shown}: no answer within {timeout}")))
            }
        }
    }

    async fn take_within(&self, run: &mut Run) -> Result<(Token, bool), Outcome> {
        let mut kept = self.kept.lock().await;
        if let Some(token) = kept.token.as_ref().filter(|token| token.is_good(Instant::now())) {
            return Ok((token.clone(), false));
        }
        kept.token = None;
        let asked = Instant::now();
        // Where the known way fails, the next probe tries both again.
        let style = kept.style.take();
        let (granted, style) = self.endpoint.ask(run, style).await?;
        let token = Token::of(granted, asked);
        kept.style = Some(style);
        kept.token = Some(token.clone());
        Ok((token, true))
    }

    /// Forgets the token that the target does not accept: the next probe fetches another.
    pub(super) fn forget(&self, refused: Option<&HeaderValue>) {
        // Whoever holds the lock fetches another one anyway.
        if let Ok(mut kept) = self.kept.try_lock()
            && kept.token.as_ref().map(|token| &token.header) == refused
        {
            kept.token = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_is_good_until_ten_seconds_before_it_expires() {
        let token = |secs: Option<u64>| {
            let expires_in = secs.map(Duration::from_secs);
            let granted = Granted { header: HeaderValue::from_static("a"), secret: "a".into(), expires_in };
            Token::of(granted, Instant::now())
        };
        let tokens = [token(Some(60)), token(Some(11)), token(Some(10)), token(Some(0)), token(None)];
        for (after, good) in [(0, [true, true, false, false, false]), (1, [true, false, false, false, false])] {
            tokio::time::advance(Duration::from_secs(after)).await;
            assert_eq!(tokens.each_ref().map(|token| token.is_good(Instant::now())), good, "{after}");
        }
        tokio::time::advance(Duration::from_secs(49)).await;
        assert!(!tokens[0].is_good(Instant::now()));
    }
}
