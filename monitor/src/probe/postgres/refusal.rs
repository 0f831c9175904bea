//! What PostgreSQL refuses, in words (manual, appendix "PostgreSQL Error Codes").

use crate::probe::expect::excerpt;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::reader::Reader;

/// Turns an ErrorResponse into a fail: `no database of that name: database "shop" does not exist (3D000)`.
pub(super) fn refusal(body: &[u8]) -> Outcome {
    let (mut state, mut said) = (String::new(), String::new());
    let mut fields = Reader(body);
    while let (Some(kind @ 1..), Some(text)) = (fields.u8(), fields.until_zero()) {
        match kind {
            b'C' => state = excerpt(text),
            b'M' => said = excerpt(text),
            _ => {}
        }
    }
    let (code, meaning) = meaning(&state);
    Outcome::fail(code, format!("{meaning}: {said} ({state})"))
}

fn meaning(state: &str) -> (ReasonCode, &'static str) {
    match state {
        "28P01" => (ReasonCode::Auth, "it refuses the password"),
        "28000" => (ReasonCode::Auth, "it does not let this user in from here"),
        "42501" => (ReasonCode::Auth, "the user may not do this"),
        "3D000" => (ReasonCode::Rejected, "there is no such database"),
        "53300" => (ReasonCode::Rejected, "it has no connection left"),
        "53100" => (ReasonCode::Rejected, "its disk is full"),
        "57P03" => (ReasonCode::Rejected, "it does not take connections now"),
        "57P01" | "57P02" => (ReasonCode::Rejected, "it is shutting down"),
        "57014" => (ReasonCode::Rejected, "the query took too long"),
        "25006" => (ReasonCode::Rejected, "the query writes, and only reading is allowed"),
        state if state.starts_with("42") => (ReasonCode::Rejected, "the query is wrong"),
        _ => (ReasonCode::Rejected, "it answers with an error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &[u8]) -> (ReasonCode, String) {
        match refusal(body) {
            Outcome::Fail(reason) => (reason.code, reason.text),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn states_are_told_in_words() {
        for (state, said, code, text) in [
            ("28P01", "no", ReasonCode::Auth, "it refuses the password: no (28P01)"),
            ("57P03", "starting up", ReasonCode::Rejected, "it does not take connections now: starting up (57P03)"),
            ("53300", "too many", ReasonCode::Rejected, "it has no connection left: too many (53300)"),
            ("42601", "syntax", ReasonCode::Rejected, "the query is wrong: syntax (42601)"),
            ("XX000", "odd", ReasonCode::Rejected, "it answers with an error: odd (XX000)"),
        ] {
            let body = format!("SFATAL\0VFATAL\0C{state}\0M{said}\0\0");
            assert_eq!(told(body.as_bytes()), (code, text.to_owned()));
        }
        assert_eq!(told(b"C57P03").0, ReasonCode::Rejected);
    }
}
