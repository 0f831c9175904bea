//! Kind `jwks`: the keys that access tokens are verified with are there, are public, and are those that sign (RFC 7517).

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use kit::clock::elapsed;
use kit::config::{Cursor, show_duration};
use monitor::Kind;
use monitor::probe::{Call, Expectation, Facts, Outcome, Probe, ReasonCode, Run, Steps, Target};
use serde_json::Value as Json;

use super::{Means, decode_budget};
use crate::answer::{good, text};
use crate::sightings::Sightings;
use crate::site::{Site, decode_path};
use crate::token::header_of;

pub(super) const NAME: &str = "jwks";
/// Where services put them (RFC 8615, and by custom).
const KEYS: &str = "/.well-known/jwks.json";
/// Which are left out, the settings say.
const STEPS: [&str; 5] = ["keys", "rotation", "register", "signer", "delete"];
/// What can be asked of keys.
const ROTATION: RangeInclusive<Duration> = Duration::from_secs(3600)..=Duration::from_secs(10 * 365 * 86_400);
/// Members that only the owner of a key may know (RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

pub(super) struct Jwks(pub(super) Means);

impl Kind for Jwks {
    fn name(&self) -> &'static str {
        NAME
    }

    // They belong to the steps.
    fn expectations(&self) -> &'static [Expectation] {
        &[]
    }

    fn decode(&self, settings: &Cursor<'_>) -> Option<Arc<dyn Probe>> {
        let fields = settings.fields()?;
        let site = Site::decode(&fields, &self.0);
        let keys = fields.get("keys").map_or_else(|| Some(KEYS.to_owned()), |c| decode_path(&c));
        let account = fields.get("account").map_or(Some(false), |c| c.bool());
        let rotates_within = fields.get("rotates_within").map_or(Some(None), |c| c.duration(ROTATION).map(Some));
        let budget = decode_budget(&fields);
        fields.end();
        Some(Arc::new(JwksProbe {
            site: site?,
            keys: keys?,
            has_account: account?,
            rotates_within: rotates_within?,
            sightings: self.0.sightings.clone(),
            budget: budget?,
        }))
    }
}

#[derive(Debug)]
struct JwksProbe {
    site: Site,
    keys: String,
    /// Whether an account of its own shows which key signs.
    has_account: bool,
    /// Longest time without a new key.
    rotates_within: Option<Duration>,
    sightings: Sightings,
    budget: Duration,
}

impl Probe for JwksProbe {
    fn target(&self) -> Target {
        self.site.target()
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        self.walk(run).boxed()
    }
}

impl JwksProbe {
    async fn walk(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let site = &self.site;
        if self.has_account {
            site.sweep(run).await;
        }
        let left_out = |name: &&str| match *name {
            "rotation" => self.rotates_within.is_none(),
            "register" | "signer" | "delete" => !self.has_account,
            _ => false,
        };
        let names = STEPS.into_iter().filter(|name| !left_out(name));
        let mut steps = Steps::begin(run, names).within(self.budget).keeping_time_to_clean();
        let Some(known) = steps.take("keys", async |run| key_ids(&self.site, run, &self.keys).await).await else {
            return steps.end();
        };
        if let Some(longest) = self.rotates_within {
            let rotation = async |run: &mut Run| self.rotate(&run.check.to_string(), &known, longest).await;
            if steps.take("rotation", rotation).await.is_none() {
                return steps.end();
            }
        }
        if !self.has_account {
            return steps.end();
        }
        let made = steps.take("register", async |run| site.register(run, &[200, 201]).await).await;
        if let Some(mut made) = made {
            let signer = async |run: &mut Run| signed_by(&site.access(run, &mut made).await?, &known);
            steps.take("signer", signer).await;
            steps.clean("delete", async |run| site.delete(run, &made).await).await;
        }
        steps.end()
    }
}

impl JwksProbe {
    /// There must be a key that is not older than that.
    async fn rotate(&self, check: &str, known: &[String], longest: Duration) -> Result<(), Outcome> {
        let now = Timestamp::now();
        let newest = self.sightings.note(check, known, now).await;
        let newest = newest.map_err(|error| Outcome::local(format!("what was seen cannot be kept: {error}")))?;
        let age = elapsed(newest, now);
        if age <= longest {
            return Ok(());
        }
        let (age, longest) = (show_duration(age), show_duration(longest));
        let text = format!("no new key for {age}: keys should follow one another within {longest}");
        Err(Outcome::fail(ReasonCode::Json, text))
    }
}

async fn key_ids(site: &Site, run: &mut Run, path: &str) -> Result<Vec<String>, Outcome> {
    let answer = site.call(run, Call::get(path)).await?;
    public_keys(good(&answer, &[200])?)
}

/// Returns the ids of a set's keys, each of which must be whole and public.
pub(super) fn public_keys(json: &Json) -> Result<Vec<String>, Outcome> {
    let wrong = |why: String| Outcome::fail(ReasonCode::Json, why);
    let keys = json.get("keys").and_then(Json::as_array).filter(|keys| !keys.is_empty());
    let keys = keys.ok_or_else(|| wrong("json keys is missing or empty: no token can be verified".to_owned()))?;
    let mut ids = Vec::new();
    for key in keys {
        let (id, alg) = (text(key, "kid")?, text(key, "alg")?);
        text(key, "kty")?;
        if alg.eq_ignore_ascii_case("none") {
            return Err(wrong(format!("key {id:?} is for alg none")));
        }
        if let Some(member) = PRIVATE.into_iter().find(|member| key.get(member).is_some()) {
            return Err(wrong(format!("key {id:?} shows {member:?}, which is private: anybody can sign with it")));
        }
        if ids.iter().any(|known| known == id) {
            return Err(wrong(format!("two keys have the id {id:?}")));
        }
        ids.push(id.to_owned());
    }
    Ok(ids)
}

fn signed_by(access: &str, known: &[String]) -> Result<(), Outcome> {
    let kid = header_of(access).and_then(|header| header.get("kid")?.as_str().map(str::to_owned));
    let wrong = |why: String| Err(Outcome::fail(ReasonCode::Json, why));
    match kid {
        Some(kid) if known.contains(&kid) => Ok(()),
        Some(kid) => {
            wrong(format!("the access token is signed by key {kid:?}, which is not among {}", known.join(", ")))
        }
        None => wrong("the access token does not say which key signed it (kid)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_whole_public_and_told_apart() {
        let key = |more: Json| {
            let mut key = json!({ "kty": "EC", "kid": "a", "alg": "ES256", "x": "1", "y": "2" });
            more.as_object().unwrap().iter().for_each(|(name, value)| key[name] = value.clone());
            key
        };
        for (keys, said) in [
            (json!([key(json!({})), key(json!({ "kid": "b" }))]), "a b"),
            (json!([]), "json keys is missing or empty: no token can be verified"),
            (json!([key(json!({ "d": "3" }))]), "key \"a\" shows \"d\", which is private: anybody can sign with it"),
            (
                json!([key(json!({ "kty": "oct", "k": "3" }))]),
                "key \"a\" shows \"k\", which is private: anybody can sign with it",
            ),
            (json!([key(json!({})), key(json!({}))]), "two keys have the id \"a\""),
            (json!([key(json!({ "alg": "none" }))]), "key \"a\" is for alg none"),
            (json!([key(json!({ "kid": "" }))]), "json kid is missing; there are alg, kid, kty, x, y"),
        ] {
            let found = match public_keys(&json!({ "keys": keys })) {
                Ok(ids) => ids.join(" "),
                Err(Outcome::Fail(reason)) => reason.text,
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(found, said);
        }
    }
}
