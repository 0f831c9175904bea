//! Who asks, and what she may do: named tokens with roles, of which only digests are kept.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap, header};
use secrecy::{ExposeSecret, SecretString};

use super::digest::SecretDigest;
use super::error::ApiError;
use super::place::Place;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A program: hands its alerts in, and nothing else.
    Source,
    /// Reads everything.
    Viewer,
    /// Changes what is going on: silences, acknowledges, reloads; reads the audit. May do what a viewer and a source may.
    Operator,
    /// Changes who may do what. May do everything.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 4] = [Self::Source, Self::Viewer, Self::Operator, Self::Admin];

    /// Returns whether this role may do what `needed` may.
    pub fn may(self, needed: Self) -> bool {
        match self {
            Self::Source | Self::Viewer => needed == self,
            Self::Operator => needed != Self::Admin,
            Self::Admin => true,
        }
    }

    /// Returns the word in configurations and on pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How somebody has shown who she is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// By a token in `Authorization: Bearer`.
    Token,
    /// By a cookie, after signing in.
    Session,
    /// By a signed link in a message, with a name of her own choice.
    Link,
}

/// Who makes a request, as an extension of it: for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name that stands in the audit.
    pub name: String,
    /// What she may do.
    pub role: Role,
    /// How we know.
    pub via: Via,
}

/// Somebody who may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Her name.
    pub name: String,
    /// What she may do.
    pub role: Role,
    /// The digest of her token.
    pub digest: SecretDigest,
}

/// Everybody who may come in, and under which names this server is asked. The default lets nobody in.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Each with a name and a token of her own.
    pub credentials: Vec<Credential>,
    /// Where a token counts.
    pub place: Place,
}

impl Access {
    /// Returns whose token it is.
    pub fn find(&self, token: &str) -> Option<&Credential> {
        let digest = SecretDigest::of(token.as_bytes());
        // All are compared, so that the time taken does not tell which one it was.
        self.credentials
            .iter()
            .fold(None, |found, credential| if credential.digest == digest { Some(credential) } else { found })
    }

    /// Returns who has this name.
    pub fn named(&self, name: &str) -> Option<&Credential> {
        self.credentials.iter().find(|credential| credential.name == name)
    }

    /// Returns who makes a request with these headers from this peer, by the token in it.
    pub fn caller(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Caller {
        if let Err(why) = self.place.check(headers, peer) {
            return Caller::Refused(why);
        }
        match bearer(headers).and_then(|token| self.find(token)) {
            Some(known) => Caller::Known(Identity { name: known.name.clone(), role: known.role, via: Via::Token }),
            None => Caller::Stranger,
        }
    }
}

/// What is known of whoever makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// We know her.
    Known(Identity),
    /// Nothing in the request says who it is.
    Stranger,
    /// Whatever it says does not count, for this reason.
    Refused(String),
}

impl Caller {
    /// Returns who it is, if we know.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Known(identity) => Some(identity),
            Self::Stranger | Self::Refused(_) => None,
        }
    }

    /// Returns who it is, if she may do what this role may.
    ///
    /// # Errors
    /// The answer to give: 401 to a stranger or a wrong token, 403 to whoever may less or comes from the wrong place.
    pub fn require(&self, role: Role) -> Result<&Identity, ApiError> {
        match self {
            Self::Known(identity) if identity.role.may(role) => Ok(identity),
            Self::Known(Identity { name, role: own, .. }) => {
                Err(ApiError::forbidden(format!("this needs the role {role}; {name} is {own}")))
            }
            Self::Refused(why) => Err(ApiError::forbidden(why.clone())),
            Self::Stranger => {
                Err(ApiError::unauthorized(format!("a token with the role {role} is needed: Authorization: Bearer …"))
                    .code("unauthorized"))
            }
        }
    }
}

/// Returns whether the request carries `token` in `Authorization: Bearer`.
pub fn bears(headers: &HeaderMap, token: &SecretString) -> bool {
    let digest = SecretDigest::of(token.expose_secret().as_bytes());
    bearer(headers).is_some_and(|given| SecretDigest::of(given.as_bytes()) == digest)
}

