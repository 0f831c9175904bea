//! Kind `oidc`: an identity provider says where its endpoints are, as itself, and its keys are there (OpenID Connect
//! Discovery 1.0 section 4, RFC 8414 section 3); with a client and a user somebody signs in to it.

mod code_flow;
mod form;
mod id_token;

use std::fmt;
use std::time::Duration;

use kit::config::Fields;
use monitor::probe::{Api, Call, Cookies, Facts, Outcome, ReasonCode, Run, Scope, Steps, Target};
use serde_json::Value as Json;
use url::Url;

use super::walk::Walk;
use super::{Means, decode_budget, jwks};
use crate::answer::{good, text};
use code_flow::{CodeFlow, Shown};

/// Without a client the first two.
const STEPS: [&str; 9] =
    ["discovery", "keys", "sign-in", "wrong-verifier", "no-verifier", "sign-in-again", "token", "id-token", "old-code"];
const DISCOVERY: &str = "/.well-known/openid-configuration";

pub(super) struct Oidc {
    api: Api,
    issuer: String,
    budget: Duration,
    code_flow: Option<CodeFlow>,
}

impl fmt::Debug for Oidc {
    /// Without whoever signs in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Oidc").field(&self.issuer).finish()
    }
}

/// What a provider says of itself.
struct Provider {
    issuer: String,
    authorization: Url,
    token: Url,
    keys: Url,
    /// Whether clients may show their secret as HTTP has it, which they may if nothing else is said.
    takes_basic: bool,
    /// Whether it says who it is when it sends a browser back (RFC 9207 section 3).
    names_itself: bool,
}

impl Walk for Oidc {
    const NAME: &'static str = "oidc";

    fn decode(fields: &Fields<'_>, _means: &Means) -> Option<Self> {
        let issuer = fields.get("url").and_then(|c| c.text());
        let (api, budget, code_flow) = (Api::decode(fields), decode_budget(fields), CodeFlow::decode(fields));
        Some(Self { api: api?, issuer: issuer?, budget: budget?, code_flow: code_flow? })
    }

    fn target(&self) -> Target {
        self.api.target()
    }

    async fn walk(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let count = if self.code_flow.is_some() { STEPS.len() } else { 2 };
        let mut steps = Steps::begin(run, STEPS.into_iter().take(count)).within(self.budget);
        _ = self.go(&mut steps).await;
        steps.end()
    }
}

impl Oidc {
    async fn go(&self, steps: &mut Steps<'_>) -> Option<()> {
        let api = &self.api;
        let discover = async |run: &mut Run| {
            let answer = api.call(run, &Call::get(DISCOVERY)).await?;
            Provider::read(good(&answer, &[200])?, &self.issuer)
        };
        let provider = steps.take("discovery", discover).await?;
        let read = async |run: &mut Run| {
            let answer = api.call(run, &Call::get_url(provider.keys.clone())).await?;
            let keys = good(&answer, &[200])?;
            jwks::public_keys(keys).map(|_ids| keys.clone())
        };
        let keys = steps.take("keys", read).await?;
        let flow = self.code_flow.as_ref()?;
        let mut cookies = Cookies::default();
        let sign_in = async |run: &mut Run| flow.sign_in(run, api, &provider, &mut cookies).await;
        let first = steps.take("sign-in", sign_in).await?;
        let other = async |run: &mut Run| flow.refuses(run, api, &provider, &first, Shown::WithOtherVerifier).await;
        steps.take("wrong-verifier", other).await?;
        let none = async |run: &mut Run| {
            let second = flow.sign_in(run, api, &provider, &mut cookies).await?;
            flow.refuses(run, api, &provider, &second, Shown::WithoutVerifier).await
        };
        steps.take("no-verifier", none).await?;
        let sign_in = async |run: &mut Run| flow.sign_in(run, api, &provider, &mut cookies).await;
        let granted = steps.take("sign-in-again", sign_in).await?;
        let take = async |run: &mut Run| flow.take_tokens(run, api, &provider, &granted).await;
        let token = steps.take("token", take).await?;
        steps.take("id-token", async |_| flow.verify(&token, &keys, &provider, &granted)).await?;
        let again = async |run: &mut Run| flow.refuses(run, api, &provider, &granted, Shown::Again).await;
        steps.take("old-code", again).await
    }
}

