//! Kind `registration`: who is new gets an account, and what is wrong with a request is said without giving anything away.

use std::time::Duration;

use kit::config::Fields;
use monitor::probe::{Facts, Outcome, ReasonCode, Run, Steps, Target};
use serde_json::Value as Json;

use super::walk::Walk;
use super::{Means, decode_budget};
use crate::account::Credentials;
use crate::answer::{keeps_passwords, refused, text};
use crate::site::{Made, Site};

const STEPS: [&str; 6] = ["register", "account", "again", "invalid-email", "short-password", "delete"];
/// What a new account is answered with, and one that there is.
const CREATED: u16 = 201;
const TAKEN: u16 = 409;

#[derive(Debug)]
pub(super) struct Registration {
    site: Site,
    created: u16,
    taken: u16,
    budget: Duration,
}

impl Walk for Registration {
    const NAME: &'static str = "registration";

    fn decode(fields: &Fields<'_>, means: &Means) -> Option<Self> {
        let status = |key, default| fields.get(key).map_or(Some(default), |c| c.whole(200..=499));
        let site = Site::decode(fields, means);
        let (created, taken) = (status("created", CREATED), status("taken", TAKEN));
        let budget = decode_budget(fields);
        Some(Self { site: site?, created: created?, taken: taken?, budget: budget? })
    }

    fn target(&self) -> Target {
        self.site.target()
    }

    async fn walk(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let mut steps = self.site.begin(run, STEPS).await.within(self.budget);
        let register = async |run: &mut Run| self.site.register(run, &[self.created]).await;
        self.site.with_account(&mut steps, register, async |steps, made| self.judge(steps, made).await).await;
        steps.end()
    }
}

impl Registration {
    async fn judge(&self, steps: &mut Steps<'_>, made: &Made) -> Option<()> {
        let who = made.credentials();
        steps.take("account", async |_: &mut Run| is_account(&made.answer, who)).await?;
        let same = who.registration();
        steps.take("again", async |run| self.refuses(run, &same, self.taken).await).await?;
        let no_address = Credentials { email: "no address".to_owned(), ..who.clone() }.registration();
        let short = Credentials { password: "aB3$".into(), ..Credentials::fresh("") }.registration();
        steps.take("invalid-email", async |run| self.refuses(run, &no_address, 400).await).await?;
        steps.take("short-password", async |run| self.refuses(run, &short, 400).await).await
    }

    async fn refuses(&self, run: &mut Run, body: &Json, status: u16) -> Result<(), Outcome> {
        let answer = self.site.try_to_register(run, body).await?;
        refused(&answer, status)?;
        answer.json.as_ref().map_or(Ok(()), keeps_passwords)
    }
}

/// Checks what a registration answers: the account, and nothing of its password.
fn is_account(json: &Json, who: &Credentials) -> Result<(), Outcome> {
    let user = json.get("user").unwrap_or(json);
    if user.get("id").is_none_or(Json::is_null) {
        return Err(Outcome::fail(ReasonCode::Json, "the registration answered no id"));
    }
    if !text(user, "email")?.eq_ignore_ascii_case(&who.email) {
        return Err(Outcome::fail(ReasonCode::Json, "the registration answered another email"));
    }
    keeps_passwords(json)
}
