//! Kind `sign-in`: everything that a session goes through, as one person does it, and what must be refused on the way.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::Cursor;
use monitor::Kind;
use monitor::probe::{Expectation, Facts, Outcome, Probe, Run, Steps, Target};

use super::{Means, decode_budget, user};
use crate::account::Credentials;
use crate::answer::refused;
use crate::site::Site;

pub(super) const NAME: &str = "sign-in";
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

pub(super) struct SignIn(pub(super) Means);

impl Kind for SignIn {
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
        let (budget, user) = (decode_budget(&fields), user::decode(&fields));
        fields.end();
        Some(Arc::new(SignInProbe { site: site?, budget: budget?, user: user? }))
    }
}

#[derive(Debug)]
struct SignInProbe {
    site: Site,
    budget: Duration,
    user: Option<Credentials>,
}

impl Probe for SignInProbe {
    fn target(&self) -> Target {
        self.site.target()
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        match &self.user {
            Some(user) => self.as_user(run, user).boxed(),
            None => self.as_somebody_new(run).boxed(),
        }
    }
}

impl SignInProbe {
    async fn as_user(&self, run: &mut Run, user: &Credentials) -> Result<Facts, Outcome> {
        let names = STEPS.into_iter().filter(|name| !matches!(*name, "register" | "delete"));
        let mut steps = Steps::begin(run, names).within(self.budget);
        _ = self.session(&mut steps, user).await;
        steps.end()
    }

    async fn as_somebody_new(&self, run: &mut Run) -> Result<Facts, Outcome> {
        self.site.sweep(run).await;
        let mut steps = Steps::begin(run, STEPS).within(self.budget).keeping_time_to_clean();
        let made = steps.take("register", async |run| self.site.register(run, &[200, 201]).await).await;
        if let Some(made) = made {
            _ = self.session(&mut steps, made.credentials()).await;
            steps.clean("delete", async |run| self.site.delete(run, &made).await).await;
        }
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
