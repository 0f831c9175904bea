//! Sessions of people who signed in. Of the cookie only a digest is kept, here and on the disk; a session is worth
//! nothing once the token that it was begun with is not.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use kit::hmac::SigningKey;
use kit::http::{Access, Credential, Identity, SecretDigest, Via};
use serde::{Deserialize, Serialize};

/// Sessions of one person at once; the one that ends first gives way.
const MAX_OF_ONE: usize = 32;

/// Somebody has signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    /// Who.
    name: String,
    /// Stands for her token: with another token it is over.
    token: String,
    /// Until when.
    pub(super) until: Timestamp,
}

/// Every session, by the digest of its cookie in hexadecimal.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<String, Session>);

/// What begins with a new session.
pub(super) struct Begun {
    /// For the cookie; kept nowhere.
    pub(super) secret: String,
    /// Its key and what to write down.
    pub(super) kept: (String, Session),
    /// Keys of sessions that gave way.
    pub(super) ended: Vec<String>,
}

impl Sessions {
    /// Takes what an earlier monitor wrote down.
    pub(super) fn restore(&mut self, documents: HashMap<String, String>) {
        let read = |(key, body): (String, String)| Some((key, serde_json::from_str(&body).ok()?));
        self.0.extend(documents.into_iter().filter_map(read));
    }

    /// Begins one with 256 random bits.
    pub(super) fn begin(&mut self, who: &Credential, random: [u8; 32], until: Timestamp) -> Begun {
        let secret = URL_SAFE_NO_PAD.encode(random);
        let (key, session) = (key(&secret), Session { name: who.name.clone(), token: token_mark(who), until });
        self.0.insert(key.clone(), session.clone());
        let mut own: Vec<(Timestamp, String)> = self
            .0
            .iter()
            .filter(|(_, other)| other.name == who.name)
            .map(|(key, other)| (other.until, key.clone()))
            .collect();
        own.sort();
        own.retain(|(_, other)| *other != key);
        let excess = (own.len() + 1).saturating_sub(MAX_OF_ONE);
        let ended: Vec<String> = own.into_iter().take(excess).map(|(_, key)| key).collect();
        self.0.retain(|key, _| !ended.contains(key));
        Begun { secret, kept: (key, session), ended }
    }

    /// Returns whose session this cookie is of, as the token that it was begun with says now.
    pub(super) fn find(&self, secret: &str, access: &Access, now: Timestamp) -> Option<Identity> {
        let session = self.0.get(&key(secret))?;
        let who = access.named(&session.name).filter(|_| is_good(session, access, now))?;
        Some(Identity { name: who.name.clone(), role: who.role, via: Via::Session })
    }

    /// Ends the one with this cookie; returns its key, if there was one.
    pub(super) fn end(&mut self, secret: &str) -> Option<String> {
        self.0.remove_entry(&key(secret)).map(|(key, _)| key)
    }

    /// Ends those that are over, or whose token is not known any more; returns their keys.
    pub(super) fn sweep(&mut self, access: &Access, now: Timestamp) -> Vec<String> {
        let over = self.0.iter().filter(|(_, session)| !is_good(session, access, now));
        let over: Vec<String> = over.map(|(key, _)| key.clone()).collect();
        self.0.retain(|key, _| !over.contains(key));
        over
    }
}

/// Returns what a form of this session carries: another site's page can neither read nor guess it.
pub(super) fn form_token(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(SigningKey::new(secret.as_bytes()).sign(&[b"form"]))
}

/// Returns whether a form carries the token of its session.
pub(super) fn is_form_token(secret: &str, given: &str) -> bool {
    let given = URL_SAFE_NO_PAD.decode(given).unwrap_or_default();
    SigningKey::new(secret.as_bytes()).is_signature_of(b"form", &given)
}

fn is_good(session: &Session, access: &Access, now: Timestamp) -> bool {
    session.until > now && access.named(&session.name).is_some_and(|who| token_mark(who) == session.token)
}

fn key(secret: &str) -> String {
    SecretDigest::of(secret.as_bytes()).to_hex()
}

/// A digest of the token's digest: what is on the disk must not be what the configuration accepts.
fn token_mark(who: &Credential) -> String {
    SecretDigest::of(format!("session of {}", who.digest.to_hex()).as_bytes()).to_hex()
}

#[cfg(test)]
mod tests {
    use kit::http::{Place, Role};

    use super::*;

    fn credential(name: &str, token: &str) -> Credential {
        Credential { name: name.to_owned(), role: Role::Operator, digest: SecretDigest::of(token.as_bytes()) }
    }

    fn access(credentials: &[Credential]) -> Access {
        Access { credentials: credentials.to_vec(), place: Place::default() }
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    #[test]
    fn a_session_lasts_until_its_end_its_sign_out_or_another_token() {
        let (ada, mut sessions) = (credential("ada", "first"), Sessions::default());
        let begun = sessions.begin(&ada, [7; 32], at(100));
        let name = |sessions: &Sessions, access: &Access, now| {
            sessions.find(&begun.secret, access, now).map(|who| (who.name, who.via))
        };
        let known = access(std::slice::from_ref(&ada));
        assert_eq!(name(&sessions, &known, at(99)), Some(("ada".to_owned(), Via::Session)));
        assert_eq!(name(&sessions, &known, at(100)), None, "over");
        for changed in [access(&[]), access(&[credential("ada", "second")]), access(&[credential("eve", "first")])] {
            assert_eq!(name(&sessions, &changed, at(99)), None, "{changed:?}");
        }
        assert!(sessions.sweep(&known, at(99)).is_empty());
        let (key, session) = begun.kept.clone();
        let document = serde_json::to_string(&session).unwrap();
        assert!(!document.contains(&begun.secret) && !document.contains(&ada.digest.to_hex()), "{document}");
        let mut restarted = Sessions::default();
        restarted.restore([(key.clone(), document)].into());
        assert!(name(&restarted, &known, at(99)).is_some());
        assert_eq!(restarted.sweep(&access(&[]), at(99)), std::slice::from_ref(&key));
        assert_eq!((sessions.end(&begun.secret), sessions.end(&begun.secret)), (Some(key), None));
    }

    #[test]
    fn one_person_has_a_bounded_number_and_pushes_nobody_else_out() {
        let mut sessions = Sessions::default();
        let other = sessions.begin(&credential("eve", "e"), [255; 32], at(1));
        let mut ended = Vec::new();
        for number in 0..40u8 {
            ended.extend(sessions.begin(&credential("ada", "a"), [number; 32], at(100 + i64::from(number))).ended);
        }
        assert_eq!((sessions.0.len(), ended.len()), (MAX_OF_ONE + 1, 8));
        assert!(sessions.0.contains_key(&other.kept.0));
    }

    #[test]
    fn a_form_token_is_of_one_session() {
        let token = form_token("one");
        assert!(is_form_token("one", &token));
        assert!(!is_form_token("two", &token) && !is_form_token("one", "") && !is_form_token("one", "???"));
    }
}
