//! Kind `lockout`: whoever tries passwords must wait, and so must whoever knows the right one meanwhile.

use kit::config::Fields;
use monitor::probe::{Answer, Facts, Outcome, ReasonCode, Run, Steps, Target};

use super::Means;
use super::walk::Walk;
use crate::account::Credentials;
use crate::answer::{refused, wrong_status};
use crate::site::{REGISTERED, Site};

const STEPS: [&str; 4] = ["register", "wrong-passwords", "right-password", "delete"];
/// Wrong passwords after which an account must be locked, if nothing else is said: platform-services bears 5.
const TRIES: u32 = 12;

#[derive(Debug)]
pub(super) struct Lockout {
    site: Site,
    tries: u32,
}

impl Walk for Lockout {
    const NAME: &'static str = "lockout";

    fn decode(fields: &Fields<'_>, means: &Means) -> Option<Self> {
        let site = Site::decode(fields, means);
        let tries = fields.get("tries").map_or(Some(TRIES), |c| c.whole(1..=100));
        Some(Self { site: site?, tries: tries? })
    }

    fn target(&self) -> Target {
        self.site.target()
    }

    async fn walk(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let mut steps = self.site.begin(run, STEPS).await;
        let register = async |run: &mut Run| {
            let mut made = self.site.register(run, &REGISTERED).await?;
            // Once it is locked nobody can sign in to delete it.
            self.site.hold_tokens(run, &mut made).await?;
            Ok(made)
        };
        self.site
            .with_account(&mut steps, register, async |steps, made| self.knock(steps, made.credentials()).await)
            .await;
        steps.end()
    }
}

impl Lockout {
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
