//! Says in the OpenAPI document what each operation needs, as the table of the door has it.

use axum::http::Method;
use utoipa::Modify;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};

use super::guard::{Need, need};
use super::reception::SESSION_COOKIE;

const SESSION: &str = "session";
const VIEWER: &str = "viewer";
/// A heartbeat takes the job's own token as well.
const JOB: &str = "job";
const PUSH: &str = "/api/v1/heartbeat/{service}/{check}";

pub(in crate::export) struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut OpenApi) {
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in [
                (Method::GET, &mut item.get),
                (Method::POST, &mut item.post),
                (Method::PUT, &mut item.put),
                (Method::DELETE, &mut item.delete),
                (Method::PATCH, &mut item.patch),
            ] {
                if let Some(operation) = operation {
                    describe(operation, need(&method, path), path);
                }
            }
        }
        let components = document.components.get_or_insert_default();
        for (name, text) in [
            (VIEWER, "A token; whether reading needs one is what `access.public` says."),
            ("source", "A token with the role source, operator or admin."),
            ("operator", "A token with the role operator or admin."),
            ("admin", "A token with the role admin."),
            (JOB, "The token of the heartbeat itself."),
        ] {
            let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build();
            components.add_security_scheme(name, SecurityScheme::Http(bearer));
        }
        let text = "The cookie of a session (`/login`); changing requests need a matching `Origin` too.";
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description(SESSION_COOKIE, text));
        components.add_security_scheme(SESSION, SecurityScheme::ApiKey(cookie));
    }
}

fn describe(operation: &mut Operation, need: Need, path: &str) {
    let by = |name: &str| SecurityRequirement::new(name, std::iter::empty::<String>());
    operation.security = match need {
        Need::Nothing if path == PUSH => Some(vec![by(JOB), by("operator"), by(SESSION)]),
        Need::Nothing => None,
        Need::Names | Need::Details => Some(vec![SecurityRequirement::default(), by(VIEWER), by(SESSION)]),
        Need::Role(role) => Some(vec![by(role.as_str()), by(SESSION)]),
    };
}
