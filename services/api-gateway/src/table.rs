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
    row("GET", "/api/sessions/{id}/history", Guard::Key(CHAT), Service::Llm, "/sessions/{id}/history"),
    row("DELETE", "/api/sessions/{id}", Guard::Key(CHAT), Service::Llm, "/sessions/{id}"),
    row("POST", "/api/auth/register", Guard::Theirs, Service::Platform, "/auth/register").answering(AS_200_OR_400),
    row("POST", "/api/auth/login", Guard::Theirs, Service::Platform, "/auth/login").answering(AS_400),
    row("POST", "/api/auth/refresh", Guard::Theirs, Service::Platform, "/auth/refresh").answering(AS_400),
    row("POST", "/api/auth/logout", Guard::Theirs, Service::Platform, "/auth/logout"),
    row("GET", "/api/auth/verify", Guard::Theirs, Service::Platform, "/auth/verify"),
    row("POST", "/api/auth/change-password", Guard::Theirs, Service::Platform, "/auth/change-password")
        .answering(AS_400),
    row("GET", "/api/auth/users/profile", Guard::Theirs, Service::Platform, "/auth/profile"),
    row("DELETE", "/api/auth/users/{id}", Guard::Theirs, Service::Platform, "/auth/users/{id}"),
    row("POST", "/api/v1/auth/register", Guard::Theirs, Service::Platform, "/auth/register").answering(AS_400),
    row("POST", "/api/v1/auth/login", Guard::Theirs, Service::Platform, "/auth/login").answering(AS_400),
    row("POST", "/api/v1/auth/refresh", Guard::Theirs, Service::Platform, "/auth/refresh").answering(AS_400),
    row("POST", "/api/v1/auth/logout", Guard::Theirs, Service::Platform, "/auth/logout"),
    row("POST", "/api/v1/auth/change-password", Guard::Theirs, Service::Platform, "/auth/change-password")
        .answering(AS_400),
    row("DELETE", "/api/v1/auth/users/{id}", Guard::Theirs, Service::Platform, "/auth/users/{id}"),
    row("GET", "/api/v1/users/profile", Guard::Theirs, Service::Platform, "/auth/profile"),
    row("POST", "/api/v1/auth/logout-all", Guard::Theirs, Service::Platform, "/auth/logout-all"),
    row("GET", "/api/v1/auth/sessions", Guard::Theirs, Service::Platform, "/auth/sessions"),
    row("DELETE", "/api/v1/auth/sessions/{id}", Guard::Theirs, Service::Platform, "/auth/sessions/{id}"),
    row("GET", "/api/v1/auth/verify", Guard::Theirs, Service::Platform, "/auth/verify"),
    row("POST", "/api/v1/auth/verify-email", Guard::Theirs, Service::Platform, "/auth/verify-email").answering(AS_400),
    row("POST", "/api/v1/auth/verify-email/resend", Guard::Theirs, Service::Platform, "/auth/verify-email/resend"),
    row("POST", "/api/v1/auth/forgot-password", Guard::Theirs, Service::Platform, "/auth/forgot-password")
        .answering(AS_400),
    row("POST", "/api/v1/auth/reset-password", Guard::Theirs, Service::Platform, "/auth/reset-password")
        .answering(AS_400),
    row("GET", "/api/v1/auth/totp", Guard::Theirs, Service::Platform, "/auth/totp"),
    row("POST", "/api/v1/auth/totp/setup", Guard::Theirs, Service::Platform, "/auth/totp/setup").answering(AS_400),
    row("POST", "/api/v1/auth/totp/enable", Guard::Theirs, Service::Platform, "/auth/totp/enable").answering(AS_400),
    row("POST", "/api/v1/auth/totp/disable", Guard::Theirs, Service::Platform, "/auth/totp/disable").answering(AS_400),
    row("PATCH", "/api/v1/users/profile", Guard::Theirs, Service::Platform, "/auth/profile").answering(AS_400),
    row("GET", "/api/user/profile", Guard::Theirs, Service::Platform, "/auth/profile"),
    row("GET", "/api/v1/tenants/current", Guard::Theirs, Service::Platform, "/tenants/current"),
    row("GET", "/api/v1/analytics/{*path}", Guard::TheirsIfShown, Service::Platform, "/analytics/{*path}"),
    row("POST", "/api/v1/files/upload", Guard::User, Service::Automation, "/files/upload").taking(LARGE),
    row("GET", "/api/v1/airtable/info", Guard::Open, Service::Airtable, "/api/v1/info"),
    row("GET", "/api/v1/ai/health", Guard::Open, Service::Mcp, "/health"),
    row("GET", "/api/v1/platform/health", Guard::Open, Service::Platform, "/health"),
];

const fn row(method: &'static str, path: &'static str, guard: Guard, service: Service, target: &'static str) -> Row {
    Row { method, path, guard, service, target, body_limit: SMALL, statuses: &[] }
}

impl Row {
    const fn taking(self, body_limit: usize) -> Self {
        Self { body_limit, ..self }
    }

    const fn answering(self, statuses: &'static [(u16, u16)]) -> Self {
        Self { statuses, ..self }
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
