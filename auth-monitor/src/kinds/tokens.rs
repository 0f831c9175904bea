//! Kind `tokens`: a protected path takes no token but a good one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use kit::config::Cursor;
use monitor::Kind;
use monitor::probe::{Expectation, Facts, Outcome, Probe, Run, Steps, Target};
use secrecy::{ExposeSecret, SecretString};

use super::{Means, decode_budget};
use crate::site::Site;
use crate::token::{Forger, Forgery};

pub(super) const NAME: &str = "tokens";
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

pub(super) struct Tokens(pub(super) Means);

impl Kind for Tokens {
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
        let account = fields.get("account").map_or(Some(false), |c| c.bool());
        let (secret, budget) = (fields.secret("secret", "secret_file"), decode_budget(&fields));
        let secret = secret.filter(|secret| !secret.expose_secret().is_empty());
        fields.end();
        Some(Arc::new(TokensProbe { site: site?, has_account: account?, secret, budget: budget? }))
    }
}

struct TokensProbe {
    site: Site,
    /// Whether an account of its own shows that a good token is taken, and lends its claims to the false ones.
    has_account: bool,
    secret: Option<SecretString>,
    budget: Duration,
}

impl std::fmt::Debug for TokensProbe {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TokensProbe").field(&self.site).finish()
    }
}

impl Probe for TokensProbe {
    fn target(&self) -> Target {
        self.site.target()
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        if self.has_account { self.with_account(run).boxed() } else { self.without(run).boxed() }
    }
}

impl TokensProbe {
    async fn without(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let mut steps = Steps::begin(run, REFUSED.map(|(name, _)| name)).within(self.budget);
        _ = self.try_all(&mut steps, None).await;
        steps.end()
    }

    async fn with_account(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let site = &self.site;
        site.sweep(run).await;
        let names = ["register", "good-token"].into_iter().chain(REFUSED.map(|(name, _)| name)).chain(["delete"]);
        let mut steps = Steps::begin(run, names).within(self.budget).keeping_time_to_clean();
        let made = steps.take("register", async |run| site.register(run, &[200, 201]).await).await;
        if let Some(mut made) = made {
            let email = made.credentials().email.clone();
            let show = async |run: &mut Run| {
                let access = site.access(run, &mut made).await?;
                site.profile(run, &access, &email).await?;
                Ok(access)
            };
            if let Some(access) = steps.take("good-token", show).await {
                _ = self.try_all(&mut steps, Some(&access)).await;
            }
            steps.clean("delete", async |run| site.delete(run, &made).await).await;
        }
        steps.end()
    }

    /// Shows every false token; ends where one is taken.
    async fn try_all(&self, steps: &mut Steps<'_>, good: Option<&str>) -> Option<()> {
        let forger = Forger::new(good, self.secret.clone());
        for (name, forgery) in REFUSED {
            let token = forgery.map(|forgery| forger.forge(forgery, Timestamp::now()));
            steps.take(name, async |run| self.site.refuses(run, token.as_deref()).await).await?;
        }
        Some(())
    }
}
