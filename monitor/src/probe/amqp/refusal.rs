//! What a broker of AMQP refuses, in words (specification, section 1.8 of the class reference, "reply-code").

use super::frame::take_short;
use crate::probe::expect::excerpt;
use crate::probe::observation::{Outcome, ReasonCode};
use crate::probe::reader::Reader;

/// Where in the dialog a refusal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// While we say who we are.
    SignIn,
    /// As [`Step::SignIn`], by the name that every new broker has for its own host.
    SignInAsGuest,
    /// While a virtual host is opened.
    Open,
    /// What is asked for then.
    Ask,
}

/// Turns the arguments of a `close` into a fail: `there is no such queue: NOT_FOUND - no queue 'x' in vhost '/' (404)`.
pub(super) fn refusal(arguments: &[u8], step: Step) -> Outcome {
    let mut rest = Reader(arguments);
    let reply = rest.u16().unwrap_or_default();
    let said = excerpt(take_short(&mut rest).unwrap_or_default());
    let (code, meaning) = match (reply, step) {
        (403, Step::SignIn) => (ReasonCode::Auth, "it refuses name or password"),
        (403, Step::SignInAsGuest) => (ReasonCode::Auth, "it does not let guest in; write username and password_file"),
        (403, _) => (ReasonCode::Auth, "the user may not do this"),
        (404, _) => (ReasonCode::Rejected, "there is no such queue"),
        (405, _) => (ReasonCode::Rejected, "the queue belongs to another connection alone"),
        (530, Step::Open) if said.contains("not found") => (ReasonCode::Rejected, "there is no such vhost"),
        (530, Step::Open) if said.contains("refused") => (ReasonCode::Auth, "the user may not enter this vhost"),
        (530, Step::Open) if said.contains("limit") => (ReasonCode::Rejected, "it takes no more connections"),
        (541, Step::Open) => (ReasonCode::Rejected, "the vhost is down"),
        (320, _) => (ReasonCode::Rejected, "it is shutting down"),
        (311 | 313 | 506, _) => (ReasonCode::Rejected, "it has no room"),
        _ => (ReasonCode::Rejected, "it answers with an error"),
    };
    Outcome::fail(code, format!("{meaning}: {said} ({reply})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_code_means_different_things_at_different_steps() {
        for (body, step, code, text) in [
            (&b"\x01\x93\x02no"[..], Step::SignIn, ReasonCode::Auth, "it refuses name or password: no (403)"),
            (b"\x01\x93\x02no", Step::Ask, ReasonCode::Auth, "the user may not do this: no (403)"),
            (b"\x02\x12\x09not found", Step::Open, ReasonCode::Rejected, "there is no such vhost: not found (530)"),
            (b"\x01\x40\x03bye", Step::Open, ReasonCode::Rejected, "it is shutting down: bye (320)"),
            (b"\x02", Step::Ask, ReasonCode::Rejected, "it answers with an error:  (0)"),
        ] {
            assert_eq!(refusal(body, step), Outcome::fail(code, text));
        }
    }
}
