//! Signing in to a provider as a browser does, through the forms that it shows, until it sends the browser back with a
//! code; and what a client does with that code (OpenID Connect Core 1.0 section 3.1, RFC 6749 section 4.1, RFC 7636).

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use http::HeaderValue;
use http::header::ORIGIN;
use kit::config::{Cursor, Fields};
use monitor::probe::{Answer, Api, Call, Cookies, Outcome, ReasonCode, Run};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use url::Url;

use super::Provider;
use super::form::{Asks, Form, Page};
use super::id_token::{Expected, verify};
use crate::account::Credentials;
use crate::answer::{good, refused, text, wrong_status};
use crate::kinds::user;

/// Pages and redirects from the first request to the client's own address, at most: a name, a password and a consent, each
/// with redirects around it.
const MOST_PAGES: usize = 12;
/// What is asked for if nothing else is said.
const SCOPE: &str = "openid";

/// Why a page is not gone on from.
const AGAIN: &str = "asks again: the provider does not take the account's name and password";
const MORE: &str =
    "asks for more than a name and a password (a second factor?); let an account sign in that has no more";

/// A client of the provider, and somebody who signs in to it.
pub(super) struct CodeFlow {
    client: Client,
    user: Credentials,
}

struct Client {
    id: String,
    secret: Option<SecretString>,
    /// Where the provider sends the browser back; nobody asks there, the code stays here.
    redirect: Url,
    scope: String,
}

/// What one try to sign in is told apart by; nobody can guess it.
struct Secrets {
    state: String,
    nonce: String,
    verifier: String,
}

/// How a code is shown that must be refused.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shown {
    /// It was used.
    Again,
    /// With a verifier that is another sign-in's.
    WithOtherVerifier,
    /// With none.
    WithoutVerifier,
}

/// What the provider gave a browser for its client.
pub(super) struct Granted {
    code: String,
    secrets: Secrets,
}

impl CodeFlow {
    /// Decodes `client: { id, secret, redirect_url, scope }` and `user`; without them nobody signs in. The outer `None`
    /// is a mistake.
    pub(super) fn decode(fields: &Fields<'_>) -> Option<Option<Self>> {
        let client = fields.get("client").map_or(Some(None), |cursor| Client::decode(&cursor).map(Some));
        let user = user::decode(fields);
        match (client?, user?) {
            (None, None) => Some(None),
            (Some(client), Some(user)) => Some(Some(Self { client, user })),
            (Some(_), None) => {
                fields.cursor().mistake("a client is there to sign in to; write user: { email, password_file } too");
                None
            }
            (None, Some(_)) => {
                fields.cursor().mistake("a user signs in to a client; write client: { id, redirect_url } too");
                None
            }
        }
    }

    /// Signs in, or is still signed in by the cookies, and returns with a code.
    pub(super) async fn sign_in(
        &self,
        run: &mut Run,
        api: &Api,
        provider: &Provider,
        cookies: &mut Cookies,
    ) -> Result<Granted, Outcome> {
        let secrets = Secrets::new();
        let mut here = self.first_page(provider, &secrets);
        let mut call = Call::get_url(here.clone());
        let (mut has_given_name, mut has_given_password) = (false, false);
        for _ in 0..MOST_PAGES {
            let answer = api.call_with(run, &call, cookies).await?;
            if let Some(to) = leads_to(&answer, &here)? {
                if self.client.is_back_at(&to) {
                    let code = code_in(&to, provider, &secrets)?;
                    return Ok(Granted { code, secrets });
                }
                provider.check_its_own(&to)?;
                // A browser sends what it sent again only where it is told so (RFC 9110 section 15.4).
                call = if matches!(answer.status, 307 | 308) { call.to(to.clone()) } else { Call::get_url(to.clone()) };
                here = to;
                continue;
            }
            let page = Page::read(&answer.body);
            if answer.status != 200 {
                return Err(no_page(&answer, &page));
            }
            let Some((form, asks)) = page.way_on() else {
                let text = format!("the page {:?} has no form to sign in with", page.title);
                return Err(Outcome::fail(ReasonCode::Protocol, text));
            };
            let why_not = match asks {
                Asks::Password => std::mem::replace(&mut has_given_password, true).then_some(AGAIN),
                Asks::Name if has_given_password => Some(MORE),
                Asks::Name => std::mem::replace(&mut has_given_name, true).then_some(AGAIN),
                Asks::Consent => None,
            };
            if let Some(why) = why_not {
                return Err(Outcome::fail(ReasonCode::Auth, format!("the page {:?} {why}", page.title)));
            }
            (here, call) = self.fill_in(form, &here, provider)?;
        }
        Err(Outcome::fail(ReasonCode::Redirects, format!("not back at the client after {MOST_PAGES} pages")))
    }

