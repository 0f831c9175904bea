//! A platform that people sign in to, as a person uses it: one method a request, each with what its answer must be.

use std::fmt;

use http::Method;
use jiff::Timestamp;
use kit::config::{Cursor, Fields};
use kit::http::API_KEY;
use monitor::probe::{Answer, Api, Call, Outcome, ReasonCode, Run, Steps, Target};
use secrecy::ExposeSecret;
use serde_json::{Value as Json, json};
use tokio::time::{Instant, timeout_at};

use crate::account::Credentials;
use crate::answer::{good, refused, text, wrong_status};
use crate::kinds::Means;
use crate::ledger::InUse;

/// Below which path a platform of ours has its sign-in.
const PATH: &str = "/auth";
/// Accounts of earlier runs that one run deletes, at most: it has other things to do.
const SWEPT_AT_ONCE: usize = 3;
/// While so many accounts of earlier runs cannot be deleted no more are made.
const MOST_LEFT: usize = 10;
/// What a registration is answered with, if nothing else is said.
pub(crate) const REGISTERED: [u16; 2] = [200, 201];
/// What part of a run's time the accounts of earlier runs get, at most: a fifth.
const SHARE_FOR_SWEEPING: u32 = 5;

/// A configured platform.
pub(crate) struct Site {
    api: Api,
    path: String,
    profile: String,
    has_key: bool,
    means: Means,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Site").field(&self.api).finish()
    }
}

/// What a login gives.
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    /// Whose they are, if the answer says so.
    id: Option<String>,
}

/// An account that was made, and is in the ledger.
pub(crate) struct Made {
    kept: InUse,
    /// What the registration answered.
    pub(crate) answer: Json,
    tokens: Option<Tokens>,
}

impl Made {
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.kept.account.credentials
    }
}

impl Site {
    /// Decodes `url` and how it is asked (as kind `http`), `api_key`, `path` and `profile`.
    pub(crate) fn decode(fields: &Fields<'_>, means: &Means) -> Option<Self> {
        let api = Api::decode(fields);
        let key = fields.secret("api_key", "api_key_file");
        let path = fields.get("path").map_or_else(|| Some(PATH.to_owned()), |c| decode_path(&c));
        let profile = fields.get("profile").map(|c| decode_path(&c));
        let (mut api, path) = (api?, path?);
        // Set to nothing it is as if it were not set.
        let key = key.filter(|key| !key.expose_secret().is_empty());
        let has_key = key.is_some();
        if key.is_some_and(|key| !api.show_with_each(API_KEY, &key)) {
            fields.cursor().mistake("the API key holds characters that a header cannot carry");
            return None;
        }
        let profile = profile.unwrap_or_else(|| Some(format!("{path}/me")))?;
        Some(Self { api, path, profile, has_key, means: means.clone() })
    }

    /// True if services' key goes with every request.
    pub(crate) fn has_key(&self) -> bool {
        self.has_key
    }

    /// What is asked, for people.
    pub(crate) fn target(&self) -> Target {
        self.api.target()
    }

    /// Asks anything.
    pub(crate) async fn call(&self, run: &mut Run, call: Call) -> Result<Answer, Outcome> {
        self.api.call(run, &call).await
    }

    /// Asks as people do, who have no key of services: with it a front door would not look at their tokens.
    async fn call_as_person(&self, run: &mut Run, call: Call) -> Result<Answer, Outcome> {
        self.api.call(run, &call.without(API_KEY)).await
    }

    async fn post(&self, run: &mut Run, what: &str, body: &Json) -> Result<Answer, Outcome> {
        self.call(run, Call::post(format!("{}/{what}", self.path), body)).await
    }

    /// Deletes what earlier runs of this check left, and begins with steps of these names, of which `delete` gets its time.
    pub(crate) async fn begin<'a>(&self, run: &'a mut Run, names: impl IntoIterator<Item = &'static str>) -> Steps<'a> {
        self.sweep(run).await;
        Steps::begin(run, names).keeping_time_to_clean()
    }