/// Returns the one token of `Authorization` (RFC 6750 section 2.1); the scheme's name has no case (RFC 9110 section 11.1).
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Returns the address that a request comes from, as [`super::serve`] noted it.
pub fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn access() -> Access {
        let credential = |name: &str, role, token: &str| Credential {
            name: name.to_owned(),
            role,
            digest: SecretDigest::of(token.as_bytes()),
        };
        Access {
            credentials: vec![
                credential("prometheus", Role::Source, "s0urce"),
                credential("operator", Role::Operator, "t0ken"),
                credential("eve", Role::Viewer, "v1ew"),
                credential("root", Role::Admin, "adm1n"),
            ],
            place: Place::new(vec!["127.0.0.1:8888".to_owned()], &[], None, Vec::new()),
        }
    }

    fn caller(access: &Access, pairs: &[(&str, &str)]) -> Caller {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        access.caller(&headers, None)
    }

    fn status(caller: &Caller, role: Role) -> u16 {
        caller.require(role).map_or_else(|error| error.status().as_u16(), |_| 200)
    }

    #[test]
    fn only_the_token_from_this_host_without_a_proxy_may_write() {
        let (host, token) = (("host", "127.0.0.1:8888"), ("authorization", "Bearer t0ken"));
        for (pairs, expected) in [
            (&[host, token][..], 200),
            (&[host, token, ("origin", "http://127.0.0.1:8888")], 200),
            (&[host, ("authorization", "bearer t0ken")], 200),
            (&[host, ("authorization", "BEARER  t0ken")], 200),
            (&[host, ("authorization", "Basic t0ken")], 401),
            (&[host, ("authorization", "t0ken")], 401),
            (&[host], 401),
            (&[host, ("authorization", "Bearer t0ken2")], 401),
            (&[host, token, ("origin", "http://evil.example")], 403),
            (&[("host", "evil.example"), token], 403),
            (&[host, token, ("x-forwarded-for", "10.0.0.1")], 403),
        ] {
            assert_eq!(status(&caller(&access(), pairs), Role::Operator), expected, "{pairs:?}");
        }
        assert_eq!(status(&caller(&Access::default(), &[host, token]), Role::Viewer), 403, "the default knows nobody");
    }

    #[test]
    fn a_token_comes_once_and_with_its_scheme() {
        for (values, token) in [
            (vec!["Bearer abc"], Some("abc")),
            (vec!["bearer  abc"], Some("abc")),
            (vec!["abc"], None),
            (vec!["Basic abc"], None),
            (vec!["Bearer a", "Bearer b"], None),
            (vec![], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(bearer(&headers), token, "{values:?}");
        }
    }

    #[test]
    fn each_role_may_what_it_is_for_and_no_more() {
        for (token, source, viewer, operator, admin) in [
            ("s0urce", 200, 403, 403, 403),
            ("v1ew", 403, 200, 403, 403),
            ("t0ken", 200, 200, 200, 403),
            ("adm1n", 200, 200, 200, 200),
            ("", 401, 401, 401, 401),
        ] {
            let caller =
                caller(&access(), &[("host", "127.0.0.1:8888"), ("authorization", &format!("Bearer {token}"))]);
            let found = Role::ALL.map(|role| status(&caller, role));
            assert_eq!(found, [source, viewer, operator, admin], "{token}");
        }
    }

    #[test]
    fn the_answer_to_a_wrong_token_is_the_one_to_none() {
        let host = ("host", "127.0.0.1:8888");
        assert_eq!(caller(&access(), &[host]), caller(&access(), &[host, ("authorization", "Bearer wrong")]));
        let known = caller(&access(), &[host, ("authorization", "Bearer v1ew")]);
        assert_eq!(known.identity().map(|who| (who.name.as_str(), who.via)), Some(("eve", Via::Token)));
    }
}
