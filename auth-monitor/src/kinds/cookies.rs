//! Kind `cookies`: what a login sets no script may read, no plain connection carry, and no other site send.

use kit::config::Fields;
use monitor::probe::{Answer, Facts, Outcome, ReasonCode, Run, Steps, Target};

use super::Means;
use super::walk::Walk;
use crate::account::Credentials;
use crate::answer::good;
use crate::site::{Made, REGISTERED, Site};

const STEPS: [&str; 3] = ["register", "cookies", "delete"];

#[derive(Debug)]
pub(super) struct Cookies {
    site: Site,
}

impl Walk for Cookies {
    const NAME: &'static str = "cookies";

    fn decode(fields: &Fields<'_>, means: &Means) -> Option<Self> {
        Some(Self { site: Site::decode(fields, means)? })
    }

    fn target(&self) -> Target {
        self.site.target()
    }

    async fn walk(&self, run: &mut Run) -> Result<Facts, Outcome> {
        let mut steps = self.site.begin(run, STEPS).await;
        let register = async |run: &mut Run| self.site.register(run, &REGISTERED).await;
        let go_on = async |steps: &mut Steps<'_>, made: &mut Made| {
            steps.take("cookies", async |run| self.look(run, made.credentials()).await).await
        };
        self.site.with_account(&mut steps, register, go_on).await;
        steps.end()
    }
}

impl Cookies {
    async fn look(&self, run: &mut Run, who: &Credentials) -> Result<(), Outcome> {
        let answer = self.site.try_to_login(run, who).await?;
        good(&answer, &[200, 201])?;
        run.seen.note = Some(judge(&answer)?);
        Ok(())
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
            let answer = Answer { status: 200, headers, json: None, excerpt: String::new(), body: "".into() };
            let found = match judge(&answer) {
                Ok(note) => note,
                Err(Outcome::Fail(reason)) => reason.text,
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(found, said);
        }
    }
}