    /// Shows a code, which must be refused: it was used (RFC 6749 section 4.1.2), or is shown with another verifier than
    /// its own, or with none (RFC 7636 section 4.6). It may be spent by that.
    pub(super) async fn refuses(
        &self,
        run: &mut Run,
        api: &Api,
        provider: &Provider,
        granted: &Granted,
        shown: Shown,
    ) -> Result<(), Outcome> {
        let other = Secrets::new().verifier;
        let verifier = match shown {
            Shown::Again => Some(&granted.secrets.verifier),
            Shown::WithOtherVerifier => Some(&other),
            Shown::WithoutVerifier => None,
        };
        refused(&api.call(run, &self.exchange(provider, &granted.code, verifier)).await?, 400)
    }

    /// Takes tokens for a code, and returns the one that says who signed in.
    pub(super) async fn take_tokens(
        &self,
        run: &mut Run,
        api: &Api,
        provider: &Provider,
        granted: &Granted,
    ) -> Result<String, Outcome> {
        let answer = api.call(run, &self.exchange(provider, &granted.code, Some(&granted.secrets.verifier))).await?;
        let json = good(&answer, &[200])?;
        text(json, "access_token")?;
        let kind = text(json, "token_type")?;
        if !kind.eq_ignore_ascii_case("bearer") {
            return Err(Outcome::fail(ReasonCode::Json, format!("json token_type is {kind:?}, expected \"Bearer\"")));
        }
        Ok(text(json, "id_token")?.to_owned())
    }

    /// Checks the token that says who signed in.
    pub(super) fn verify(
        &self,
        token: &str,
        keys: &Json,
        provider: &Provider,
        granted: &Granted,
    ) -> Result<(), Outcome> {
        let (issuer, client) = (provider.issuer.as_str(), self.client.id.as_str());
        verify(token, keys, &Expected { issuer, client, nonce: &granted.secrets.nonce })
    }

    fn first_page(&self, provider: &Provider, secrets: &Secrets) -> Url {
        let challenge = BASE64URL_NOPAD.encode(digest(&SHA256, secrets.verifier.as_bytes()).as_ref());
        let mut url = provider.authorization.clone();
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", &self.client.id),
            ("redirect_uri", self.client.redirect.as_str()),
            ("scope", &self.client.scope),
            ("state", &secrets.state),
            ("nonce", &secrets.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        url
    }

    fn fill_in(&self, form: &Form, here: &Url, provider: &Provider) -> Result<(Url, Call), Outcome> {
        let to = if form.action.is_empty() { here.clone() } else { join(here, &form.action)? };
        provider.check_its_own(&to)?;
        // As a browser says where a form stands (HTML, "Form submission"); what guards against other sites' forms looks at it.
        let origin = HeaderValue::try_from(here.origin().ascii_serialization());
        let origin = origin.map_err(|_| Outcome::fail(ReasonCode::Redirects, "the page's own address is not ASCII"))?;
        Ok((to.clone(), Call::submit(to, form.filled_in(&self.user)).with(ORIGIN, origin)))
    }

    fn exchange(&self, provider: &Provider, code: &str, verifier: Option<&String>) -> Call {
        let mut form =
            vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", self.client.redirect.as_str())];
        form.extend(verifier.map(|verifier| ("code_verifier", verifier.as_str())));
        let id = self.client.id.as_str();
        let to = provider.token.clone();
        match self.client.secret.as_ref().map(ExposeSecret::expose_secret) {
            Some(secret) if provider.takes_basic => return Call::submit(to, form).client(id, secret),
            Some(secret) => form.extend([("client_id", id), ("client_secret", secret)]),
            None => form.push(("client_id", id)),
        }
        Call::submit(to, form)
    }
}

impl Client {
    fn decode(cursor: &Cursor<'_>) -> Option<Self> {
        let mistakes = cursor.mistakes_so_far();
        let fields = cursor.fields()?;
        let id = fields.require("id").and_then(|c| c.text());
        let secret = fields.secret("secret", "secret_file").filter(|secret| !secret.expose_secret().is_empty());
        let redirect = fields.require("redirect_url").and_then(|c| decode_redirect(&c));
        let scope = fields.get("scope").map_or_else(|| Some(SCOPE.to_owned()), |c| decode_scope(&c));
        fields.end();
        let (id, redirect, scope) = (id?, redirect?, scope?);
        (cursor.mistakes_so_far() == mistakes).then_some(Self { id, secret, redirect, scope })
    }

