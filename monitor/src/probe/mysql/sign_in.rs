//! How a session of MySQL begins: who we are, and the proof of it ("Authentication Method").

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use super::greeting::{Greeting, SALT_BYTES, answer};
use super::packet::{ERROR, Packet, framed, parse};
use super::refusal::Refusal;
use super::{MySqlProbe, malformed};
use crate::probe::expect::excerpt;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::run::Run;
use crate::probe::wire::Wire;

/// Ways to sign in, by the names of their plug-ins.
const NATIVE: &str = "mysql_native_password";
const SHA2: &str = "caching_sha2_password";
const CLEAR: &str = "mysql_clear_password";

/// What caching_sha2_password says of the first proof: it is right, or cannot be checked without the password.
const PROVEN: u8 = 3;
const WANTS_PASSWORD: u8 = 4;

/// Says who we are after the packet `number`, and waits until the server lets us in.
///
/// # Errors
/// The inner one is what the server says of us.
pub(super) async fn sign_in(
    probe: &MySqlProbe,
    run: &mut Run,
    wire: &mut Wire,
    greeting: &Greeting,
    number: u8,
) -> Result<Result<(), Refusal>, Outcome> {
    let password = probe.login.password().unwrap_or_default();
    // A server begins with its usual way, and changes to that of the user.
    let plugin = if greeting.plugin == SHA2 { SHA2 } else { NATIVE };
    let proof = prove(plugin, password, &greeting.salt);
    let user = probe.login.username.as_deref().unwrap_or_default();
    let said = answer(wire.is_tls(), user, &proof, probe.database.as_deref(), plugin);
    wire.send(&framed(number.wrapping_add(1), &said), "who we are").await?;
    loop {
        let packet = wire.receive(run, "the answer to who we are", parse).await?;
        let next = match packet.kind() {
            Some(0) => return Ok(Ok(())),
            Some(ERROR) => return Ok(Err(Refusal::read(&packet))),
            // Nobody has nothing to prove, whatever the way.
            Some(0xfe) if user.is_empty() => Vec::new(),
            Some(0xfe) => change(&packet, password, wire)?,
            Some(1) => match packet.body.get(1) {
                Some(&PROVEN) => continue,
                Some(&WANTS_PASSWORD) => show(password, wire)?,
                _ => return Err(malformed("the answer to who we are")),
            },
            _ => return Err(malformed("the answer to who we are")),
        };
        wire.send(&framed(packet.number.wrapping_add(1), &next), "the proof").await?;
    }
}

/// Goes over to the way to sign in that the server wants.
fn change(packet: &Packet, password: &str, wire: &Wire) -> Result<Vec<u8>, Outcome> {
    let mut rest = packet.rest();
    // Without a name it is the way of before MySQL 4.1.
    let plugin = String::from_utf8_lossy(rest.until_zero().unwrap_or(b"mysql_old_password")).into_owned();
    match plugin.as_str() {
        NATIVE | SHA2 => {
            let salt = rest.take(SALT_BYTES).ok_or_else(|| malformed("the way to sign in"))?;
            Ok(prove(&plugin, password, salt))
        }
        CLEAR => show(password, wire),
        other => {
            let known = "mysql_native_password, caching_sha2_password";
            let text = format!(
                "it wants a way to sign in that is not known here ({}); let the user have one of {known}",
                excerpt(other.as_bytes())
            );
            Err(Outcome::fail(ReasonCode::Auth, text))
        }
    }
}

/// The password itself goes out only where nobody but the server reads it. Without TLS a server would take it encrypted
/// with a key that it sends unproven: whoever sits between would send his own.
fn show(password: &str, wire: &Wire) -> Result<Vec<u8>, Outcome> {
    if !wire.is_tls() {
        let text = "it wants the password itself, which is sent over TLS only; write tls: {}";
        return Err(Outcome::fail(ReasonCode::Auth, text));
    }
    Ok([password.as_bytes(), &[0]].concat())
}

/// Shows that we know the password, without telling it. There is nothing to show of an empty one.
fn prove(plugin: &str, password: &str, salt: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let (algorithm, salt_first): (&'static Algorithm, bool) =
        if plugin == SHA2 { (&SHA256, false) } else { (&SHA1_FOR_LEGACY_USE_ONLY, true) };
    let hash = |bytes: &[u8]| digest(algorithm, bytes).as_ref().to_vec();
    let once = hash(password.as_bytes());
    let twice = hash(&once);
    let mask = if salt_first { hash(&[salt, &twice].concat()) } else { hash(&[&twice, salt].concat()) };
    once.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn both_proofs_are_what_others_compute() {
        // Computed with Python's `hashlib`.
        let salt = b"12345678abcdefghijkl";
        assert_eq!(HEXLOWER.encode(&prove(NATIVE, "hunter2", salt)), "fce44bc079c9c8410543dc0673484a2b6ba4cfaf");
        assert_eq!(
            HEXLOWER.encode(&prove(SHA2, "hunter2", salt)),
            "4de7d67691acb99e54a04d5e2734555196cc37c6a01b1f2edc4a2eca9c0dca12"
        );
        assert_eq!(prove(SHA2, "", salt), b"");
    }
}
