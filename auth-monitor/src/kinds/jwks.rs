//! Kind `jwks`: the keys that access tokens are verified with are there, are public, and are those that sign (RFC 7517).

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::elapsed;
use kit::config::{Fields, show_duration};
use monitor::probe::{Call, Facts, Outcome, ReasonCode, Run, Steps, Target};
use serde_json::Value as Json;

use super::walk::Walk;
use super::{Means, decode_budget};
use crate::answer::{good, text};
use crate::sightings::Sightings;
use crate::site::{Made, REGISTERED, Site, decode_path};
use crate::token::header_of;

/// Where services put them (RFC 8615, and by custom).
const KEYS: &str = "/.well-known/jwks.json";
/// Which are left out, the settings say.
const STEPS: [&str; 5] = ["keys", "rotation", "register", "signer", "delete"];
/// What can be asked of keys.
const ROTATION: RangeInclusive<Duration> = Duration::from_secs(3600)..=Duration::from_secs(10 * 365 * 86_400);
/// Members that only the owner of a key may know (RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

#[derive(Debug)]
pub(super) struct Jwks {
    site: Site,
    keys: String,
    /// Whether an account of its own shows which key signs.
    has_account: bool,
    /// Whether it is a fault that no key is published.
    is_required: bool,
    /// Longest time without a new key.
    rotates_within: Option<Duration>,
    sightings: Sightings,
    budget: Duration,
}

impl Walk for Jwks {
    const NAME: &'static str = "jwks";

    fn decode(fields: &Fields<'_>, means: &Means) -> Option<Self> {
        let site = Site::decode(fields, means);
        let keys = fields.get("keys").map_or_else(|| Some(KEYS.to_owned()), |c| decode_path(&c));
        let account = fields.get("account").map_or(Some(false), |c| c.bool());
        let required = fields.get("required").map_or(Some(true), |c| c.bool());
        let rotates_within = fields.get("rotates_within").map_or(Some(None), |c| c.duration(ROTATION).map(Some));
        let budget = decode_budget(fields);
        Some(Self {
            site: site?,
            keys: keys?,
            has_account: account?,
            is_required: required?,
            rotates_within: rotates_within?,
            sightings: means.sightings.clone(),
            budget: budget?,
        })
    }

    fn target(&self) -> Target {
        self.site.target()
    }

    async fn walk(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let left_out = |name: &&str| match *name {
            "rotation" => self.rotates_within.is_none(),
            "register" | "signer" | "delete" => !self.has_account,
            _ => false,
        };
        let names = STEPS.into_iter().filter(|name| !left_out(name));
        let steps = if self.has_account { self.site.begin(run, names).await } else { Steps::begin(run, names) };
        let mut steps = steps.within(self.budget);
        _ = self.judge(&mut steps).await;
        steps.end()
    }
}

impl Jwks {
    async fn judge(&self, steps: &mut Steps<'_>) -> Option<()> {
        let known = steps.take("keys", async |run| self.key_ids(run).await).await??;
        if let Some(longest) = self.rotates_within {
            let rotation = async |run: &mut Run| self.rotate(&run.check.to_string(), &known, longest).await;
            steps.take("rotation", rotation).await?;
        }
        if self.has_account {
            let register = async |run: &mut Run| self.site.register(run, &REGISTERED).await;
            let go_on = async |steps: &mut Steps<'_>, made: &mut Made| {
                let signer = async |run: &mut Run| signed_by(&self.site.access(run, made).await?, &known);
                steps.take("signer", signer).await
            };
            self.site.with_account(steps, register, go_on).await;
        }
        Some(())
    }

    /// Returns none where there need be none, and are none.
    async fn key_ids(&self, run: &mut Run) -> Result<Option<Vec<String>>, Outcome> {
        let answer = self.site.call(run, Call::get(&*self.keys)).await?;
        let set = good(&answer, &[200])?;
        if !self.is_required && set.get("keys").and_then(Json::as_array).is_some_and(Vec::is_empty) {
            run.seen.note = Some("no key is published: there is nothing to check".to_owned());
            return Ok(None);
        }
        public_keys(set).map(Some)
    }

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

/// Returns the ids of a set's keys, each of which must be whole and public.
pub(super) fn public_keys(json: &Json) -> Result<Vec<String>, Outcome> {
    let wrong = |why: String| Outcome::fail(ReasonCode::Json, why);
    let keys = json.get("keys").and_then(Json::as_array).filter(|keys| !keys.is_empty());
    let keys = keys.ok_or_else(|| wrong("json keys is missing or empty: no token can be verified".to_owned()))?;
    let mut ids = Vec::new();
    for key in keys {
        let id = text(key, "kid")?;
        text(key, "kty")?;
        // Who leaves it out lets the key's type say it (RFC 7517 section 4.4).
        if key.get("alg").and_then(Json::as_str).is_some_and(|alg| alg.eq_ignore_ascii_case("none")) {
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
