//! Who asks, and what he may: services everything, users read what is theirs.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use kit::http::{ApiError, PROBE_HEADER};

use super::routes::Analytics;
use crate::auth::{self, Caller, Scope};

/// Somebody who may write: a service.
#[derive(Debug)]
pub(super) struct Writer {
    /// A monitor: what it writes is not kept.
    pub(super) is_probe: bool,
}

/// Somebody who may read: everything, or the rows of one user.
#[derive(Debug)]
pub(super) struct Reader {
    only: Option<String>,
}

impl Reader {
    /// Returns whose rows are read, if not everybody's.
    ///
    /// # Errors
    /// 403 if they are somebody else's.
    pub(super) fn whose(&self, wanted: Option<String>) -> Result<Option<String>, ApiError> {
        match &self.only {
            Some(own) if wanted.as_ref().is_some_and(|wanted| wanted != own) => {
                Err(ApiError::forbidden("these are the rows of somebody else; leave user_id out, or write your own"))
            }
            Some(own) => Ok(Some(own.clone())),
            None => Ok(wanted),
        }
    }

    /// Goes on if everybody's rows may be read.
    ///
    /// # Errors
    /// 403 if not.
    pub(super) fn everybody(&self) -> Result<(), ApiError> {
        match self.only {
            Some(_) => Err(ApiError::forbidden("this is about everybody; it needs X-API-Key, or the role admin")),
            None => Ok(()),
        }
    }
}

/// Who makes a request.
enum Who {
    /// Whoever has the key; anybody, if no key is asked for.
    Service,
    /// Whoever has the token of an administrator.
    Admin,
    /// Whoever has the token of another user, with this id.
    User(String),
}

/// The one place that decides: a key counts before a token, and a wrong one of either is refused even if none is needed.
async fn who(parts: &mut Parts, analytics: &Analytics) -> Result<Who, ApiError> {
    if let Some(service) = auth::service(&analytics.auth, &parts.headers).await? {
        return service.must(Scope::Analytics).map(|()| Who::Service);
    }
    if parts.headers.contains_key(AUTHORIZATION) {
        let user = Caller::from_request_parts(parts, &analytics.auth).await?.user;
        return Ok(if user.is_admin() { Who::Admin } else { Who::User(user.id().to_owned()) });
    }
    if analytics.requires_key {
        let text = "a valid X-API-Key header, or a user's access token, is needed";
        return Err(ApiError::unauthorized(text).code("unauthorized"));
    }
    Ok(Who::Service)
}

impl FromRequestParts<Arc<Analytics>> for Writer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, analytics: &Arc<Analytics>) -> Result<Self, ApiError> {
        match who(parts, analytics).await? {
            Who::Service => Ok(Self { is_probe: parts.headers.contains_key(PROBE_HEADER) }),
            Who::Admin | Who::User(_) => Err(ApiError::forbidden("users only read; writing needs X-API-Key")),
        }
    }
}

impl FromRequestParts<Arc<Analytics>> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, analytics: &Arc<Analytics>) -> Result<Self, ApiError> {
        let only = match who(parts, analytics).await? {
            Who::Service | Who::Admin => None,
            Who::User(id) => Some(id),
        };
        Ok(Self { only })
    }
}
