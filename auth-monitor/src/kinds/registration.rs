//! Kind `registration`: who is new gets an account, and what is wrong with a request is said without giving anything away.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::{Cursor, Fields};
use monitor::Kind;
use monitor::probe::{Expectation, Facts, Outcome, Probe, ReasonCode, Run, Steps, Target};
use serde_json::Value as Json;

use super::{Means, decode_budget};
use crate::account::Credentials;
use crate::answer::{keeps_passwords, refused, text};
use crate::site::{Made, Site};

pub(super) const NAME: &str = "registration";
const STEPS: [&str; 6] = ["register", "account", "again", "invalid-email", "short-password", "delete"];
/// What a new account is answered with, and one that there is.
const CREATED: u16 = 201;
const TAKEN: u16 = 409;

pub(super) struct Registration(pub(super) Means);

impl Kind for Registration {
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
        let (created, taken) = (status(&fields, "created", CREATED), status(&fields, "taken", TAKEN));
        let budget = decode_budget(&fields);
        fields.end();
        Some(Arc::new(RegistrationProbe { site: site?, created: created?, taken: taken?, budget: budget? }))
    }
}

fn status(fields: &Fields<'_>, key: &'static str, default: u16) -> Option<u16> {
    fields.get(key).map_or(Some(default), |c| c.whole(200..=499))
}

#[derive(Debug)]
struct RegistrationProbe {
    site: Site,
    created: u16,
    taken: u16,
    budget: Duration,
}

impl Probe for RegistrationProbe {
    fn target(&self) -> Target {
        self.site.target()
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        self.walk(run).boxed()
    }
}

impl RegistrationProbe {
    async fn walk(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let site = &self.site;
        site.sweep(run).await;
        let mut steps = Steps::begin(run, STEPS).within(self.budget).keeping_time_to_clean();
        let made = steps.take("register", async |run| site.register(run, &[self.created]).await).await;
        if let Some(made) = made {
            _ = self.judge(&mut steps, &made).await;
            steps.clean("delete", async |run| site.delete(run, &made).await).await;
        }
        steps.end()
    }

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