    /// Makes an account at step `register`, goes on with it, and deletes it at step `delete`, however that went.
    pub(crate) async fn with_account(
        &self,
        steps: &mut Steps<'_>,
        register: impl AsyncFnOnce(&mut Run) -> Result<Made, Outcome>,
        go_on: impl AsyncFnOnce(&mut Steps<'_>, &mut Made) -> Option<()>,
    ) {
        if let Some(mut made) = steps.take("register", register).await {
            _ = go_on(steps, &mut made).await;
            steps.clean("delete", async |run| self.delete(run, &made).await).await;
        }
    }

    /// Makes an account, and notes it before it is asked for. One of these statuses says that it is made.
    pub(crate) async fn register(&self, run: &mut Run, statuses: &[u16]) -> Result<Made, Outcome> {
        let check = run.check.to_string();
        let left = self.means.ledger.left_of(&check);
        // Beyond the limit one of them is asked for again: that makes no more, and shows what is wrong now.
        let old = if left >= MOST_LEFT { self.means.ledger.take_left(&check, 1).pop() } else { None };
        let is_old = old.is_some();
        let kept = match old {
            Some(old) => old,
            None => self.note_new(&check).await?,
        };
        let asked = self.post(run, "register", &kept.account.credentials.registration()).await;
        let is_refused = asked.as_ref().is_ok_and(|answer| (400..500).contains(&answer.status));
        if is_old && is_refused {
            let text = format!("{left} accounts of earlier runs could not be deleted; no more are made until they are");
            return Err(Outcome::fail(ReasonCode::Reported, text));
        }
        if !is_old && (is_refused || asked.as_ref().is_err_and(was_not_sent)) {
            kept.strike().await;
        }
        let answer = asked?;
        kept.note_answer();
        let json = good(&answer, statuses)?;
        Ok(Made { kept, answer: json.clone(), tokens: tokens_of(json).ok() })
    }

    async fn note_new(&self, check: &str) -> Result<InUse, Outcome> {
        let begun = self.means.ledger.begin(check, Credentials::fresh(&self.means.instance)).await;
        begun.map_err(|error| Outcome::local(format!("the account cannot be noted in the ledger: {error}")))
    }

    /// Asks for an account with this body; whatever the answer is, it is somebody else's to judge.
    pub(crate) async fn try_to_register(&self, run: &mut Run, body: &Json) -> Result<Answer, Outcome> {
        self.post(run, "register", body).await
    }

    /// Signs in.
    pub(crate) async fn login(&self, run: &mut Run, who: &Credentials) -> Result<Tokens, Outcome> {
        let answer = self.try_to_login(run, who).await?;
        tokens_of(good(&answer, &[200, 201])?)
    }

    /// As [`Site::login`], whatever the answer is.
    pub(crate) async fn try_to_login(&self, run: &mut Run, who: &Credentials) -> Result<Answer, Outcome> {
        self.post(run, "login", &who.login()).await
    }

    /// Reads the profile, which must be this person's.
    pub(crate) async fn profile(&self, run: &mut Run, access: &str, email: &str) -> Result<(), Outcome> {
        let answer = self.call_as_person(run, Call::get(&*self.profile).bearer(access)).await?;
        let json = good(&answer, &[200])?;
        if !text(json.get("user").unwrap_or(json), "email")?.eq_ignore_ascii_case(email) {
            return Err(Outcome::fail(ReasonCode::Json, "the profile is somebody else's: its email is another one"));
        }
        Ok(())
    }

    /// Asks for the profile with a token that is none; it must be refused.
    pub(crate) async fn refuses(&self, run: &mut Run, access: Option<&str>) -> Result<(), Outcome> {
        self.refuses_at(run, &self.profile, access).await
    }

    /// As [`Site::refuses`], at another path.
    pub(crate) async fn refuses_at(&self, run: &mut Run, path: &str, access: Option<&str>) -> Result<(), Outcome> {
        let call = Call::get(path);
        let call = access.map_or(call.clone(), |access| call.bearer(access));
        refused(&self.call_as_person(run, call).await?, 401)
    }

    /// Asks at a path with a good token, which must not be refused there; whether it is answered is not looked at.
    pub(crate) async fn lets_in_at(&self, run: &mut Run, path: &str, access: &str) -> Result<(), Outcome> {
        let answer = self.call_as_person(run, Call::get(path).bearer(access)).await?;
        if !matches!(answer.status, 401 | 403) {
            return Ok(());
        }
        let text =
            format!("a good token is refused at {path} with status {}; is its secret that of others?", answer.status);
        Err(Outcome::fail(ReasonCode::Status, text))
    }

    /// Takes new tokens for a refresh token; both must differ from the old ones.
    pub(crate) async fn refresh(&self, run: &mut Run, old: &Tokens) -> Result<Tokens, Outcome> {
        let answer = self.post(run, "refresh", &json!({ "refresh_token": old.refresh })).await?;
        let new = tokens_of(good(&answer, &[200, 201])?)?;
        let same = [("access", new.access == old.access), ("refresh", new.refresh == old.refresh)];
        match same.iter().find(|(_, is_same)| *is_same) {
            Some((which, _)) => {
                Err(Outcome::fail(ReasonCode::Json, format!("the {which} token is the one from before")))
            }
            None => Ok(new),
        }
    }

    /// Shows a refresh token a second time; it must be refused.
    pub(crate) async fn refuses_refresh(&self, run: &mut Run, old: &Tokens) -> Result<(), Outcome> {
        refused(&self.post(run, "refresh", &json!({ "refresh_token": old.refresh })).await?, 401)
    }

    /// Signs out.
    pub(crate) async fn logout(&self, run: &mut Run, access: &str) -> Result<(), Outcome> {
        let call = Call::new(Method::POST, format!("{}/logout", self.path)).bearer(access);
        is_done(&self.call(run, call).await?)
    }

    /// Deletes an account that was made, with the tokens of its registration or else after a login, and strikes it out.
    pub(crate) async fn delete(&self, run: &mut Run, made: &Made) -> Result<(), Outcome> {
        let found = match &made.tokens {
            Some(_) => None,
            None => Some(self.login(run, made.credentials()).await?),
        };
        let tokens = made.tokens.as_ref().or(found.as_ref());
        let tokens = tokens.ok_or_else(|| Outcome::local("there are no tokens to delete the account with"))?;
        self.delete_with(run, tokens).await?;
        made.kept.strike().await;
        Ok(())
    }

    /// Makes sure that the account can be deleted though it is locked.
    pub(crate) async fn hold_tokens(&self, run: &mut Run, made: &mut Made) -> Result<(), Outcome> {
        if made.tokens.is_none() {
            made.tokens = Some(self.login(run, made.credentials()).await?);
        }
        Ok(())
    }

    /// Returns the access token of an account's registration, or of a login.
    pub(crate) async fn access(&self, run: &mut Run, made: &mut Made) -> Result<String, Outcome> {
        self.hold_tokens(run, made).await?;
        Ok(made.tokens.as_ref().map(|tokens| tokens.access.clone()).unwrap_or_default())
    }

    async fn delete_with(&self, run: &mut Run, tokens: &Tokens) -> Result<(), Outcome> {
        let missing = || Outcome::fail(ReasonCode::Json, "no answer says which account it is: json user.id is missing");
        let id = tokens.id.as_ref().ok_or_else(missing)?;
        let call = Call::new(Method::DELETE, format!("{}/users/{id}", self.path)).bearer(&*tokens.access);
        is_done(&self.call(run, call).await?)
    }

    /// Deletes what earlier runs of this check left, a few at a time and within a part of the run's time. What cannot be
    /// deleted now stays in the ledger and its metric.
    async fn sweep(&self, run: &mut Run) {
        let until = Instant::now() + run.timeout / SHARE_FOR_SWEEPING;
        for left in self.means.ledger.take_left(&run.check.to_string(), SWEPT_AT_ONCE) {
            match timeout_at(until, self.sweep_one(run, &left)).await {
                Ok(Ok(())) => {}
                Ok(Err(outcome)) => tracing::warn!(?outcome, "an account of an earlier run cannot be deleted"),
                Err(_elapsed) => return,
            }
        }
    }

    async fn sweep_one(&self, run: &mut Run, left: &InUse) -> Result<(), Outcome> {
        let answer = self.try_to_login(run, &left.account.credentials).await?;
        if answer.status == 401 {
            // There is no such account; one that is under way may still come to be.
            if !left.may_be_under_way(Timestamp::now()) {
                left.strike().await;
            }
            return Ok(());
        }
        self.delete_with(run, &tokens_of(good(&answer, &[200, 201])?)?).await?;
        left.strike().await;
        left.count_as_swept();
        Ok(())
    }
}

/// A path of a platform, as it is written before what is asked.
pub(crate) fn decode_path(cursor: &Cursor<'_>) -> Option<String> {
    let path = cursor.text()?;
    if !path.starts_with('/') || path.contains(['?', '#']) {
        cursor.mistake(format!("{} is not a path; write it like /auth", cursor.node().shown()));
        return None;
    }
    Some(path.trim_end_matches('/').to_owned())
}

/// Checks that an answer to a program says that it is done: a page says nothing of the kind.
fn is_done(answer: &Answer) -> Result<(), Outcome> {
    match answer.status {
        204 => Ok(()),
        200 => good(answer, &[200]).map(|_json| ()),
        _ => Err(wrong_status(answer, &[200, 204])),
    }
}

fn tokens_of(json: &Json) -> Result<Tokens, Outcome> {
    let access = text(json, "access_token")?.to_owned();
    let refresh = text(json, "refresh_token")?.to_owned();
    let id = json.get("user").unwrap_or(json).get("id");
    let id = id.and_then(|id| id.as_str().map(str::to_owned).or_else(|| id.as_i64().map(|id| id.to_string())));
    Ok(Tokens { access, refresh, id })
}

/// True if the server cannot have heard of it.
fn was_not_sent(outcome: &Outcome) -> bool {
    use ReasonCode::{Certificate, Dns, Refused, Tls, Unreachable};
    match outcome {
        Outcome::Fail(reason) => matches!(reason.code, Refused | Dns | Unreachable | Tls | Certificate),
        Outcome::Unknown(_) => true,
        Outcome::Pass => false,
    }
}
