//! Kind `oidc`: an identity provider says where its endpoints are, as itself, and its keys are there (OpenID Connect
//! Discovery 1.0 section 4, RFC 8414 section 3). Signing in to it is a journey: its forms are its own.

use std::time::Duration;

use kit::config::Fields;
use monitor::probe::{Api, Call, Facts, Outcome, ReasonCode, Run, Scope, Steps, Target};
use serde_json::Value as Json;
use url::Url;

use super::walk::Walk;
use super::{Means, decode_budget, jwks};
use crate::answer::{good, text};

const STEPS: [&str; 2] = ["discovery", "keys"];
const DISCOVERY: &str = "/.well-known/openid-configuration";

#[derive(Debug)]
pub(super) struct Oidc {
    api: Api,
    issuer: String,
    budget: Duration,
}

impl Walk for Oidc {
    const NAME: &'static str = "oidc";

    fn decode(fields: &Fields<'_>, _means: &Means) -> Option<Self> {
        let issuer = fields.get("url").and_then(|c| c.text());
        let (api, budget) = (Api::decode(fields), decode_budget(fields));
        Some(Self { api: api?, issuer: issuer?, budget: budget? })
    }

    fn target(&self) -> Target {
        self.api.target()
    }

    async fn walk(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let mut steps = Steps::begin(run, STEPS).within(self.budget);
        let discover = async |run: &mut Run| {
            let answer = self.api.call(run, &Call::get(DISCOVERY)).await?;
            judge(good(&answer, &[200])?, &self.issuer)
        };
        if let Some(keys) = steps.take("discovery", discover).await {
            let read = async |run: &mut Run| {
                let answer = self.api.get_url(run, keys).await?;
                jwks::public_keys(good(&answer, &[200])?)
            };
            steps.take("keys", read).await;
        }
        steps.end()
    }
}

/// Returns where the keys are, if a provider describes itself as it must (OpenID Connect Discovery 1.0 section 3).
fn judge(json: &Json, asked: &str) -> Result<Url, Outcome> {
    let issuer = text(json, "issuer")?;
    if issuer != asked {
        let text = format!("the issuer is {issuer}, and {asked} was asked: its tokens would be refused");
        return Err(Outcome::fail(ReasonCode::Json, text));
    }
    endpoint(json, "authorization_endpoint")?;
    endpoint(json, "token_endpoint")?;
    endpoint(json, "jwks_uri")
}

fn endpoint(json: &Json, name: &str) -> Result<Url, Outcome> {
    let wrong = |why: String| Outcome::fail(ReasonCode::Json, why);
    let written = text(json, name)?;
    let url = Url::parse(written).map_err(|_| wrong(format!("{name} is {written:?}, which is no URL")))?;
    let is_local = url.host_str().is_some_and(|host| Scope::of_host(host) == Scope::Local);
    if url.scheme() == "https" || (url.scheme() == "http" && is_local) {
        return Ok(url);
    }
    Err(wrong(format!("{name} is {written}, which is neither https nor on this machine")))
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
            let found = match judge(&json, "https://id.example.com") {
                Ok(url) => url.to_string(),
                Err(Outcome::Fail(reason)) => reason.text,
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(found, said);
        }
    }
}