impl Provider {
    /// Reads what a provider says of itself, which must be whole (OpenID Connect Discovery 1.0 section 3).
    fn read(json: &Json, asked: &str) -> Result<Self, Outcome> {
        let issuer = text(json, "issuer")?;
        if issuer != asked {
            let text = format!("the issuer is {issuer}, and {asked} was asked: its tokens would be refused");
            return Err(Outcome::fail(ReasonCode::Json, text));
        }
        let methods = json.get("token_endpoint_auth_methods_supported").and_then(Json::as_array);
        Ok(Self {
            issuer: issuer.to_owned(),
            authorization: endpoint(json, "authorization_endpoint")?,
            token: endpoint(json, "token_endpoint")?,
            keys: endpoint(json, "jwks_uri")?,
            takes_basic: methods.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic")),
            names_itself: json.get("authorization_response_iss_parameter_supported") == Some(&Json::Bool(true)),
        })
    }

    /// Checks that a page is where the provider is, so that nobody else is given a password.
    fn check_its_own(&self, url: &Url) -> Result<(), Outcome> {
        let is_of = |known: &Url| known.origin() == url.origin();
        let is_its = is_of(&self.authorization) || Url::parse(&self.issuer).is_ok_and(|issuer| is_of(&issuer));
        if is_its && is_encrypted(url) {
            return Ok(());
        }
        let text = format!(
            "the way leads to {}, which is neither the provider nor the client",
            url.origin().ascii_serialization()
        );
        Err(Outcome::fail(ReasonCode::Redirects, text))
    }
}

fn endpoint(json: &Json, name: &str) -> Result<Url, Outcome> {
    let wrong = |why: String| Outcome::fail(ReasonCode::Json, why);
    let written = text(json, name)?;
    let url = Url::parse(written).map_err(|_| wrong(format!("{name} is {written:?}, which is no URL")))?;
    if is_encrypted(&url) {
        return Ok(url);
    }
    Err(wrong(format!("{name} is {written}, which is neither https nor on this machine")))
}

/// True if nobody on the way can read along.
fn is_encrypted(url: &Url) -> bool {
    let is_local = url.host_str().is_some_and(|host| Scope::of_host(host) == Scope::Local);
    url.scheme() == "https" || (url.scheme() == "http" && is_local)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_provider_is_who_was_asked_and_its_endpoints_are_encrypted() {
        let whole = json!({ "issuer": "https://id.example.com", "authorization_endpoint": "https://id.example.com/a",
            "token_endpoint": "https://id.example.com/t", "jwks_uri": "https://id.example.com/k" });
        let with = |name: &str, value: &str| {
            let mut changed = whole.clone();
            changed[name] = json!(value);
            changed
        };
        for (json, said) in [
            (whole.clone(), "https://id.example.com/k"),
            (with("jwks_uri", "http://127.0.0.1:1/k"), "http://127.0.0.1:1/k"),
            (
                with("issuer", "https://id.example.com/"),
                "the issuer is https://id.example.com/, and https://id.example.com was asked: its tokens would be refused",
            ),
            (
                with("token_endpoint", "http://id.example.com/t"),
                "token_endpoint is http://id.example.com/t, which is neither https nor on this machine",
            ),
            (
                with("jwks_uri", ""),
                "json jwks_uri is missing; there are authorization_endpoint, issuer, jwks_uri, token_endpoint",
            ),
        ] {
            let found = match Provider::read(&json, "https://id.example.com") {
                Ok(provider) => provider.keys.to_string(),
                Err(Outcome::Fail(reason)) => reason.text,
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(found, said);
        }
    }
}
