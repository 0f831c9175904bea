//! How a server of MySQL begins, and how it is answered ("Connection Phase Packets": Protocol::HandshakeV10 and
//! Protocol::HandshakeResponse41).

use super::packet::Packet;

/// What client and server can do ("Capabilities Flags").
const LONG_PASSWORD: u32 = 1;
const WITH_DATABASE: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
const TLS: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGINS: u32 = 1 << 19;
/// `utf8mb4_general_ci`, which all servers know.
const CHARSET: u8 = 45;
/// Longest packet that we say we take, in bytes.
const MAX_PACKET_BYTES: u32 = 1 << 24;
/// What MariaDB puts before its version for old clients.
const REPLICATION_PREFIX: &str = "5.5.5-";
/// Length of what is hashed with the password, in bytes.
pub(super) const SALT_BYTES: usize = 20;

/// What a server says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Greeting {
    /// As `select version()` has it.
    pub(super) version: String,
    pub(super) salt: Vec<u8>,
    /// The way to sign in that it begins with.
    pub(super) plugin: String,
    capabilities: u32,
}

impl Greeting {
    /// Reads it; none if it is cut or of an older protocol.
    pub(super) fn read(packet: &Packet) -> Option<Self> {
        let mut rest = packet.rest();
        let version = String::from_utf8_lossy(rest.until_zero()?).into_owned();
        rest.take(4)?;
        let mut salt = rest.take(8)?.to_vec();
        rest.take(1)?;
        let low = rest.little(2)?;
        // Character set and state.
        rest.take(3)?;
        let capabilities = u32::try_from((rest.little(2)? << 16) | low).ok()?;
        let length = rest.u8()?;
        // Ten bytes that say nothing here.
        rest.take(10)?;
        // At least 13, the last of them zero.
        let more = rest.take(usize::from(length).saturating_sub(8).max(13))?;
        salt.extend_from_slice(more);
        salt.truncate(SALT_BYTES);
        let plugin = rest.until_zero().unwrap_or(b"mysql_native_password");
        let plugin = String::from_utf8_lossy(plugin).into_owned();
        (capabilities & PROTOCOL_41 != 0).then_some(())?;
        let version = version.strip_prefix(REPLICATION_PREFIX).unwrap_or(&version).to_owned();
        Some(Self { version, salt, plugin, capabilities })
    }

    /// True if it would speak TLS.
    pub(super) fn offers_tls(&self) -> bool {
        self.capabilities & TLS != 0
    }

    /// True for MariaDB, which names its own limits differently.
    pub(super) fn is_maria(&self) -> bool {
        self.version.contains("MariaDB")
    }

    /// `MySQL 8.0.36` or `MariaDB 10.11.6`
    pub(super) fn spoken(&self) -> String {
        let number = self.version.split('-').next().unwrap_or_default();
        format!("{} {number}", if self.is_maria() { "MariaDB" } else { "MySQL" })
    }
}

/// The wish for TLS: the beginning of the answer.
pub(super) fn wish_for_tls(database: Option<&str>) -> Vec<u8> {
    beginning(TLS, database)
}

/// Who we are, and the first proof of it, for the way to sign in that is called `plugin`.
pub(super) fn answer(is_tls: bool, user: &str, proof: &[u8], database: Option<&str>, plugin: &str) -> Vec<u8> {
    let mut body = beginning(if is_tls { TLS } else { 0 }, database);
    push_text(&mut body, user);
    body.push(u8::try_from(proof.len()).unwrap_or(u8::MAX));
    body.extend_from_slice(proof);
    if let Some(database) = database {
        push_text(&mut body, database);
    }
    push_text(&mut body, plugin);
    body
}

fn beginning(more: u32, database: Option<&str>) -> Vec<u8> {
    let ours = LONG_PASSWORD | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGINS | more;
    let ours = if database.is_some() { ours | WITH_DATABASE } else { ours };
    let mut body = ours.to_le_bytes().to_vec();
    body.extend_from_slice(&MAX_PACKET_BYTES.to_le_bytes());
    body.push(CHARSET);
    body.extend_from_slice(&[0; 23]);
    body
}

fn push_text(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(text.as_bytes());
    body.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As MariaDB of Debian 12 sends it.
    const MARIA: &[u8] = b"\x0a5.5.5-10.11.6-MariaDB-0+deb12u1\0\x09\0\0\x0012345678\0\xfe\xff\x2d\x02\0\xff\x81\x15\
                           \0\0\0\0\0\0\x1d\0\0\0abcdefghijkl\0mysql_native_password\0";

    #[test]
    fn a_greeting_is_read_and_a_cut_one_is_none() {
        let packet = |body: &[u8]| Packet { number: 0, body: body.to_vec() };
        let greeting = Greeting::read(&packet(MARIA)).unwrap();
        assert_eq!(greeting.version, "10.11.6-MariaDB-0+deb12u1");
        assert_eq!(greeting.spoken(), "MariaDB 10.11.6");
        assert_eq!(greeting.salt, b"12345678abcdefghijkl");
        assert_eq!(greeting.plugin, "mysql_native_password");
        assert!(greeting.offers_tls() && greeting.is_maria());
        for end in 1..MARIA.len() - 22 {
            assert_eq!(Greeting::read(&packet(&MARIA[..end])), None, "{end}");
        }
    }

    #[test]
    fn who_we_are_is_said_as_the_protocol_has_it() {
        let said = answer(true, "me", &[1, 2], Some("shop"), "p");
        assert_eq!(said[..8], [0x09, 0xaa, 0x08, 0, 0, 0, 0, 1]);
        assert_eq!(said[8], 45);
        assert_eq!(&said[32..], b"me\0\x02\x01\x02shop\0p\0");
        assert_eq!(wish_for_tls(None).len(), 32);
    }
}
