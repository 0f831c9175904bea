//! SOCKS5 (RFC 1928), with user and password (RFC 1929). The proxy is told the target's name and looks it up itself.

use std::fmt;
use std::io;

use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::probe::address::{Address, Host};
use crate::probe::observation::{Outcome, Phase, ReasonCode};
use crate::probe::run::Run;

const VERSION: u8 = 5;
/// Ways to sign in (RFC 1928 section 3): none, and user with password.
const NOBODY: u8 = 0;
const PASSWORD: u8 = 2;
const NO_WAY: u8 = 0xff;
/// Longest user, password and name, in bytes: their length is one byte (RFC 1928 section 5, RFC 1929 section 2).
const MAX_BYTES: usize = 255;

/// User and password.
pub(super) struct Login {
    user: String,
    password: SecretString,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

impl Login {
    /// Takes both, if they can be sent.
    pub(super) fn new(user: String, password: String) -> Option<Self> {
        let is_fine = (1..=MAX_BYTES).contains(&user.len()) && password.len() <= MAX_BYTES;
        is_fine.then(|| Self { user, password: kit::secrets::secret(password) })
    }
}

/// Asks the proxy for a connection to the target.
pub(super) async fn ask(
    run: &mut Run,
    stream: &mut TcpStream,
    to: &Address,
    login: Option<&Login>,
) -> Result<(), Outcome> {
    run.enter(Phase::Connect);
    sign_in(stream, login).await?;
    let mut request = vec![VERSION, 1, 0];
    match &to.host {
        Host::Ip(std::net::IpAddr::V4(v4)) => {
            request.push(1);
            request.extend(v4.octets());
        }
        Host::Ip(std::net::IpAddr::V6(v6)) => {
            request.push(4);
            request.extend(v6.octets());
        }
        Host::Name(name) => {
            request.push(3);
            push(&mut request, name)
                .ok_or_else(|| Outcome::fail(ReasonCode::Protocol, "the target's name is too long for SOCKS5"))?;
        }
    }
    request.extend(to.port.to_be_bytes());
    stream.write_all(&request).await.map_err(broken)?;
    let [version, reply, _reserved, kind] = hear(stream).await?;
    if version != VERSION {
        return Err(no_socks());
    }
    if reply != 0 {
        return Err(refusal(reply, to));
    }
    // Where the proxy speaks from; nobody needs to know.
    let length = match kind {
        1 => 4,
        3 => usize::from(hear::<1>(stream).await?[0]),
        4 => 16,
        _ => return Err(no_socks()),
    };
    let mut unused = [0; MAX_BYTES + 2];
    let unused = unused.get_mut(..length + 2).ok_or_else(no_socks)?;
    stream.read_exact(unused).await.map_err(broken)?;
    run.leave();
    Ok(())
}

async fn sign_in(stream: &mut TcpStream, login: Option<&Login>) -> Result<(), Outcome> {
    let offer: &[u8] = if login.is_some() { &[VERSION, 2, NOBODY, PASSWORD] } else { &[VERSION, 1, NOBODY] };
    stream.write_all(offer).await.map_err(broken)?;
    let [version, chosen] = hear(stream).await?;
    let login = match (version, chosen, login) {
        (VERSION, NOBODY, _) => return Ok(()),
        (VERSION, PASSWORD, Some(login)) => login,
        (VERSION, NO_WAY, None) => {
            return Err(Outcome::local("the proxy wants to know who asks; write user and password into proxy_url"));
        }
        (VERSION, NO_WAY, Some(_)) => return Err(Outcome::local("the proxy takes no user and password")),
        _ => return Err(no_socks()),
    };
    let mut request = vec![1];
    push(&mut request, &login.user)
        .and_then(|()| push(&mut request, login.password.expose_secret()))
        .ok_or_else(no_socks)?;
    stream.write_all(&request).await.map_err(broken)?;
    match hear(stream).await? {
        [_, 0] => Ok(()),
        _ => Err(Outcome::local("the proxy refuses the user and password in proxy_url")),
    }
}

/// Adds a text behind its length; none if it is too long.
fn push(request: &mut Vec<u8>, text: &str) -> Option<()> {
    request.push(u8::try_from(text.len()).ok()?);
    request.extend(text.as_bytes());
    Some(())
}

async fn hear<const N: usize>(stream: &mut TcpStream) -> Result<[u8; N], Outcome> {
    let mut heard = [0; N];
    stream.read_exact(&mut heard).await.map_err(broken)?;
    Ok(heard)
}

fn broken(error: io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Outcome::local("the proxy closed the connection within SOCKS5"),
        _ => Outcome::local(format!("the proxy broke off SOCKS5: {error}")),
    }
}

fn no_socks() -> Outcome {
    Outcome::local("the proxy does not speak SOCKS5 (RFC 1928)")
}

/// RFC 1928 section 6: where the network, the host or its port is at fault the proxy speaks for the target.
fn refusal(reply: u8, to: &Address) -> Outcome {
    let cannot = |code, why: &str| Outcome::fail(code, format!("the proxy cannot reach {to}: {why}"));
    let refuses = |why: &str| Outcome::local(format!("the proxy refuses {to}: {why}"));
    match reply {
        1 => refuses("general failure"),
        2 => refuses("not allowed by its rules"),
        3 => cannot(ReasonCode::Unreachable, "network unreachable"),
        4 => cannot(ReasonCode::Unreachable, "host unreachable"),
        5 => cannot(ReasonCode::Refused, "connection refused"),
        6 => cannot(ReasonCode::Unreachable, "TTL expired"),
        7 => refuses("command not supported"),
        8 => refuses("kind of address not supported"),
        other => refuses(&format!("reply {other}")),
    }
}
