//! Kind `lockout`: whoever tries passwords must wait, and so must whoever knows the right one meanwhile.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::Cursor;
use monitor::Kind;
use monitor::probe::{Answer, Expectation, Facts, Outcome, Probe, ReasonCode, Run, Steps, Target};

use super::Means;
use crate::account::Credentials;
use crate::answer::{refused, wrong_status};
use crate::site::Site;

pub(super) const NAME: &str = "lockout";
const STEPS: [&str; 4] = ["register", "wrong-passwords", "right-password", "delete"];
/// Wrong passwords after which an account must be locked, if nothing else is said: platform-services bears 5.
const TRIES: u32 = 12;

pub(super) struct Lockout(pub(super) Means);

impl Kind for Lockout {
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
        let tries = fields.get("tries").map_or(Some(TRIES), |c| c.whole(1..=100));
        fields.end();
        Some(Arc::new(LockoutProbe { site: site?, tries: tries? }))
    }
}

#[derive(Debug)]
struct LockoutProbe {
    site: Site,
    tries: u32,
}

impl Probe for LockoutProbe {
    fn target(&self) -> Target {
        self.site.target()
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        self.walk(run).boxed()
    }
}

impl LockoutProbe {
    async fn walk(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let site = &self.site;
        site.sweep(run).await;
        let mut steps = Steps::begin(run, STEPS).keeping_time_to_clean();
        let register = async |run: &mut Run| {
            let mut made = site.register(run, &[200, 201]).await?;
            // Once it is locked nobody can sign in to delete it.
            site.hold_tokens(run, &mut made).await?;
            Ok(made)
        };
        if let Some(made) = steps.take("register", register).await {
            _ = self.knock(&mut steps, made.credentials()).await;
            steps.clean("delete", async |run| site.delete(run, &made).await).await;
        }
        steps.end()
    }

    async fn knock(&self, steps: &mut Steps<'_>, who: &Credentials) -> Option<()> {
        let site = &self.site;
        steps.take("wrong-passwords", async |run| self.until_locked(run, who).await).await?;
        steps.take("right-password", async |run| locked(&site.try_to_login(run, who).await?)).await
    }

    async fn until_locked(&self, run: &mut Run, who: &Credentials) -> Result<(), Outcome> {
        for tried in 1..=self.tries {
            let answer = self.site.try_to_login(run, &who.with_wrong_password()).await?;
            if answer.status == 429 {
                run.seen.note = Some(format!("locked at wrong password {tried}"));
                return locked(&answer);
            }
            refused(&answer, 401)?;
        }
        let text = format!("{} wrong passwords were tried, and the account is not locked (429)", self.tries);
        Err(Outcome::fail(ReasonCode::Status, text))
    }
}

/// Checks that an answer says to wait, and how long (RFC 6585 section 4).
fn locked(answer: &Answer) -> Result<(), Outcome> {
    if answer.status != 429 {
        return Err(wrong_status(answer, &[429]));
    }
    refused(answer, 429)?;
    let wait = answer.headers.iter().find(|(name, _)| name == "retry-after").map(|(_, value)| value.trim());
    match wait {
        Some(text) if text.parse::<u32>().is_ok_and(|secs| secs > 0) => Ok(()),
        Some(text) => Err(Outcome::fail(ReasonCode::Header, format!("Retry-After is {text:?}, expected seconds"))),
        None => Err(Outcome::fail(ReasonCode::Header, "status 429, but Retry-After is missing")),
    }
}
