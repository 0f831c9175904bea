//! How a session of PostgreSQL begins: who we are, the proof of it, and until the server is ready.

use data_encoding::HEXLOWER;
use md5::{Digest, Md5};

use super::message::{Message, message, parse, sasl_initial, startup, text};
use super::refusal::refusal;
use super::scram::{MECHANISM, Proof, Scram};
use super::{PostgresProbe, malformed};
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::reader::Reader;
use crate::probe::run::Run;
use crate::probe::wire::Wire;

/// What the server tells before it is ready.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    pub(super) version: Option<String>,
}

/// Signs in, and waits until the server is ready for a query.
pub(super) async fn sign_in(probe: &PostgresProbe, run: &mut Run, wire: &mut Wire) -> Result<Greeting, Outcome> {
    wire.send(&startup(&probe.user, &probe.database), "who we are").await?;
    let mut greeting = Greeting::default();
    loop {
        let Message { kind, body } = wire.receive(run, "the greeting", parse).await?;
        match kind {
            b'R' => authenticate(probe, run, wire, &body).await?,
            b'E' => return Err(refusal(&body)),
            b'S' => {
                let mut reader = Reader(&body);
                if reader.until_zero() == Some(b"server_version") {
                    greeting.version = reader.until_zero().map(|text| String::from_utf8_lossy(text).into_owned());
                }
            }
            b'Z' => return Ok(greeting),
            // Keys to cancel with, notices, and which minor versions it knows.
            b'K' | b'N' | b'v' => {}
            _ => return Err(malformed("the greeting")),
        }
    }
}

async fn authenticate(probe: &PostgresProbe, run: &mut Run, wire: &mut Wire, body: &[u8]) -> Result<(), Outcome> {
    let mut reader = Reader(body);
    let way = reader.u32().ok_or_else(|| malformed("the greeting"))?;
    if way == 0 {
        return Ok(());
    }
    let Some(password) = probe.login.password() else {
        let wanted = "it wants a password, and none is configured; write password_file";
        return Err(Outcome::fail(ReasonCode::Auth, wanted));
    };
    match way {
        3 => {
            may_show(probe, run, wire, "in plain text")?;
            wire.send(&text(b'p', password), "the password").await
        }
        5 => {
            may_show(probe, run, wire, "as MD5")?;
            let salt = reader.take(4).ok_or_else(|| malformed("the greeting"))?;
            wire.send(&text(b'p', &md5_answer(&probe.user, password, salt)), "the password").await
        }
        10 if offers_scram(reader) => scram(run, wire, password).await,
        _ => {
            Err(Outcome::fail(ReasonCode::Auth, "it wants a way to sign in that is not known here (not SCRAM-SHA-256)"))
        }
    }
}

/// A password that can be read, or guessed at leisure, from what is sent goes out only where that is written, and
/// nobody listens.
fn may_show(probe: &PostgresProbe, run: &Run, wire: &Wire, how: &str) -> Result<(), Outcome> {
    if !probe.legacy_auth {
        let text = format!("it wants the password {how}; let it use scram-sha-256, or write legacy_auth: true");
        return Err(Outcome::fail(ReasonCode::Auth, text));
    }
    if !wire.is_private(run) {
        let text =
            format!("it wants the password {how}, which is not sent without TLS to another host; write tls: {{}}");
        return Err(Outcome::fail(ReasonCode::Auth, text));
    }
    Ok(())
}

fn offers_scram(mut offered: Reader<'_>) -> bool {
    while let Some(name) = offered.until_zero().filter(|name| !name.is_empty()) {
        if name == MECHANISM.as_bytes() {
            return true;
        }
    }
    false
}

/// `md5` and the digest of the digest of password and name, and the salt (manual, section "Password Authentication").
fn md5_answer(user: &str, password: &str, salt: &[u8]) -> String {
    let inner = HEXLOWER.encode(&Md5::new().chain_update(password).chain_update(user).finalize());
    format!("md5{}", HEXLOWER.encode(&Md5::new().chain_update(inner).chain_update(salt).finalize()))
}

async fn scram(run: &mut Run, wire: &mut Wire, password: &str) -> Result<(), Outcome> {
    let scram = Scram::new(&rand::random::<[u8; 18]>());
    wire.send(&sasl_initial(MECHANISM, scram.first().as_bytes()), "who we are").await?;
    let server_first = sasl(run, wire, 11).await?;
    let proof = prove(scram, server_first, password).await?;
    wire.send(&message(b'p', proof.message.as_bytes()), "the proof").await?;
    let server_final = sasl(run, wire, 12).await?;
    if proof.is_answered_by(&server_final) {
        return Ok(());
    }
    Err(Outcome::fail(ReasonCode::Auth, "the server does not know the password itself: it is not the one it should be"))
}

/// The work is the server's to choose, so it is done where it holds nobody up.
async fn prove(scram: Scram, server_first: String, password: &str) -> Result<Proof, Outcome> {
    let password = secrecy::SecretString::from(password);
    let work = move || scram.prove(&server_first, secrecy::ExposeSecret::expose_secret(&password));
    let done =
        tokio::task::spawn_blocking(work).await.map_err(|_| Outcome::local("the proof could not be computed"))?;
    done.map_err(|wrong| Outcome::fail(ReasonCode::Protocol, wrong))
}

/// Waits for one step of SASL from the server.
async fn sasl(run: &mut Run, wire: &mut Wire, step: u32) -> Result<String, Outcome> {
    let Message { kind, body } = wire.receive(run, "its side of the proof", parse).await?;
    let mut reader = Reader(&body);
    match kind {
        b'E' => Err(refusal(&body)),
        b'R' if reader.u32() == Some(step) => Ok(String::from_utf8_lossy(reader.0).into_owned()),
        _ => Err(malformed("its side of the proof")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_way_hashes_twice() {
        // Computed with Python's `hashlib`.
        assert_eq!(md5_answer("me", "pw", &[1, 2, 3, 4]), "md596a0ef0da7c9c4c77c22c155d8ef42d4");
    }
}
