//! Where people come in: who may, who has, and who is refused. Everything in it is taken anew by a reload.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use kit::clock::{Moment, later};
use kit::http::{Access, Caller, Credential, Identity, Place, Role};
use tokio::sync::watch;

use super::attempts::Attempts;
use super::guard::Visitor;
use super::sessions::Sessions;
use crate::record::{AuditRow, State, StateBatch, StoreError};
use kit::http::{AccessSettings, Public};

/// The cookie of a session.
pub(in crate::export) const SESSION_COOKIE: &str = "monitor_session";
/// Document kind of sessions, and what the audit calls them.
const SESSION: &str = "session";
/// How long signing out waits for the disk.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// Why somebody was not signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::export) enum Refusal {
    /// The request comes from the wrong place.
    Place(String),
    /// Too many failures; wait so long.
    TooMany(Duration),
    /// We know no such token.
    Unknown,
    /// It is the token of a program, which has nothing to look at.
    Program,
}

/// Who may come in, and who has signed in.
pub struct Reception {
    listening: SocketAddr,
    access: ArcSwap<Access>,
    settings: ArcSwap<AccessSettings>,
    sessions: Mutex<Sessions>,
    attempts: Mutex<Attempts>,
    state: Arc<State>,
    /// Changes whenever somebody may have lost a permission.
    revoked: watch::Sender<()>,
}

impl Reception {
    /// Knows nobody yet, and hides nothing; `listening` is the address that is served.
    pub fn new(state: Arc<State>, listening: SocketAddr) -> Self {
        Self {
            listening,
            access: ArcSwap::default(),
            settings: ArcSwap::from_pointee(AccessSettings::STANDARD),
            sessions: Mutex::default(),
            attempts: Mutex::default(),
            state,
            revoked: watch::Sender::default(),
        }
    }

    /// Takes new settings at once: tokens that are gone count no more, nor do their sessions.
    pub fn configure(&self, settings: &AccessSettings, public_url: Option<&str>) {
        let public_url = public_url.and_then(|url| url.parse().ok());
        let proxies = settings.trusted_proxies.clone();
        let place = Place::new(Place::own_names(self.listening), &settings.hosts, public_url.as_ref(), proxies);
        self.access.store(Arc::new(Access { credentials: settings.credentials.clone(), place }));
        self.settings.store(Arc::new(settings.clone()));
        self.forget(self.sessions().sweep(&self.access(), Timestamp::now()));
        self.revoked.send_replace(());
    }

    /// Reads the sessions that an earlier monitor left, and drops those whose token is not in the settings that were taken
    /// before.
    ///
    /// # Errors
    /// The store cannot be read; people sign in again.
    pub async fn restore(&self) -> Result<(), StoreError> {
        let documents = self.state.store().documents(SESSION).await?;
        let over = {
            let mut sessions = self.sessions();
            sessions.restore(documents);
            sessions.sweep(&self.access(), Timestamp::now())
        };
        self.forget(over);
        Ok(())
    }

    /// Returns what everybody may read.
    pub(super) fn public(&self) -> Public {
        self.settings.load().public
    }

    /// Returns where tokens count.
    pub(in crate::export) fn access(&self) -> Arc<Access> {
        self.access.load_full()
    }

    /// Returns who makes a request with these headers from this peer, by its token or its session.
    pub(in crate::export) fn visitor(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Visitor {
        let access = self.access();
        let mut caller = access.caller(headers, peer);
        let mut session = None;
        if caller == Caller::Stranger
            && let Some(secret) = cookie(headers)
            && let Some(identity) = self.sessions().find(secret, &access, Timestamp::now())
        {
            caller = Caller::Known(identity);
            session = Some(secret.into());
        }
        let (public, may_read) = (self.public(), caller.require(Role::Viewer).is_ok());
        Visitor {
            sees_names: may_read || public >= Public::Names,
            sees_details: may_read || public >= Public::Details,
            can_sign_in: !access.credentials.is_empty(),
            peer,
            address: access.place.client(headers, peer),
            revoked: Some(self.revoked.subscribe()),
            caller,
            session,
        }
    }

    /// Signs somebody in by her token; returns the cookie to set.
    pub(in crate::export) fn sign_in(
        &self,
        token: &str,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<String, Refusal> {
        let access = self.access();
        access.place.check(headers, peer).map_err(Refusal::Place)?;
        // Without an address all are one: only tests have no peer.
        let address = access.place.client(headers, peer).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let known = self.try_token(&access, token, address)?;
        if !known.role.may(Role::Viewer) {
            return Err(Refusal::Program);
        }
        let length = self.settings.load().session_length;
        let secret = self.begin(&access, known, length, address);
        let secure = if access.place.is_https(headers) { "; Secure" } else { "" };
        Ok(format!(
            "{SESSION_COOKIE}={secret}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
            length.as_secs()
        ))
    }

    fn try_token<'a>(&self, access: &'a Access, token: &str, address: IpAddr) -> Result<&'a Credential, Refusal> {
        // One lock for looking and counting: tries at the same moment must not all come before the first failure.
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = attempts.wait(address, Moment::now()) {
            return Err(Refusal::TooMany(wait));
        }
        access.find(token.trim()).ok_or_else(|| {
            attempts.failed(address, Moment::now());
            self.state.put(row("somebody unknown", "login.refused", &format!("from {address}")).into());
            Refusal::Unknown
        })
    }

    /// Begins a session; returns the secret of its cookie.
    fn begin(&self, access: &Access, who: &Credential, length: Duration, address: IpAddr) -> String {
        let now = Timestamp::now();
        let mut sessions = self.sessions();
        let mut ended = sessions.sweep(access, now);
        let begun = sessions.begin(who, rand::random(), later(now, length));
        drop(sessions);
        ended.extend(begun.ended);
        let mut batch = StateBatch::default();
        batch.documents.extend(ended.into_iter().map(|key| ((SESSION, key), None)));
        let (key, session) = begun.kept;
        batch.documents.insert((SESSION, key), serde_json::to_string(&session).ok());
        batch.audit.push(row(&who.name, "login", &format!("from {address}")));
        self.state.put(batch);
        begun.secret
    }

    /// Ends a session, on the disk too before this returns if that takes it; returns the cookie to set.
    pub(in crate::export) async fn sign_out(&self, who: &Identity, visitor: &Visitor) -> String {
        let ended = visitor.session.as_deref().and_then(|secret| self.sessions().end(secret));
        if let Some(key) = ended {
            self.revoked.send_replace(());
            let mut batch = StateBatch::from(row(&who.name, "logout", &visitor.from()));
            batch.documents.insert((SESSION, key), None);
            let written = self.state.put_durably(batch);
            if !matches!(tokio::time::timeout(WRITE_PATIENCE, written).await, Ok(Ok(()))) {
                tracing::warn!("a session has ended, but that is not written down yet");
            }
        }
        format!("{SESSION_COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
    }

    fn forget(&self, keys: Vec<String>) {
        let documents = keys.into_iter().map(|key| ((SESSION, key), None)).collect();
        self.state.put(StateBatch { documents, ..StateBatch::default() });
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn row(who: &str, action: &str, detail: &str) -> AuditRow {
    AuditRow::new(who, action, SESSION, detail)
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(name, _)| *name == SESSION_COOKIE).map(|(_, value)| value)
}