    fn is_back_at(&self, url: &Url) -> bool {
        let bare = |url: &Url| {
            let mut bare = url.clone();
            bare.set_query(None);
            bare.set_fragment(None);
            bare
        };
        bare(url) == bare(&self.redirect)
    }
}

impl Secrets {
    fn new() -> Self {
        // RFC 7636 section 4.1 asks for 43 to 128 characters; 32 bytes are 43.
        let random = || BASE64URL_NOPAD.encode(&rand::random::<[u8; 32]>());
        Self { state: random(), nonce: random(), verifier: random() }
    }
}

fn decode_redirect(cursor: &Cursor<'_>) -> Option<Url> {
    let url = Url::parse(&cursor.text()?).ok().filter(|url| url.fragment().is_none());
    if url.is_none() {
        let shown = cursor.node().shown();
        cursor.mistake(format!("{shown} is not where a client is; write it like https://app.example.com/callback"));
    }
    url
}

fn decode_scope(cursor: &Cursor<'_>) -> Option<String> {
    let scope = cursor.text()?;
    if !scope.split(' ').any(|word| word == SCOPE) {
        cursor.mistake(format!(
            "{} lacks {SCOPE:?}: without it the provider does not say who signed in",
            cursor.node().shown()
        ));
        return None;
    }
    Some(scope)
}

/// Returns where an answer redirects to, if it does.
fn leads_to(answer: &Answer, here: &Url) -> Result<Option<Url>, Outcome> {
    if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = answer.headers.iter().find(|(name, _)| name == "location").map(|(_, value)| value.as_str());
    let missing = || Outcome::fail(ReasonCode::Redirects, format!("status {} without a location", answer.status));
    join(here, location.ok_or_else(missing)?).map(Some)
}

fn join(here: &Url, to: &str) -> Result<Url, Outcome> {
    let wrong = |_| Outcome::fail(ReasonCode::Redirects, "the way on is not a URL");
    here.join(to).map_err(wrong)
}

/// Returns the code that the provider sent to the client.
fn code_in(url: &Url, provider: &Provider, secrets: &Secrets) -> Result<String, Outcome> {
    let value = |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
    let wrong = |why: String| Err(Outcome::fail(ReasonCode::Rejected, why));
    if value("state").as_deref() != Some(&*secrets.state) {
        return wrong("the provider answers another request than ours: its state is another one".to_owned());
    }
    // RFC 9207 section 2.4.
    match value("iss") {
        Some(issuer) if issuer != provider.issuer => {
            return wrong("the answer to the client is another issuer's".to_owned());
        }
        None if provider.names_itself => {
            return wrong("the answer to the client lacks iss, which the provider promises".to_owned());
        }
        _ => {}
    }
    if let Some(error) = value("error") {
        let more = value("error_description").map(|more| format!(": {more}")).unwrap_or_default();
        let said: String = format!("{error}{more}").chars().take(200).collect();
        return wrong(format!("the provider sends the browser back with an error: {said}"));
    }
    value("code").filter(|code| !code.is_empty()).map_or_else(|| wrong("the provider gives no code".to_owned()), Ok)
}

fn no_page(answer: &Answer, page: &Page) -> Outcome {
    if page.title.is_empty() {
        return wrong_status(answer, &[200]);
    }
    Outcome::fail(ReasonCode::Status, format!("status {}, expected 200: the page {:?}", answer.status, page.title))
}
