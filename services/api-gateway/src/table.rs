//! What the gateway hands on: a row for each path, with who may ask and where it goes.

use axum::http::Method;
use axum::routing::MethodFilter;

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Everybody.
    Open,
    /// Everybody, with whatever key or token he shows: the service decides.
    Theirs,
    /// Whoever shows a key or a token: the service decides whether it is good.
    TheirsIfShown,
    /// Whoever shows a key in `X-API-Key` that is for this.
    Key(&'static str),
    /// A user who is signed in.
    User,
}

/// A service that requests are handed on to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Airtable,
    Mcp,
    Llm,
    Platform,
    Automation,
}

/// A path and where it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// The method, or [`ANY`].
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) guard: Guard,
    pub(crate) service: Service,
    /// The path there, as in [`crate::path::translated`].
    pub(crate) target: &'static str,
    /// Largest request body, in bytes.
    pub(crate) body_limit: usize,
    /// Statuses of the service, each with the one that clients of this path expect instead.
    pub(crate) statuses: &'static [(u16, u16)],
    /// Whether it names sessions: those of users are not for it.
    pub(crate) is_of_services: bool,
}

/// What keys are for, by the words of platform-services.
pub(crate) const AIRTABLE: &str = "airtable";
pub(crate) const CHAT: &str = "chat";
/// Every method.
pub(crate) const ANY: &str = "ANY";
const KIB: usize = 1024;
/// Nothing of sign-in is larger.
const SMALL: usize = 64 * KIB;
/// A conversation's turn.
pub(crate) const MEDIUM: usize = 1024 * KIB;
/// Records and files: the platform's contract with its clients. Airtable itself takes less (attachments of 5 MB by its Web
/// API, "Upload attachment").
pub(crate) const LARGE: usize = 25 * 1024 * KIB;

/// Clients of sign-in know of 400 for whatever is wrong with what they sent.
const AS_400: &[(u16, u16)] = &[(409, 400), (415, 400), (422, 400)];
/// Those of the older path expect 200 after a registration, too.
const AS_200_OR_400: &[(u16, u16)] = &[(201, 200), (409, 400), (415, 400), (422, 400)];

/// All of them.
pub(crate) const ROWS: [Row; 39] = [
    row(ANY, "/api/airtable/{*path}", Guard::Key(AIRTABLE), Service::Airtable, "/{*path}").taking(LARGE),
    row("GET", "/api/tools", Guard::Key(CHAT), Service::Llm, "/tools"),
    row("GET", "/api/sessions/{id}/history", Guard::Key(CHAT), Service::Llm, "/sessions/{id}/history").of_services(),
    row("DELETE", "/api/sessions/{id}", Guard::Key(CHAT), Service::Llm, "/sessions/{id}").of_services(),
    theirs("POST", "/api/auth/register", "/auth/register").answering(AS_200_OR_400),
    theirs("POST", "/api/auth/login", "/auth/login").answering(AS_400),
    theirs("POST", "/api/auth/refresh", "/auth/refresh").answering(AS_400),
    theirs("POST", "/api/auth/logout", "/auth/logout"),
    theirs("GET", "/api/auth/verify", "/auth/verify"),
    theirs("POST", "/api/auth/change-password", "/auth/change-password").answering(AS_400),
    theirs("GET", "/api/auth/users/profile", "/auth/profile"),
    theirs("DELETE", "/api/auth/users/{id}", "/auth/users/{id}"),
    theirs("POST", "/api/v1/auth/register", "/auth/register").answering(AS_400),
    theirs("POST", "/api/v1/auth/login", "/auth/login").answering(AS_400),
    theirs("POST", "/api/v1/auth/refresh", "/auth/refresh").answering(AS_400),
    theirs("POST", "/api/v1/auth/logout", "/auth/logout"),
    theirs("POST", "/api/v1/auth/change-password", "/auth/change-password").answering(AS_400),
    theirs("DELETE", "/api/v1/auth/users/{id}", "/auth/users/{id}"),
    theirs("GET", "/api/v1/users/profile", "/auth/profile"),
    theirs("POST", "/api/v1/auth/logout-all", "/auth/logout-all"),
    theirs("GET", "/api/v1/auth/sessions", "/auth/sessions"),
    theirs("DELETE", "/api/v1/auth/sessions/{id}", "/auth/sessions/{id}"),
    theirs("GET", "/api/v1/auth/verify", "/auth/verify"),
    theirs("POST", "/api/v1/auth/verify-email", "/auth/verify-email").answering(AS_400),
    theirs("POST", "/api/v1/auth/verify-email/resend", "/auth/verify-email/resend"),
    theirs("POST", "/api/v1/auth/forgot-password", "/auth/forgot-password").answering(AS_400),
    theirs("POST", "/api/v1/auth/reset-password", "/auth/reset-password").answering(AS_400),
    theirs("GET", "/api/v1/auth/totp", "/auth/totp"),
    theirs("POST", "/api/v1/auth/totp/setup", "/auth/totp/setup").answering(AS_400),
    theirs("POST", "/api/v1/auth/totp/enable", "/auth/totp/enable").answering(AS_400),
    theirs("POST", "/api/v1/auth/totp/disable", "/auth/totp/disable").answering(AS_400),
    theirs("PATCH", "/api/v1/users/profile", "/auth/profile").answering(AS_400),
    theirs("GET", "/api/user/profile", "/auth/profile"),
    theirs("GET", "/api/v1/tenants/current", "/tenants/current"),
    row("GET", "/api/v1/analytics/{*path}", Guard::TheirsIfShown, Service::Platform, "/analytics/{*path}"),
    row("POST", "/api/v1/files/upload", Guard::User, Service::Automation, "/files/upload").taking(LARGE),
    row("GET", "/api/v1/airtable/info", Guard::Open, Service::Airtable, "/api/v1/info"),
    row("GET", "/api/v1/ai/health", Guard::Open, Service::Mcp, "/health"),
    row("GET", "/api/v1/platform/health", Guard::Open, Service::Platform, "/health"),
];

/// What platform-services decides on.
const fn theirs(method: &'static str, path: &'static str, target: &'static str) -> Row {
    row(method, path, Guard::Theirs, Service::Platform, target)
}

const fn row(method: &'static str, path: &'static str, guard: Guard, service: Service, target: &'static str) -> Row {
    Row { method, path, guard, service, target, body_limit: SMALL, statuses: &[], is_of_services: false }
}

impl Row {
    const fn taking(self, body_limit: usize) -> Self {
        Self { body_limit, ..self }
    }

    const fn answering(self, statuses: &'static [(u16, u16)]) -> Self {
        Self { statuses, ..self }
    }

    const fn of_services(self) -> Self {
        Self { is_of_services: true, ..self }
    }

    /// Returns which methods it takes; none if any.
    pub(crate) fn methods(&self) -> Option<MethodFilter> {
        Method::from_bytes(self.method.as_bytes()).ok().and_then(|method| MethodFilter::try_from(method).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_takes_the_methods_that_it_names() {
        for row in ROWS {
            assert_eq!(row.methods().is_none(), row.method == ANY, "{}", row.path);
        }
    }

    #[test]
    fn every_name_in_a_target_is_one_of_its_path() {
        for row in ROWS {
            for place in row.target.split('/').filter(|place| place.starts_with('{')) {
                assert!(row.path.split('/').any(|part| part == place), "{}: {place}", row.path);
            }
        }
    }
}
