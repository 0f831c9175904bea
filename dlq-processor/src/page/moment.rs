//! When and where a page is made, and for whom: three guards that say what a reader may see.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kit::http::{Caller, Public, Role};
use kit::page::{Visitor, words};

use super::Pages;
use super::made::refused;

/// When and where a page is made, and for whom. Whoever asks has it.
pub(super) struct Moment {
    pub(super) now: Timestamp,
    pub(super) zone: TimeZone,
    caller: Caller,
    public: Public,
}

/// The moment of whoever may see names and numbers.
pub(super) struct Passer(pub(super) Moment);

/// The moment of whoever may see letters.
pub(super) struct Reader(pub(super) Moment);

/// The moment of whoever may see payloads and the audit.
pub(super) struct Operator(pub(super) Moment);

impl FromRequestParts<Pages> for Moment {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, Pages { api, .. }: &Pages) -> Result<Self, Infallible> {
        let caller = api.who(&parts.headers, &parts.extensions);
        Ok(Self { now: Timestamp::now(), zone: TimeZone::system(), caller, public: api.settings.access.public })
    }
}

impl FromRequestParts<Pages> for Passer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Response> {
        let Ok(moment) = Moment::from_request_parts(parts, pages).await;
        if moment.sees(Public::Names) { Ok(Self(moment)) } else { Err(moment.refuse(Role::Viewer)) }
    }
}

impl FromRequestParts<Pages> for Reader {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Response> {
        let Ok(moment) = Moment::from_request_parts(parts, pages).await;
        if moment.sees(Public::Details) { Ok(Self(moment)) } else { Err(moment.refuse(Role::Viewer)) }
    }
}

impl FromRequestParts<Pages> for Operator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Response> {
        let Ok(moment) = Moment::from_request_parts(parts, pages).await;
        if moment.is_operator() { Ok(Self(moment)) } else { Err(moment.refuse(Role::Operator)) }
    }
}

impl Moment {
    /// Whether that may be shown: to a viewer, and to everybody where it is public, but for a page of another site.
    fn sees(&self, what: Public) -> bool {
        let is_public = self.public >= what && !matches!(self.caller, Caller::Refused(_));
        is_public || self.caller.require(Role::Viewer).is_ok()
    }

    fn refuse(&self, role: Role) -> Response {
        let (status, said) = match &self.caller {
            Caller::Refused(why) => (StatusCode::FORBIDDEN, why.clone()),
            Caller::Known(who) => {
                (StatusCode::FORBIDDEN, format!("This needs the role {role}; {} is {}.", who.name, who.role))
            }
            Caller::Stranger => {
                (StatusCode::UNAUTHORIZED, format!("A token with the role {role} is needed: Authorization: Bearer …"))
            }
        };
        refused(status, said, role, self)
    }

    /// Returns whether messages may be shown, and what else is not for everybody.
    pub(super) fn sees_details(&self) -> bool {
        self.sees(Public::Details)
    }

    /// Returns whether payloads and the audit may be shown.
    pub(super) fn is_operator(&self) -> bool {
        self.caller.require(Role::Operator).is_ok()
    }

    /// Who looks, as the page's top says. Nobody signs in here.
    pub(super) fn visitor(&self) -> Visitor {
        match self.caller.identity() {
            Some(who) => Visitor::Known { name: who.name.clone(), role: who.role.as_str(), field: None },
            None => Visitor::Anybody,
        }
    }

    /// How a past time is shown, in milliseconds since the epoch.
    pub(super) fn when(&self, at_ms: i64) -> When {
        let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        When {
            machine: at.to_string(),
            full: words::time(at, &self.zone),
            short: words::short_time(at, &self.zone),
            ago: length(at, self.now),
        }
    }

    /// How a time to come is shown.
    pub(super) fn ahead(&self, at_ms: i64) -> Ahead {
        let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let left = if at <= self.now { "now".to_owned() } else { format!("in {}", length(self.now, at)) };
        Ahead { machine: at.to_string(), full: words::time(at, &self.zone), clock: self.clock(at), left }
    }

    /// The day goes without saying if it is today.
    fn clock(&self, at: Timestamp) -> String {
        let day = |at: Timestamp| at.to_zoned(self.zone.clone()).date();
        let clock = words::clock(at, &self.zone);
        if day(at) == day(self.now) { clock } else { format!("{} {clock}", words::day(at, &self.zone)) }
    }
}

/// In whole seconds; a clock that was set back makes nothing of it.
fn length(from: Timestamp, to: Timestamp) -> String {
    let length = Duration::try_from(to.duration_since(from)).unwrap_or_default();
    words::length(Duration::from_secs(length.as_secs()))
}

/// A time as people and programs read it.
#[derive(Debug, Clone)]
pub(super) struct When {
    pub(super) machine: String,
    pub(super) full: String,
    pub(super) short: String,
    pub(super) ago: String,
}

/// A time to come as people and programs read it.
#[derive(Debug, Clone)]
pub(super) struct Ahead {
    pub(super) machine: String,
    pub(super) full: String,
    /// To the minute, with the day only if it is another one.
    pub(super) clock: String,
    pub(super) left: String,
}
