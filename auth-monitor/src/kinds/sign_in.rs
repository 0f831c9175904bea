//! Kind `sign-in`: everything that a session goes through, as one person does it, and what must be refused on the way.

use std::time::Duration;

use kit::config::Fields;
use monitor::probe::{Facts, Outcome, Run, Steps, Target};

use super::walk::Walk;
use super::{Means, decode_budget, user};
use crate::account::Credentials;
use crate::answer::refused;
use crate::site::{REGISTERED, Site};

/// With an account of its own; without one the first and the last are left out.
const STEPS: [&str; 10] = [
    "register",
    "login",
    "wrong-password",
    "profile",
    "refresh",
    "old-refresh",
    "login-again",
    "logout",
    "dead-token",
    "delete",
];

#[derive(Debug)]
pub(super) struct SignIn {
    site: Site,
    budget: Duration,
    user: Option<Credentials>,
}

impl Walk for SignIn {
    const NAME: &'static str = "sign-in";

    fn decode(fields: &Fields<'_>, means: &Means) -> Option<Self> {
        let site = Site::decode(fields, means);
        let (budget, user) = (decode_budget(fields), user::decode(fields));
        Some(Self { site: site?, budget: budget?, user: user? })
    }

    fn target(&self) -> Target {
        self.site.target()
    }

    async fn walk(&self, run: &mut Run) -> Result<Facts, Outcome> {
        match &self.user {
            Some(user) => self.as_user(run, user).await,
            None => self.as_somebody_new(run).await,
        }
    }
}

impl SignIn {
    async fn as_user(&self, run: &mut Run, user: &Credentials) -> Result<Facts, Outcome> {
        let names = STEPS.into_iter().filter(|name| !matches!(*name, "register" | "delete"));
        let mut steps = Steps::begin(run, names).within(self.budget);
        _ = self.session(&mut steps, user).await;
        steps.end()
    }

    async fn as_somebody_new(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let mut steps = self.site.begin(run, STEPS).await.within(self.budget);
        let register = async |run: &mut Run| self.site.register(run, &REGISTERED).await;
        self.site
            .with_account(&mut steps, register, async |steps, made| self.session(steps, made.credentials()).await)
            .await;
        steps.end()
    }

    /// From a login to the death of its tokens; ends where a step fails.
    async fn session(&self, steps: &mut Steps<'_>, who: &Credentials) -> Option<()> {
        let site = &self.site;
        let first = steps.take("login", async |run| site.login(run, who).await).await?;
        let wrong = who.with_wrong_password();
        let knock = async |run: &mut Run| refused(&site.try_to_login(run, &wrong).await?, 401);
        steps.take("wrong-password", knock).await?;
        steps.take("profile", async |run| site.profile(run, &first.access, &who.email).await).await?;
        steps.take("refresh", async |run| site.refresh(run, &first).await).await?;
        steps.take("old-refresh", async |run| site.refuses_refresh(run, &first).await).await?;
        // Whoever sees a refresh token twice may end the session with it.
        let last = steps.take("login-again", async |run| site.login(run, who).await).await?;
        steps.take("logout", async |run| site.logout(run, &last.access).await).await?;
        steps.take("dead-token", async |run| site.refuses(run, Some(&last.access)).await).await
    }
}
