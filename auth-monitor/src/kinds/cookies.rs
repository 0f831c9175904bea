//! Kind `cookies`: what a login sets no script may read, no plain connection carry, and no other site send.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::Cursor;
use monitor::Kind;
use monitor::probe::{Answer, Expectation, Facts, Outcome, Probe, ReasonCode, Run, Steps, Target};

use super::Means;
use crate::answer::good;
use crate::site::Site;

pub(super) const NAME: &str = "cookies";
const STEPS: [&str; 3] = ["register", "cookies", "delete"];

pub(super) struct Cookies(pub(super) Means);

impl Kind for Cookies {
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
        fields.end();
        Some(Arc::new(CookiesProbe { site: site? }))
    }
}

#[derive(Debug)]
struct CookiesProbe {
    site: Site,
}

impl Probe for CookiesProbe {
    fn target(&self) -> Target {
        self.site.target()
    }

    fn ask<'a>(&'a self, run: &'a mut Run) -> BoxFuture<'a, Result<Facts, Outcome>> {
        self.walk(run).boxed()
    }
}

impl CookiesProbe {
    async fn walk(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let site = &self.site;
        site.sweep(run).await;
        let mut steps = Steps::begin(run, STEPS).keeping_time_to_clean();
        let made = steps.take("register", async |run| site.register(run, &[200, 201]).await).await;
        if let Some(made) = made {
            let look = async |run: &mut Run| {
                let answer = site.try_to_login(run, made.credentials()).await?;
                good(&answer, &[200, 201])?;
                run.seen.note = Some(judge(&answer)?);
                Ok(())
            };
            steps.take("cookies", look).await;
            steps.clean("delete", async |run| site.delete(run, &made).await).await;
        }
        steps.end()
    }
}

/// Says how many cookies are set, if each is kept as a session must be (RFC 6265 section 4.1.2, RFC 6265bis section 5.5).
fn judge(answer: &Answer) -> Result<String, Outcome> {
    let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    let mut count = 0;
    for (_, value) in set {
        let mut parts = value.split(';').map(str::trim);
        let name = parts.next().and_then(|pair| pair.split('=').next()).unwrap_or_default();
        let flags: Vec<String> = parts.map(str::to_ascii_lowercase).collect();
        let has = |flag: &str| flags.iter().any(|found| found == flag);
        let is_same_site = has("samesite=lax") || has("samesite=strict");
        let missing =
            [("Secure", has("secure")), ("HttpOnly", has("httponly")), ("SameSite=Lax or Strict", is_same_site)];
        if let Some((flag, _)) = missing.iter().find(|(_, is_there)| !is_there) {
            return Err(Outcome::fail(ReasonCode::Header, format!("cookie {name} lacks {flag}")));
        }
        count += 1;
    }
    Ok(match count {
        0 => "the login sets no cookies: there is nothing to check".to_owned(),
        1 => "one cookie".to_owned(),
        _ => format!("{count} cookies"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_without_a_flag_is_named_and_its_value_is_not() {
        for (cookies, said) in [
            (vec![], "the login sets no cookies: there is nothing to check"),
            (vec!["sid=s3cret; Path=/; secure; HttpOnly; SameSite=Lax"], "one cookie"),
            (vec!["sid=s3cret; HttpOnly; SameSite=Lax"], "cookie sid lacks Secure"),
            (vec!["sid=s3cret; Secure; SameSite=Lax"], "cookie sid lacks HttpOnly"),
            (
                vec!["a=1; Secure; HttpOnly; SameSite=Strict", "b=2; Secure; HttpOnly; SameSite=None"],
                "cookie b lacks SameSite=Lax or Strict",
            ),
        ] {
            let headers = cookies.iter().map(|cookie| ("set-cookie".to_owned(), (*cookie).to_owned())).collect();
            let answer = Answer { status: 200, headers, json: None, excerpt: String::new() };
            let found = match judge(&answer) {
                Ok(note) => note,
                Err(Outcome::Fail(reason)) => reason.text,
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(found, said);
        }
    }
}
