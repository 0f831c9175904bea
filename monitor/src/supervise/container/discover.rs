//! Reads `discover: { NAME: { container: … } }`: which containers of an engine are found, and where they answer.

use std::net::IpAddr;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::config::Cursor;
use tokio::sync::mpsc;

use super::address::Address;
use super::settings::found;
use super::survey::Wanted;
use super::{connection::Connection, scout};
use crate::supervise::discovery::{Look, Scout};
use crate::supervise::workload::{Sought, Workload};

/// Containers of one engine that are found by themselves.
#[derive(Debug, Clone)]
pub(super) struct Discover {
    pub(super) address: Address,
    pub(super) wanted: Wanted,
}

impl Discover {
    /// Reads `engine`, `tls`, `labels`, `project`, `network`, `published` and `engine_host`.
    pub(super) fn decode(cursor: &Cursor<'_>) -> Option<Self> {
        let fields = cursor.fields()?;
        let address = Address::decode(&fields);
        let project = fields.get("project").and_then(|c| filled(&c));
        // Who names a project means its services.
        let labels = fields.get("labels").and_then(|c| c.bool()).unwrap_or(project.is_none());
        if !labels && project.is_none() {
            cursor.mistake("nothing would be found; write labels: true, or project: NAME");
        }
        let network = fields.get("network").and_then(|c| filled(&c));
        let published = fields.get("published").and_then(|c| c.bool()).unwrap_or(false);
        if let (true, Some(network)) = (published, fields.get("network")) {
            network.mistake("published ports are the host's, in no network; leave out \"network\" or \"published\"");
        }
        let host = fields.get("engine_host").map(|c| host(&c));
        fields.end();
        let address = address?;
        let host = host.unwrap_or_else(|| Some(address.host().unwrap_or("127.0.0.1").to_owned()));
        Some(Self { address, wanted: Wanted { labels, project, network, published, host: host? } })
    }
}

fn filled(cursor: &Cursor<'_>) -> Option<String> {
    let text = cursor.text()?;
    if text.is_empty() {
        cursor.mistake("this is empty; write a name, or leave it out");
        return None;
    }
    Some(text)
}

/// A host as it stands in an address: IPv6 in brackets.
fn host(cursor: &Cursor<'_>) -> Option<String> {
    let text = cursor.text()?;
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => return Some(format!("[{address}]")),
        Ok(IpAddr::V4(address)) => return Some(address.to_string()),
        Err(_) => {}
    }
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) {
        cursor.mistake(format!("{text:?} is no host; write a name or an address without a port, like 127.0.0.1"));
        return None;
    }
    Some(text)
}

impl Scout for Discover {
    fn address(&self) -> &str {
        &self.address.shown
    }

    fn looks_for(&self) -> String {
        self.wanted.to_string()
    }

    fn workload(&self, sought: &Sought) -> Workload {
        found(sought, &self.address)
    }

    fn look(&self) -> BoxFuture<'static, Look> {
        let discover = self.clone();
        async move {
            let look = async { Connection::open(&discover.address)?.survey(&discover.wanted).await };
            look.await.map_err(|blind| blind.to_string())
        }
        .boxed()
    }

    fn keep_looking(&self, looks: mpsc::Sender<Look>) -> BoxFuture<'static, ()> {
        scout::keep_looking(self.clone(), looks).boxed()
    }
}
