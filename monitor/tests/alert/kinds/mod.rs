//! One fixture per kind: its settings for a receiver at an address, and a receiver that is as strict as the real one.

mod alertmanager;
mod discord;
mod email;
mod exec;
mod ntfy;
mod opsgenie;
mod pagerduty;
mod slack;
mod teams;
mod telegram;
mod webhook;

pub(crate) use email::legible;

use std::any::Any;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use testkit::{Request, Response, Target};

/// What the compliance suite needs to know of a kind.
pub(crate) struct Fixture {
    /// The kind's name.
    pub(crate) kind: &'static str,
    /// Settings of a channel that tells the receiver there; every secret in them is `${SECRET}`.
    pub(crate) settings: fn(Place) -> String,
    /// A receiver that accepts only what the vendor documents, and then answers as told.
    pub(crate) receiver: fn(Reply) -> Receiver,
    /// What arrives only when it is over, and only when it is a drill.
    pub(crate) says: Says,
    /// Whether the other side can say how long to wait.
    pub(crate) can_be_busy: bool,
}

/// Words by which a receiver tells messages apart.
pub(crate) struct Says {
    pub(crate) resolved: &'static str,
    pub(crate) drill: &'static str,
}

/// Where a receiver is.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) addr: SocketAddr,
    pub(crate) tls: bool,
}

impl Place {
    pub(crate) fn plain(addr: SocketAddr) -> Self {
        Self { addr, tls: false }
    }

    /// `http://127.0.0.1:PORT`, or https.
    pub(crate) fn url(self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.addr)
    }
}

/// What a receiver answers to a message that is well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Accept,
    /// Not now, again in seven seconds.
    Busy,
    /// Its own trouble.
    Fail,
    /// This message never.
    Refuse,
}

/// A receiver that runs, and what has arrived there as a person would read it.
pub(crate) struct Receiver {
    pub(crate) addr: SocketAddr,
    read: Box<dyn Fn() -> Vec<String>>,
    /// What it runs on.
    _held: Box<dyn Any>,
}

impl Receiver {
    /// A receiver at `addr` that lives as long as `held`.
    pub(crate) fn new(addr: SocketAddr, read: impl Fn() -> Vec<String> + 'static, held: impl Any) -> Self {
        Self { addr, read: Box::new(read), _held: Box::new(held) }
    }

    /// A receiver over HTTP; `check` returns what is to be read, or what is wrong with the request.
    pub(crate) fn http(reply: Reply, accepted: (u16, &'static str), check: Check) -> Self {
        let arrived: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&arrived);
        let target = Target::respond_with(move |request| match (check(request), reply) {
            (Err(wrong), _) => Response::new(422, format!("not as documented: {wrong}")),
            (Ok(text), Reply::Accept) => {
                log.lock().unwrap().push(text);
                Response::new(accepted.0, accepted.1)
            }
            (Ok(_), Reply::Busy) => Response::new(429, "slow down").with_header("retry-after", "7"),
            (Ok(_), Reply::Fail) => Response::new(500, format!("oops {}", crate::SECRET)),
            (Ok(_), Reply::Refuse) => Response::new(400, format!("no such thing: {}", crate::SECRET)),
        });
        Self::new(target.addr(), move || arrived.lock().unwrap().clone(), target)
    }

    /// Everything that arrived.
    pub(crate) fn text(&self) -> String {
        (self.read)().join("\n")
    }
}

/// Reads a request as strictly as the vendor does.
pub(crate) type Check = fn(&Request) -> Result<String, String>;

/// Every fixture. A kind may have several, for its ways to speak.
pub(crate) fn all() -> Vec<Fixture> {
    vec![
        email::fixture(),
        slack::fixture(),
        discord::fixture(),
        teams::fixture(),
        telegram::fixture(),
        pagerduty::fixture(),
        opsgenie::fixture(),
        ntfy::fixture(),
        alertmanager::fixture(),
        webhook::own(),
        webhook::alertmanager(),
        webhook::template(),
        exec::fixture(),
    ]
}

/// Kinds without a network, which the suite of network faults leaves out.
pub(crate) const LOCAL: [&str; 1] = ["exec"];

/// Reads a POST of JSON to `path`.
pub(crate) fn json(request: &Request, path: &str) -> Result<Value, String> {
    must(request.method == "POST", "the method is POST")?;
    must(request.path == path, &format!("the path is {path}, not {}", request.path))?;
    let kind = request.header("content-type").unwrap_or_default();
    must(kind.starts_with("application/json"), "the content type is JSON")?;
    serde_json::from_slice(&request.body).map_err(|error| error.to_string())
}

/// Fails unless it holds.
pub(crate) fn must(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Takes text of at most `most` characters.
pub(crate) fn text(value: &Value, most: usize) -> Result<&str, String> {
    let text = value.as_str().ok_or_else(|| format!("{value} is not text"))?;
    must(text.chars().count() <= most, &format!("longer than {most} characters: {text}"))?;
    must(!text.is_empty(), "empty text")?;
    Ok(text)
}
