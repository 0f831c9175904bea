//! What MySQL and MariaDB refuse, in words (MySQL manual, "Server Error Message Reference"; MariaDB, "Error Codes").

use super::packet::Packet;
use crate::probe::expect::excerpt;
use crate::probe::observation::{Outcome, ReasonCode};

/// Name and password are wrong, or the name may not come from here.
const ACCESS_DENIED: u64 = 1045;
/// A variable that this server does not have.
const NO_SUCH_VARIABLE: u64 = 1193;

/// An error as the server tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    code: u64,
    said: String,
}

impl Refusal {
    /// Reads an error packet; one that is cut says nothing.
    pub(super) fn read(packet: &Packet) -> Self {
        let mut rest = packet.rest();
        let code = rest.little(2).unwrap_or_default();
        // A `#` and five letters of SQLSTATE, left out before both sides know each other.
        let said = match rest.0 {
            [b'#', _, _, _, _, _, said @ ..] => said,
            said => said,
        };
        Self { code, said: excerpt(said) }
    }

    /// True if it only does not let us in: then it has done what it could for somebody without a name.
    pub(super) fn is_of_the_nameless(&self) -> bool {
        // Besides: no password given, and names or ways to sign in that it does not take.
        [ACCESS_DENIED, 1698, 1251, 1524].contains(&self.code)
    }

    /// True if it only lacks a variable that others have.
    pub(super) fn is_of_a_variable(&self) -> bool {
        self.code == NO_SUCH_VARIABLE
    }
}

impl From<Refusal> for Outcome {
    /// `there is no such database: Unknown database 'shop' (1049)`
    fn from(refusal: Refusal) -> Self {
        let (code, meaning) = meaning(refusal.code);
        Self::fail(code, format!("{meaning}: {} ({})", refusal.said, refusal.code))
    }
}

fn meaning(code: u64) -> (ReasonCode, &'static str) {
    match code {
        ACCESS_DENIED | 1698 => (ReasonCode::Auth, "it refuses name or password"),
        1820 | 1862 => (ReasonCode::Auth, "the password has expired"),
        3118 | 4151 => (ReasonCode::Auth, "the account is locked"),
        1251 | 1524 => (ReasonCode::Auth, "it does not know the way in which this user signs in"),
        1044 | 1142 | 1143 | 1227 | 1370 => (ReasonCode::Auth, "the user may not do this"),
        1130 => (ReasonCode::Auth, "it lets nobody in from here"),
        3159 => (ReasonCode::Tls, "it speaks with nobody without TLS; write tls: {}"),
        1129 => (ReasonCode::Rejected, "it has blocked this machine after many broken connections"),
        1040 | 1041 | 1203 | 1226 => (ReasonCode::Rejected, "it has no connection left"),
        1046 => (ReasonCode::Rejected, "the query needs a database; write database: …"),
        1049 => (ReasonCode::Rejected, "there is no such database"),
        1053 | 1077 | 1079 | 1080 => (ReasonCode::Rejected, "it is shutting down"),
        1021 => (ReasonCode::Rejected, "its disk is full"),
        1317 | 1969 | 3024 => (ReasonCode::Rejected, "the query took too long"),
        1792 => (ReasonCode::Rejected, "the query writes, and only reading is allowed"),
        1054 | 1064 | 1146 | 1149 | 1305 => (ReasonCode::Rejected, "the query is wrong"),
        _ => (ReasonCode::Rejected, "it answers with an error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_in_words_with_and_without_a_state() {
        for (body, code, text) in [
            (
                &b"\xff\x10\x04Too many connections"[..],
                ReasonCode::Rejected,
                "it has no connection left: Too many connections (1040)",
            ),
            (b"\xff\x15\x04#28000no", ReasonCode::Auth, "it refuses name or password: no (1045)"),
            (b"\xff\x28\x04#42000syntax", ReasonCode::Rejected, "the query is wrong: syntax (1064)"),
            (b"\xff\x01\x04#HY000odd", ReasonCode::Rejected, "it answers with an error: odd (1025)"),
            (b"\xff", ReasonCode::Rejected, "it answers with an error:  (0)"),
        ] {
            let packet = Packet { number: 0, body: body.to_vec() };
            assert_eq!(Outcome::from(Refusal::read(&packet)), Outcome::fail(code, text));
        }
    }
}
