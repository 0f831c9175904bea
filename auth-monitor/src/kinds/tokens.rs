//! Kind `tokens`: a protected path takes no token but a good one.

use std::time::Duration;

use jiff::Timestamp;
use kit::config::Fields;
use monitor::probe::{Facts, Outcome, Run, Steps, Target};
use secrecy::{ExposeSecret, SecretString};

use super::walk::Walk;
use super::{Means, decode_budget};
use crate::site::{Made, REGISTERED, Site, decode_path};
use crate::token::{Forger, Forgery};

/// What must be refused, with what is shown instead of a token.
const REFUSED: [(&str, Option<Forgery>); 7] = [
    ("no-token", None),
    ("garbage", Some(Forgery::Garbage)),
    ("expired", Some(Forgery::Expired)),
    ("alg-none", Some(Forgery::Unsigned)),
    ("other-secret", Some(Forgery::OtherSecret)),
    ("hs512", Some(Forgery::Hs512)),
    ("rs256", Some(Forgery::Rs256)),
];

#[derive(Debug)]
pub(super) struct Tokens {
    site: Site,
    /// Whether an account of its own shows that a good token is taken, and lends its claims to the false ones.
    has_account: bool,
    /// A path that somebody else guards than whoever answers the profile.
    guarded: Option<String>,
    secret: Option<SecretString>,
    budget: Duration,
}

impl Walk for Tokens {
    const NAME: &'static str = "tokens";

    fn decode(fields: &Fields<'_>, means: &Means) -> Option<Self> {
        let site = Site::decode(fields, means);
        let has_account = fields.get("account").map_or(Some(false), |c| c.bool());
        let guarded = fields.get("guarded").map_or(Some(None), |c| decode_path(&c).map(Some));
        let (secret, budget) = (fields.secret("secret", "secret_file"), decode_budget(fields));
        let secret = secret.filter(|secret| !secret.expose_secret().is_empty());
        Some(Self { site: site?, has_account: has_account?, guarded: guarded?, secret, budget: budget? })
    }

    fn target(&self) -> Target {
        self.site.target()
    }

    async fn walk(&self, run: &mut Run) -> Result<Facts, Outcome> {
        if self.has_account { self.with_account(run).await } else { self.without(run).await }
    }
}

impl Tokens {
    async fn without(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let mut steps = Steps::begin(run, REFUSED.map(|(name, _)| name)).within(self.budget);
        _ = self.try_all(&mut steps, None).await;
        steps.end()
    }

    async fn with_account(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let names = ["register", "good-token"].into_iter().chain(REFUSED.map(|(name, _)| name)).chain(["delete"]);
        let mut steps = self.site.begin(run, names).await.within(self.budget);
        let register = async |run: &mut Run| self.site.register(run, &REGISTERED).await;
        let go_on = async |steps: &mut Steps<'_>, made: &mut Made| {
            let access = steps.take("good-token", async |run| self.good(run, made).await).await?;
            self.try_all(steps, Some(&access)).await
        };
        self.site.with_account(&mut steps, register, go_on).await;
        steps.end()
    }

    async fn good(&self, run: &mut Run, made: &mut Made) -> Result<String, Outcome> {
        let access = self.site.access(run, made).await?;
        self.site.profile(run, &access, &made.credentials().email).await?;
        if let Some(path) = &self.guarded {
            self.site.lets_in_at(run, path, &access).await?;
        }
        Ok(access)
    }

    /// Shows every false token; ends where one is taken.
    async fn try_all(&self, steps: &mut Steps<'_>, good: Option<&str>) -> Option<()> {
        let forger = Forger::new(good, self.secret.clone());
        for (name, forgery) in REFUSED {
            let token = forgery.map(|forgery| forger.forge(forgery, Timestamp::now()));
            let refuses = async |run: &mut Run| {
                self.site.refuses(run, token.as_deref()).await?;
                match &self.guarded {
                    Some(path) => self.site.refuses_at(run, path, token.as_deref()).await,
                    None => Ok(()),
                }
            };
            steps.take(name, refuses).await?;
        }
        Some(())
    }
}
